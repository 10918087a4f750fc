"""Messages of a benchmark to its worker; kept apart from `messages`, since only benchmarks use them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fullint.model.ir import Array
from fullint.runtime.messages import Message

InputShapes = Sequence[tuple[tuple[int, ...], str]]


Opened = tuple[float, list[InputShapes]]
"""(seconds that opening took, (shape, type) of each input of each model)."""


@dataclass(frozen=True, eq=False, repr=False)
class OpenCompiled(Message[Opened]):
    """Compile models with LiteRT's C API, to be run one after the other; a set with and one without profiler is kept."""

    paths: Sequence[str]
    kernels: str
    threads: int
    profiling: bool


@dataclass(frozen=True, eq=False, repr=False)
class OpenPlain(Message[Opened]):
    """Open one model in the interpreter, which has no profiler but can load a delegate from a library."""

    path: str
    kernels: str
    threads: int
    library: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, repr=False)
class Fill(Message[None]):
    """Copy inputs to the buffers of each open model."""

    arrays: Sequence[Sequence[Array]]


@dataclass(frozen=True, eq=False, repr=False)
class Loop(Message[list[float]]):
    """Run all models and return the seconds of each run.

    Attributes:
        runs: minimum number of runs.
        least: minimum total time, in seconds.
        most: maximum total time, in seconds.
        delay: seconds to wait before each run.
    """

    runs: int
    least: float
    most: float
    delay: float = 0.0


@dataclass(frozen=True, eq=False, repr=False)
class ProfileRuns(Message[float]):
    """Run the models with the profiler and return the mean seconds per run; `keep` adds the events to the profile."""

    runs: int
    keep: bool = True


Profile = tuple[list[tuple[Any, ...]], list[float], float]
"""(rows in order of execution, seconds of each run by its rows, mean seconds per run by the clock)."""


@dataclass(frozen=True, eq=False, repr=False)
class Profiles(Message[list[Profile]]):
    """Return the profile of each model."""


@dataclass(frozen=True, eq=False, repr=False)
class Memory(Message[int]):
    """Return the worker's resident memory in bytes."""
