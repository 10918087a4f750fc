"""A fleet of made models: killed at random moments it ends with the bytes of an undisturbed run; two processes beside one.

    python benchmarks/fleets.py [--models 200] [--kills 3] [--throughput 40]

Variants of a small convolutional network: other weights, widths and depths. With --throughput N, N of them are quantized with
`-j 1 --threads 1` and with `-j 2 --threads 1` in turns, and the ratio of the wall times is printed.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from fullint.ops.builder import Builder

FULLINT = [sys.executable, "-m", "fullint"]


def variant(seed: int) -> bytes:
    """A small convolutional network."""
    g = Builder(seed)
    x = g.conv(g.input(1, 24, 24, 3, name="x"), 8, stride=2, activation="RELU")
    for _ in range(2 + seed % 4):
        x = g.conv(g.depthwise(x, activation="RELU6"), 8 + 4 * (seed % 3), kernel=1, activation="RELU")
    g.output(g.dense(g.reshape(x, 1, -1), 10))
    return g.bytes()


def made(folder: Path, count: int) -> None:
    """Models and samples in a folder."""
    (folder / "models").mkdir()
    for seed in range(count):
        (folder / "models" / f"v{seed:03}.tflite").write_bytes(variant(seed))
    x = np.random.default_rng(0).normal(size=(40, 24, 24, 3)).astype(np.float32)
    np.savez(folder / "samples.npz", x=x)


def command(out: str, *more: str) -> list[str]:
    """The run of a fleet."""
    return [*FULLINT, "quantize", "models", "-c", "samples.npz", "-o", out, *more]


def results(folder: Path) -> dict[str, bytes]:
    """What a run has made."""
    return {p.name: p.read_bytes() for p in folder.glob("*.tflite")}


def kills(folder: Path, count: int, seed: int) -> None:
    """A run that is killed so often, and run again to its end, beside one that nobody disturbs."""
    quiet = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    start = time.perf_counter()
    subprocess.run(command("whole", "-j", "2", "--threads", "1"), check=True, **quiet)  # type: ignore[call-overload]
    whole = time.perf_counter() - start
    drawn = random.Random(seed)
    for _ in range(count):
        words = command("again", "-j", "2", "--threads", "1", "--cache", "kept", "--force")
        process = subprocess.Popen(words, start_new_session=True, **quiet)  # type: ignore[call-overload]
        time.sleep(drawn.uniform(0.1, 0.5) * whole / count)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        kept = len([*(folder / "kept").glob("??/*")])
        print(f"killed with {kept} results in the cache", flush=True)
    start = time.perf_counter()
    subprocess.run(command("again", "-j", "2", "--threads", "1", "--cache", "kept", "--force"), check=True, **quiet)  # type: ignore[call-overload]
    same = results(folder / "whole") == results(folder / "again")
    print(f"undisturbed {whole:.1f} s; the last run {time.perf_counter() - start:.1f} s; same bytes: {'yes' if same else 'NO'}")
    if not same:
        raise SystemExit(1)


def throughput(folder: Path, repeats: int) -> None:
    """Two processes beside one, in turns."""
    ratios = []
    for turn in range(repeats):
        seconds = []
        for processes in ("1", "2"):
            start = time.perf_counter()
            words = command(f"out{processes}_{turn}", "-j", processes, "--threads", "1")
            subprocess.run(words, cwd=folder, check=True, stdout=subprocess.DEVNULL)
            seconds.append(time.perf_counter() - start)
        ratios.append(seconds[0] / seconds[1])
        print(f"-j 1: {seconds[0]:.1f} s, -j 2: {seconds[1]:.1f} s, {ratios[-1]:.2f} times the throughput", flush=True)


def main() -> None:
    """See the top of the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--throughput", type=int, default=0, metavar="N")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made(folder, arguments.throughput or arguments.models)
        if arguments.throughput:
            throughput(folder, 3)
        else:
            kills(folder, arguments.kills, arguments.seed)


if __name__ == "__main__":
    main()
