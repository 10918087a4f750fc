"""How time and memory of the commands grow with a model's operators, constants and samples.

    python benchmarks/growth.py [--operators 500 2000 8000] [--samples 32 128 512] [--megabytes 8 32 128]

Made models: a chain of residual blocks (CONV_2D, RELU, ADD, MUL) for operators; for constants, one FULLY_CONNECTED, or a chain
of them, which loses so much accuracy that ways out are looked for. A row is a command with CPU seconds and peak memory of the
process and all it starts, and the exponent of growth between the last two sizes, log(t2 / t1) / log(n2 / n1), of what a call
takes beyond that of a model with one operator: 1 is linear. The table is Markdown.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

import fullint
from fullint.model.ir import Array
from fullint.ops.builder import Builder

COMMANDS = {
    "inspect": ("inspect",),
    "audit": ("audit",),
    "partition": ("partition", "--target", "nnapi"),
    "plan": ("quantize", "--synthetic", "--num-samples", "8", "--plan"),
    "quantize, fast": ("quantize", "--synthetic", "--num-samples", "8", "--effort", "fast", "-o", "{int8}", "--force"),
    "quantize": ("quantize", "--synthetic", "--num-samples", "8", "-o", "{int8}", "--force"),
    "compare": ("compare", "{int8}", "--num-samples", "8"),
    "inspect, as a page": ("inspect", "--html", "{int8}.html", "--force"),
}
"""{int8}: what `quantize` makes of the model."""
WITH_LITTLE_ACCURACY = {
    "quantize, fast": ("quantize", "-c", "deep.npy", "--min-sqnr", "-100", "--effort", "fast", "-o", "{int8}", "--force"),
    "quantize": ("quantize", "-c", "deep.npy", "--min-sqnr", "-100", "-o", "{int8}", "--force"),
}
DEEP_INPUT = 1024
STAGES = ("read", "prepare", "calibrate", "equalize", "assign", "rewrite", "refine", "certify", "question")


def chain(operators: int) -> bytes:
    """Residual blocks one after the other."""
    g = Builder()
    x = g.input(1, 4, 4, 4)
    for _ in range(max(operators // 4, 1)):
        x = g.op("MUL", g.op("ADD", x, g.op("RELU", g.conv(x, 4, kernel=1))), g.const(np.float32(0.5)))
    g.output(x)
    return g.bytes()


def wide(megabytes: int) -> bytes:
    """One layer with so many weights."""
    g = Builder()
    g.output(g.dense(g.input(1, 1024), megabytes * 256))
    return g.bytes()


def deep(megabytes: int) -> bytes:
    """Layers of 4 MB each, one after the other. Every one adds its noise: the result has less than 15 dB."""
    g = Builder()
    x = g.input(1, DEEP_INPUT)
    for _ in range(max(megabytes // 4, 1)):
        x = g.dense(x, 1024)
    g.output(x)
    return g.bytes()


def deep_samples() -> Array:
    """Random ones for `deep`."""
    return np.random.default_rng(0).normal(size=(20, DEEP_INPUT)).astype(np.float32)


MOST_TURNS, ENOUGH_SECONDS = 5, 12.0
"""A neighbour on the machine only adds, for minutes at a time: so the least of turns through all sizes, which see the same."""


def measured(words: Sequence[str], model: Path) -> tuple[float, float]:
    """CPU seconds and peak memory in MB of a command on a model."""
    words = [word.replace("{int8}", f"{model.stem}_int8.tflite") for word in words]
    call = [sys.executable, "-m", "fullint", words[0], str(model), *words[1:]]
    script = (
        "import os, resource, subprocess, sys\n"
        "done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "sys.stderr.buffer.write(done.stderr[-300:])\n"
        "print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, done.returncode)"
    )
    done = subprocess.run([sys.executable, "-c", script, *call], cwd=model.parent, capture_output=True, text=True, check=True)
    seconds, megabytes, code = done.stdout.split()
    if code not in ("0", "1"):
        raise RuntimeError(done.stderr)
    return float(seconds), float(megabytes)


def least(words: Sequence[str], models: Sequence[Path]) -> list[tuple[float, float]]:
    """Of each model, the least of some turns; of few, where a turn takes long."""
    turns: list[list[tuple[float, float]]] = []
    while len(turns) < MOST_TURNS and sum(t for turn in turns for t, _ in turn) < ENOUGH_SECONDS:
        turns.append([measured(words, m) for m in models])
    return [(min(t for t, _ in of_one), max(m for _, m in of_one)) for of_one in zip(*turns, strict=True)]


def row(name: str, words: Sequence[str], models: Sequence[Path], sizes: Sequence[int], smallest: Path) -> str:
    """A command on models of growing size."""
    base, *found = least(words, [smallest, *models])
    cells = " | ".join(f"{t:.2f} s, {m:.0f} MB" for t, m in found)
    more = [max(t - base[0], 1e-3) for t, _ in found]
    growth = math.log(more[-1] / more[-2]) / math.log(sizes[-1] / sizes[-2])
    return f"| {name} | {cells} | {growth:.2f} |"


def table(
    title: str, sizes: Sequence[int], make: Callable[[int], bytes], folder: Path, commands: Mapping[str, Sequence[str]] = COMMANDS
) -> None:
    """Rows for all commands."""
    models = []
    for n in (1, *sizes):
        models.append(folder / f"{title.replace(' ', '_')}{n}.tflite")
        models[-1].write_bytes(make(n))
    print(f"\n| {title} | " + " | ".join(f"{n:,}" for n in sizes) + " | growth |")
    print("|---" * (len(sizes) + 2) + "|")
    for name, words in commands.items():
        print(row(name, words, models[1:], sizes, models[0]), flush=True)


def stages_table(sizes: Sequence[int], folder: Path) -> None:
    """Seconds of each stage of `quantize`, by the clock."""
    found = []
    for n in (1, *sizes):
        model = folder / f"stages{n}.tflite"
        model.write_bytes(chain(n))
        result = fullint.quantize(model, synthetic=True, num_samples=8, min_sqnr=-100.0)
        found.append(result.report.seconds)
    print("\n| stages of quantize | " + " | ".join(f"{n:,}" for n in sizes) + " | growth |")
    print("|---" * (len(sizes) + 2) + "|")
    for stage in STAGES:
        own = [seconds.get(stage, 0.0) for seconds in found]
        more = [max(t - own[0], 1e-3) for t in own[1:]]
        cells = " | ".join(f"{t:.2f} s" for t in own[1:])
        print(f"| {stage} | {cells} | {math.log(more[-1] / more[-2]) / math.log(sizes[-1] / sizes[-2]):.2f} |", flush=True)


def samples_table(sizes: Sequence[int], folder: Path) -> None:
    """One model, more samples."""
    model = folder / "samples.tflite"
    model.write_bytes(chain(40))
    print("\n| samples | " + " | ".join(f"{n:,}" for n in sizes) + " | growth |")
    print("|---" * (len(sizes) + 2) + "|")
    found = []
    for n in (8, *sizes):
        np.save(folder / "s.npy", np.random.default_rng(0).normal(size=(n, 4, 4, 4)).astype(np.float32))
        found.append(measured(("quantize", "-c", "s.npy", "--effort", "fast", "-o", "out.tflite", "--force"), model))
    cells = " | ".join(f"{t:.2f} s, {m:.0f} MB" for t, m in found[1:])
    more = [max(t - found[0][0], 1e-3) for t, _ in found[1:]]
    print(f"| quantize, fast | {cells} | {math.log(more[-1] / more[-2]) / math.log(sizes[-1] / sizes[-2]):.2f} |", flush=True)


def main() -> None:
    """See the top of the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--operators", nargs="*", type=int, default=[500, 2000, 8000])
    parser.add_argument("--megabytes", nargs="*", type=int, default=[8, 32, 128])
    parser.add_argument("--samples", nargs="*", type=int, default=[512, 2048, 8192])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if len(args.operators) > 1:
            table("operators", args.operators, chain, Path(folder))
            stages_table(args.operators, Path(folder))
        if len(args.megabytes) > 1:
            table("megabytes of weights", args.megabytes, wide, Path(folder))
            np.save(Path(folder) / "deep.npy", deep_samples())
            table("megabytes in a chain", args.megabytes, deep, Path(folder), WITH_LITTLE_ACCURACY)
        if len(args.samples) > 1:
            samples_table(args.samples, Path(folder))


if __name__ == "__main__":
    main()
