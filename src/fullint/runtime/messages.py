"""What the user's side asks of a worker, as values. Each message has one answer, whose type it names.

    frames = worker.call(Run(arrays))            Message[list[Array]]  ->  list[Array]

Samples are the exception: `Sample` has no answer of its own, so that the next one can be sent at once; what went wrong
with one is the answer to `FinishMeasuring`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

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


class Accumulator(Protocol):
    """Takes in what a model gives for sample after sample; made where the samples come from, filled in the worker."""

    def add(self, index: int, outputs: Sequence[Array]) -> None:
        """Take in the outputs of one run, in graph order; `index` is the sample's number."""

    def merge(self, other: Any) -> Accumulator:
        """What both have taken in, whatever the order."""


@dataclass(frozen=True, eq=False, repr=False)
class Measure(Message[None]):
    """Start running samples through a model.

    Attributes:
        path: the model's file.
        threads: samples run at the same time.
        accumulator: an empty one, which takes in the outputs.
        together: all threads work on one sample after the other, instead of each on a sample of its own.
    """

    path: str
    threads: int
    accumulator: Accumulator
    together: bool = False


@dataclass(frozen=True, eq=False, repr=False)
class Sample:
    """One sample to be measured; it has no answer."""

    index: int
    arrays: Sequence[Array]


@dataclass(frozen=True, eq=False, repr=False)
class FinishMeasuring(Message[Accumulator]):
    """The end of the samples; the answer is the accumulator, filled."""
