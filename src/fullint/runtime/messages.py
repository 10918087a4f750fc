"""Messages to a worker. Each message has one answer, whose type is its type parameter.

    frames = worker.call(Run(arrays))            Message[list[Array]]  ->  list[Array]

`Sample` is the exception: it has no answer, so that the next one can be sent at once. An error in a sample is reported as
the answer to `FinishMeasuring`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from fullint.model.ir import Array

Answer = TypeVar("Answer")
Answer_co = TypeVar("Answer_co", covariant=True)
Shape = Sequence[int]


class Message(Generic[Answer_co]):
    """Base class of messages; the type parameter is the type of the answer."""


@dataclass(frozen=True, eq=False, repr=False)
class Open(Message[None]):
    """Load a model, to be run by `Run`.

    Attributes:
        path: path of the model's file.
        kernels: "xnnpack", "builtin" or "reference".
        threads: number of threads of one inference.
        shapes: shape of each graph input, if they differ from the file's.
    """

    path: str
    kernels: str
    threads: int
    shapes: Sequence[Shape] | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Run(Message[list[Array]]):
    """Run the open model once: input arrays in graph order -> output arrays in graph order."""

    arrays: Sequence[Array]


@dataclass(frozen=True, eq=False, repr=False)
class Latency(Message[list[float]]):
    """Return the seconds of each of `runs` inferences of the open model, after one warm-up run."""

    arrays: Sequence[Array]
    runs: int


@dataclass(frozen=True, eq=False, repr=False)
class DelegateNodes(Message[list[tuple[list[int], list[int]]]]):
    """Return (inputs, outputs) of each XNNPACK node in the running graph, as tensor indices."""

    path: str


@dataclass(frozen=True, eq=False, repr=False)
class TensorShapes(Message[list[tuple[int, ...]]]):
    """Return the shape of every tensor of the main graph, by tensor index, for given input shapes."""

    path: str
    shapes: Sequence[Shape] | None = None


LoadedTensor = tuple["tuple[int, ...] | None", str]
"""Of a tensor of a loaded model: shape and type; None and "" where they are not known."""


@dataclass(frozen=True, eq=False, repr=False)
class Declared(Message[list[LoadedTensor]]):
    """Load a model without running it, and return shape and type of every tensor of its main graph."""

    path: str


class Failed(NamedTuple):
    """The answer to a message that failed.

    Attributes:
        text: why.
        sample: the number of the sample that was run, and the sample itself.
    """

    text: str
    sample: tuple[int, Sequence[Array]] | None = None


class Accumulator(Protocol):
    """Collects a model's outputs, sample by sample; created by the parent process, filled in the worker."""

    def add(self, index: int, outputs: Sequence[Array]) -> None:
        """Add the outputs of one run, in graph order; `index` is the sample's number."""

    def merge(self, other: Any) -> Accumulator:
        """What both have collected; the order does not matter."""


@dataclass(frozen=True, eq=False, repr=False)
class Measure(Message[None]):
    """Start running samples through a model.

    Attributes:
        path: the model's file.
        threads: number of threads.
        accumulator: an empty accumulator, which collects the outputs.
        together: whether all threads work on one sample at a time, instead of each on its own sample.
    """

    path: str
    threads: int
    accumulator: Accumulator
    together: bool = False


@dataclass(frozen=True, eq=False, repr=False)
class Sample:
    """One sample to measure; it has no answer."""

    index: int
    arrays: Sequence[Array]


@dataclass(frozen=True, eq=False, repr=False)
class FinishMeasuring(Message[Accumulator]):
    """End the samples and return the filled accumulator."""


@dataclass(frozen=True, eq=False, repr=False)
class Put(Message[None]):
    """Begin a run in pieces (`steps`) with these values: number -> one array for each sample."""

    values: Mapping[int, Sequence[Array]]


@dataclass(frozen=True, eq=False, repr=False)
class Advance(Message[None]):
    """Run a piece on every sample.

    Attributes:
        path: the piece's file.
        takes, gives: numbers of its inputs and outputs, in graph order.
        drops: numbers of the values that nothing reads afterwards.
        threads: number of threads.
    """

    path: str
    takes: Sequence[int]
    gives: Sequence[int]
    drops: Sequence[int]
    threads: int


@dataclass(frozen=True, eq=False, repr=False)
class Look(Message[Any]):
    """Return what a function makes of a value, a list of one array for each sample."""

    key: int
    function: Callable[[Sequence[Array]], Any]
