"""How calibration and many models scale over the workers of a Dask cluster on this machine.

    python benchmarks/cluster.py [--samples 200000] [--models 24] [--workers 0 1 2 4] [--repeats 1]

Starts a scheduler and workers of one thread each, as a user would, and prints wall seconds, samples or models per second, the
ratio to one worker, and the bytes that go over the network. 0 workers: the plain command with one thread. Repeats go through the
rows in turns: the seconds are the least, as a neighbour on the machine only adds, and a ratio is the median of the turns' own, as
the least of one row can be from a minute in which the machine was faster. The last lines have what the machine gives by itself:
the throughput of plain Python in as many processes as there are cores, over that of one, in the same turns.
"""

from __future__ import annotations

import argparse
import os
import pickle
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

import fullint
from fullint.fleets.jobs import Job
from fullint.fleets.parcels import pack
from fullint.ops.builder import Builder

LOOP = "x = 0\nfor i in range(40_000_000): x += i * i % 7"


def network() -> bytes:
    """A small network: 0.3 million multiply-accumulates."""
    g = Builder()
    x = g.input(1, 16, 16, 3)
    for filters in (8, 8, 16):
        x = g.conv(x, filters, activation="RELU", stride=2)
    g.output(g.dense(g.reshape(x, 1, -1), 10))
    return g.bytes()


def started(stack: ExitStack, workers: int, folder: Path) -> str:
    """Address of a scheduler with so many workers."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(*words: str) -> Path:
        log = folder / f"{len(processes)}-{time.monotonic_ns()}.log"
        with open(log, "wb") as f:
            command = [sys.executable, "-m", f"distributed.cli.dask_{words[0]}", *words[1:], "--no-dashboard"]
            processes.append(subprocess.Popen(command, stdout=f, stderr=f, cwd=folder))
        return log

    def said(log: Path, pattern: str) -> str:
        while not (found := re.search(pattern, log.read_text(errors="replace"))):
            time.sleep(0.05)
        return found[1]

    def end() -> None:
        for process in processes:
            process.kill()
            process.wait()

    stack.callback(end)
    address = said(start("scheduler", "--host", "127.0.0.1", "--port", "0"), r"Scheduler at:\s+(tcp://\S+)")
    logs = [start("worker", address, "--nthreads", "1", "--memory-limit", "0", "--no-nanny") for _ in range(workers)]
    for log in logs:
        said(log, r"(Registered) to:|(Starting established) connection")
    return address


def timed(call: Callable[[], object]) -> float:
    """Wall seconds."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def machine() -> tuple[float, float]:
    """Seconds of a loop in one process, and in as many at once as there are cores."""

    def run(count: int) -> None:
        loops = [subprocess.Popen([sys.executable, "-c", LOOP]) for _ in range(count)]
        for loop in loops:
            loop.wait()

    return timed(lambda: run(1)), timed(lambda: run(os.cpu_count() or 1))


def measured(folder: Path, workers: int, models: int) -> tuple[float, float]:
    """Seconds of a calibration, and of so many models, on so many workers; 0: here, by one thread."""
    model, options = str(folder / "model.tflite"), {"samples": str(folder / "few.npy"), "threads": 1}
    jobs = [Job("quantize", (model,), str(folder / f"{i}.tflite"), {**options, "seed": i}) for i in range(models)]
    with ExitStack() as stack:
        address = started(stack, workers, folder) if workers else None
        data = folder / "samples.npy"
        one = timed(lambda: fullint.calibrate(model, data, threads=1, scheduler=address, shared=address is not None))
        return one, timed(lambda: fullint.run_jobs(jobs, 1 if address is None else None, force=True, scheduler=address))


def ratios_of(ones: Sequence[tuple[float, float]], others: Sequence[tuple[float, float]]) -> list[float]:
    """How many times faster the others were: the median of the turns, for each of the two figures."""
    return [statistics.median(ones[n][i] / other[i] for n, other in enumerate(others)) for i in range(2)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=int, default=200_000)
    parser.add_argument("--models", type=int, default=24)
    parser.add_argument("--workers", type=int, nargs="*", default=[0, 1, 2, 4])
    parser.add_argument("--repeats", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, data = folder / "model.tflite", folder / "samples.npy"
        model.write_bytes(network())
        rows = np.lib.format.open_memmap(data, "w+", np.float32, (given.samples, 16, 16, 3))
        rng = np.random.default_rng(0)
        for first in range(0, given.samples, 10_000):
            rows[first : first + 10_000] = rng.normal(size=rows[first : first + 10_000].shape)
        rows.flush()
        np.save(folder / "few.npy", rows[:64])
        del rows
        print(f"{os.cpu_count()} cores; {given.samples} samples of {data.stat().st_size / given.samples / 1000:.1f} kB\n")
        print("| workers | calibrate s | samples/s | x | models s | models/s | x |\n|---|---|---|---|---|---|---|")
        turns: dict[int, list[tuple[float, float]]] = {workers: [] for workers in given.workers}
        loops = []
        for _ in range(given.repeats):
            loops.append(machine())
            print(f"the machine: {loops[-1][0]:.1f} s, {loops[-1][1]:.1f} s", file=sys.stderr, flush=True)
            for workers, seconds in turns.items():
                seconds.append(measured(folder, workers, given.models))
                print(f"{workers} workers: {seconds[-1][0]:.1f} s, {seconds[-1][1]:.1f} s", file=sys.stderr, flush=True)
        least = {workers: tuple(map(min, zip(*seconds, strict=True))) for workers, seconds in turns.items()}
        for workers, (calibrating, quantizing) in least.items():
            ratios = [f"{r:.2f}" for r in ratios_of(turns[1], turns[workers])] if workers and 1 in turns else ["", ""]
            cells = (f"{workers or 'none'}", f"{calibrating:.1f}", f"{given.samples / calibrating:.0f}", ratios[0])
            more = (f"{quantizing:.1f}", f"{given.models / quantizing:.2f}", ratios[1])
            print(f"| {' | '.join((*cells, *more))} |")
        gain = statistics.median((os.cpu_count() or 1) * one / all_cores for one, all_cores in loops)
        print(f"\nthe machine: {gain:.2f} times one process of plain Python on all cores")
        parcel = pack(Job("quantize", (str(model),), None, {"samples": str(folder / "few.npy")}))
        print(f"\nsent with a model: {len(pickle.dumps(parcel)) / 1e6:.2f} MB")
        print(f"largest process here: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
