"""Samples with something wrong planted in them, sound samples, and networks that were trained on the latter.

Networks: those of `networks/` and the demo, on its digits; and, made here in a moment, random features with a read-out fitted to
the data (`fitted`): series of sensors, spectrograms, token ids, and two inputs at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import fullint
from fullint import demo
from fullint.errors import SamplesError
from fullint.model.ir import Tensor
from fullint.ops.builder import Builder
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import WorkerProcess, model_file

Arrays = dict[str, np.ndarray]
HERE = Path(__file__).parent
DEMO = Path(demo.__file__).parent
NETWORKS = [
    *(HERE / "networks" / f"{name}.tflite" for name in ("attention", "lstm", "mobile", "residual")),
    DEMO / "digits.tflite",
]
"""Five networks, each trained on the same digits."""
CLASSES = 6


def digits() -> tuple[np.ndarray, np.ndarray]:
    """(images, labels) that nobody trained on."""
    with np.load(DEMO / "test.npz") as test:
        return test["image"].astype(np.float32), test["label"].astype(np.int64)


def kinds_found(model: object, samples: object, **options: object) -> list[str]:
    """The kinds of findings about samples."""
    try:
        fullint.quantize(model, samples, strict_samples=True, threads=1, min_sqnr=-100, **options)
    except SamplesError as e:
        return [line.split(":")[0].strip() for line in str(e).splitlines()[1:]]
    except fullint.AccuracyError:
        pass  # the samples were not in question
    return []


# --- what is planted ---


def repeated(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A few samples again and again."""
    few = rng.integers(0, len(x), int(rng.integers(1, 8)))
    order = rng.choice(few, len(x))
    return x[order], y[order]


def too_large(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of 0..255 for 0..1."""
    return np.round(x * 255).astype(np.float32), y


def too_small(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Normalized twice."""
    return (x / 255).astype(np.float32), y


def outliers(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Ten samples many times too large."""
    x = x.copy()
    x[rng.choice(len(x), 10, replace=False)] *= rng.uniform(15, 60)
    return x, y


def one_class(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Samples of one class only."""
    chosen = y == rng.choice(np.unique(y))
    return x[chosen], y[chosen]


def shifted(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Labels one too high, or one too low."""
    return x, y + int(rng.choice([-1, 1]))


PLANTED: dict[str, tuple[Callable[..., tuple[np.ndarray, np.ndarray]], set[str]]] = {
    "repeated": (repeated, {"repeated-samples"}),
    "too large": (too_large, {"input-scale", "one-class"}),
    "too small": (too_small, {"one-class"}),
    "outliers": (outliers, {"outliers"}),
    "one class": (one_class, {"one-class"}),
    "labels shifted": (shifted, {"labels-shifted", "labels-out-of-range"}),
}
"""What is planted, and the findings that name it."""


# --- networks made here ---


@dataclass(frozen=True)
class Task:
    """A network that was fitted to data, and such data.

    Attributes:
        model: float `.tflite`.
        draw: (number of samples, generator) -> (arrays by input name, labels).
    """

    model: bytes
    draw: Callable[[int, np.random.Generator], tuple[Arrays, np.ndarray]]


def fitted(build: Callable[[Builder], Tensor], draw: Callable[..., tuple[Arrays, np.ndarray]], seed: int) -> Task:
    """Random features of a builder with a linear read-out, fitted by least squares, and a SOFTMAX behind it."""

    def features() -> tuple[Builder, Tensor]:
        g = Builder(seed)
        return g, build(g)

    g, x = features()
    g.output(x)
    arrays, labels = draw(600, np.random.default_rng(seed))
    names = [t.name for t in g.graph.inputs]
    with model_file(g.bytes()) as path, WorkerProcess() as worker:
        worker.call(Open(path, "xnnpack", 1))
        found = np.stack([worker.call(Run([arrays[n][i] for n in names]))[0].reshape(-1) for i in range(len(labels))])
    wanted = np.eye(CLASSES)[labels] * 8 - 4
    with_one = np.concatenate([found, np.ones((len(found), 1))], axis=1)
    ridge = 1e-3 * np.trace(with_one.T @ with_one) / with_one.shape[1] * np.eye(with_one.shape[1])
    solved = np.linalg.solve(with_one.T @ with_one + ridge, with_one.T @ wanted)
    g, x = features()
    weights, bias = g.const(solved[:-1].T.astype(np.float32)), g.const(solved[-1].astype(np.float32))
    g.output(g.op("SOFTMAX", g.op("FULLY_CONNECTED", x, weights, bias, shape=(1, CLASSES)), beta=1.0))
    return Task(g.bytes(), draw)


def _dense(g: Builder, x: Tensor, units: int, scale: float, middle: float = 0.0) -> Tensor:
    """Random features with biases of the size of what they are added to, for values of this scale around this middle."""
    size = x.shape[-1]
    w = (g.rng.normal(size=(units, size)) / np.sqrt(size) / scale).astype(np.float32)
    b = (g.rng.normal(size=units) - middle * w.sum(axis=1)).astype(np.float32)
    y = g.op("FULLY_CONNECTED", x, g.const(w), g.const(b), shape=(1, units), fused_activation_function=1)
    return y


def sensors(seed: int) -> Task:
    """Series of three sensors: what moves how fast."""

    def draw(count: int, rng: np.random.Generator) -> tuple[Arrays, np.ndarray]:
        y = rng.integers(0, CLASSES, count)
        t = np.arange(32) / 32
        phase = rng.uniform(0, 0.6, (count, 1, 3))
        wave = np.sin(2 * np.pi * ((y[:, None, None] + 1) * t[None, :, None] + phase)) * [3.0, 2.0, 4.0]
        return {"series": (wave + rng.normal(size=wave.shape) * 0.3).astype(np.float32)[:, None]}, y

    return fitted(lambda g: _dense(g, g.reshape(g.input(1, 32, 3, name="series"), 1, 96), 128, 3.0), draw, seed)


def spectrograms(seed: int) -> Task:
    """Log spectra of tones, -100 to 20."""

    def draw(count: int, rng: np.random.Generator) -> tuple[Arrays, np.ndarray]:
        y = rng.integers(0, CLASSES, count)
        bins = np.arange(16)
        peak = np.exp(-np.square(bins[None] - 2 - 2 * y[:, None]) / 3)
        level = 40 * np.log10(peak * rng.uniform(0.5, 1, (count, 1)) + rng.uniform(0.003, 0.01, (count, 16)))
        return {"spectrum": np.repeat(level[:, None, None], 4, 2).astype(np.float32)}, y

    return fitted(lambda g: _dense(g, g.reshape(g.input(1, 4, 16, name="spectrum"), 1, 64), 96, 40.0, -40.0), draw, seed)


def tokens(seed: int) -> Task:
    """Token ids: which words are frequent."""

    def draw(count: int, rng: np.random.Generator) -> tuple[Arrays, np.ndarray]:
        y = rng.integers(0, CLASSES, count)
        own = rng.random((count, 24)) < 0.5
        ids = np.where(own, y[:, None] * 8 + rng.integers(0, 8, (count, 24)), rng.integers(0, 64, (count, 24)))
        return {"ids": ids.astype(np.int32)[:, None]}, y

    def build(g: Builder) -> Tensor:
        table = g.const(g.rng.normal(size=(64, 16)).astype(np.float32))
        words = g.op("GATHER", table, g.input(1, 24, dtype="int32", name="ids"), shape=(1, 24, 16), axis=0)
        mean = g.op("MEAN", words, g.const(np.int32([1])), shape=(1, 16))
        return _dense(g, mean, 96, 0.5)

    return fitted(build, draw, seed)


def two_inputs(seed: int) -> Task:
    """A picture of 0..1 and readings of a sensor, of one shape; what the class is, both tell together."""

    def draw(count: int, rng: np.random.Generator) -> tuple[Arrays, np.ndarray]:
        y = rng.integers(0, CLASSES, count)
        spot = np.zeros((count, 1, 32), np.float32)
        spot[np.arange(count), 0, 4 * (y // 2)] = 1
        image = np.clip(spot + rng.uniform(0, 0.4, spot.shape), 0, 1)
        sign = np.where(y % 2, 1.0, -1.0)[:, None, None]
        sensor = sign * np.linspace(5, 30, 32) + rng.normal(size=(count, 1, 32)) * 6
        return {"image": image.astype(np.float32), "sensor": sensor.astype(np.float32)}, y

    def build(g: Builder) -> Tensor:
        image, sensor = g.input(1, 32, name="image"), g.input(1, 32, name="sensor")
        both = [_dense(g, image, 64, 0.3, 0.3), _dense(g, sensor, 64, 15.0)]
        return g.op("CONCATENATION", *both, shape=(1, 128), axis=1)

    return fitted(build, draw, seed)
