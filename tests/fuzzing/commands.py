"""What is fuzzed: each command on one damaged file, with all that its report can be made into.

`COMMANDS[name](given, folder)` runs one; a FullintError is a good answer, any other exception is a finding. Where a command
writes a model, its path is `folder / OUT`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import fullint
from fullint import demo
from fullint.calibration.samples import Reading, open_samples, slots
from fullint.deployment.logs import readlog
from fullint.documents.text import render
from fullint.model.tflite import read_model

OUT = "out.tflite"
LIMITS: dict[str, Any] = {"worker_memory": 1.5, "worker_seconds": 5}
DEMO = Path(demo.__file__).parent
MOST_VALUES = 100_000
FEW = 6
"""Samples."""


def told(report: Any) -> None:
    """Everything that is made of a report."""
    render(report.document()).encode()
    report.to_json().encode()
    report.to_csv().encode()
    repr(report).encode()


def inspect(given: Path, folder: Path) -> None:
    told(fullint.inspect(given))
    for language in ("python", "cpp", "c", "kotlin"):
        try:
            told(fullint.inspect(given, language))
        except fullint.UsageError:
            continue


def audit(given: Path, folder: Path) -> None:
    for target in ("litert", "tflm", "ethos-u", "edgetpu"):
        told(fullint.audit(given, target=target))


def partition(given: Path, folder: Path) -> None:
    for target in ("xnnpack", "nnapi", "edgetpu"):
        told(fullint.partition(given, target))


def drawn(given: Path) -> list[list[np.ndarray]]:
    """Samples for a model with sizes that are known; one array that fits none for others."""
    inputs = read_model(given).main.inputs
    if any(n < 1 for t in inputs for n in t.shape) or sum(t.size for t in inputs) > MOST_VALUES:
        return [[np.zeros(1, np.float32)]]
    rng = np.random.default_rng(5)
    kinds = [(t.shape, t.dtype) for t in inputs]
    return [
        [rng.normal(size=s).astype(np.float32) if d == "float32" else rng.integers(0, 2, s).astype("int32") for s, d in kinds]
        for _ in range(3 * FEW)
    ]


def quantize(given: Path, folder: Path) -> None:
    done = fullint.quantize(given, drawn(given), threads=1, **LIMITS)
    told(done.report)
    done.save(folder / OUT)


def plan(given: Path, folder: Path) -> None:
    told(fullint.plan(given, synthetic=True, num_samples=FEW, threads=1, **LIMITS))


def repair(given: Path, folder: Path) -> None:
    done = fullint.repair(given, threads=1, **LIMITS)
    told(done.report)
    done.save(folder / OUT)


def compare(given: Path, folder: Path) -> None:
    told(fullint.compare(given, given, num_samples=2, **LIMITS))


def benchmark(given: Path, folder: Path) -> None:
    told(fullint.benchmark(given, num_runs=1, min_secs=0, warmup_min_secs=0, max_secs=1, **LIMITS))


def log(given: Path, folder: Path) -> None:
    told(readlog(given))


def samples(given: Path, folder: Path) -> None:
    for _ in open_samples(given, slots(read_model(DEMO / "digits.tflite")), Reading(FEW)):
        pass


def labels(given: Path, folder: Path) -> None:
    inputs = slots(read_model(DEMO / "digits.tflite"))
    images = {"image": np.zeros((10, 8, 8, 1), np.float32)}
    list(open_samples(images, inputs, Reading(labels=str(given))))


def image(given: Path, folder: Path) -> None:
    (folder / "images").mkdir()
    given.rename(folder / "images" / given.name)
    list(open_samples(folder / "images", slots(read_model(DEMO / "digits.tflite")), Reading()))


def recipe(given: Path, folder: Path) -> None:
    fullint.Recipe.read(given)


COMMANDS: dict[str, Callable[[Path, Path], None]] = {
    "inspect": inspect,
    "audit": audit,
    "partition": partition,
    "quantize": quantize,
    "plan": plan,
    "repair": repair,
    "compare": compare,
    "benchmark": benchmark,
    "readlog": log,
    "samples": samples,
    "labels": labels,
    "image": image,
    "recipe": recipe,
}
OF_MODELS = ("inspect", "audit", "partition", "quantize", "plan", "repair", "compare", "benchmark")
QUICK = ("inspect", "audit", "partition")
"""They run nothing, so that each model goes through all of them."""
