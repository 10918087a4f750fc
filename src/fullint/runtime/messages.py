"""What the user's side asks of a worker, as values. Each message has one answer, whose type it names.

    frames = worker.call(Run(arrays))            Message[list[Array]]  ->  list[Array]

Samples are the exception: `Sample` has no answer of its own, so that the next one can be sent at once; what went wrong
with one is the answer to `FinishMeasuring`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from fullint.model.ir import Array

Answer = TypeVar("Answer")
Answer_co = TypeVar("Answer_co", covariant=True)
Shape = Sequence[int]


class Message(Generic[Answer_co]):
    """Asks for an answer of a type."""


@dataclass(frozen=True, eq=False, repr=False)
class Open(Message[None]):
    """Load a model, to be run by `Run`.

    Attributes:
        path: the model's file.
        kernels: "xnnpack", "builtin" or "reference".
        threads: of one inference.
        shapes: shape of each graph input, where it differs from the file's.
    """

    path: str
    kernels: str
    threads: int
    shapes: Sequence[Shape] | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Run(Message[list[Array]]):
    """One inference of the open model: arrays in, outputs back, both in graph order."""

    arrays: Sequence[Array]


@dataclass(frozen=True, eq=False, repr=False)
class Latency(Message[list[float]]):
    """Seconds of each of `runs` inferences of the open model, after one that does not count."""

    arrays: Sequence[Array]
    runs: int


@dataclass(frozen=True, eq=False, repr=False)
class DelegateNodes(Message[list[tuple[list[int], list[int]]]]):
    """(inputs, outputs) of each node XNNPACK has in the graph that runs, as tensor indices."""

    path: str


@dataclass(frozen=True, eq=False, repr=False)
class TensorShapes(Message[list[tuple[int, ...]]]):
    """The shape every tensor of the main graph has once the inputs have theirs; by tensor index."""

    path: str
    shapes: Sequence[Shape] | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Measure(Message[None]):
    """Start gathering minima and maxima of the model's first output.

    Attributes:
        path: a measuring model (`calibration.probes`).
        threads: samples run at the same time.
        keep: the last output is kept as it is for samples of an index below this.
        together: all threads work on one sample after the other, instead of each on a sample of its own.
    """

    path: str
    threads: int
    keep: int = 0
    together: bool = False


@dataclass(frozen=True, eq=False, repr=False)
class Sample:
    """One sample to be measured; it has no answer."""

    index: int
    arrays: Sequence[Array]


@dataclass(frozen=True, eq=False, repr=False)
class Measurement:
    """What came of the samples.

    Attributes:
        low, high: smallest and largest value of each place of the first output, float32.
        not_finite: the first (sample, place) that was no finite number, if any.
        kept: last outputs, [samples kept, places], in the order of the samples.
    """

    low: Array
    high: Array
    not_finite: tuple[int, int] | None
    kept: Array


@dataclass(frozen=True, eq=False, repr=False)
class FinishMeasuring(Message[Measurement]):
    """The end of the samples."""
