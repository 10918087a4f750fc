"""What a benchmark asks of a worker, apart from `messages`, since nothing else needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fullint.model.ir import Array
from fullint.runtime.messages import Message

InputShapes = Sequence[tuple[tuple[int, ...], str]]


Opened = tuple[float, list[InputShapes]]
"""(seconds it took, (shape, type) of each input of each model)."""


@dataclass(frozen=True, eq=False, repr=False)
class OpenCompiled(Message[Opened]):
    """Compile models that run one after the other, by LiteRT's C API; those with the profiler are kept beside those without."""

    paths: Sequence[str]
    kernels: str
    threads: int
    profiling: bool


@dataclass(frozen=True, eq=False, repr=False)
class OpenPlain(Message[Opened]):
    """The same of one model in the interpreter, which has no profiler, but takes delegates from a library."""

    path: str
    kernels: str
    threads: int
    library: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, repr=False)
class Fill(Message[None]):
    """Put inputs in the buffers of each model, of those with the profiler too."""

    arrays: Sequence[Sequence[Array]]


@dataclass(frozen=True, eq=False, repr=False)
class Loop(Message[list[float]]):
    """Seconds of each run of all models: at least `runs` and `least` seconds of them, at most `most` seconds.

    `delay`: seconds of rest before each.
    """

    runs: int
    least: float
    most: float
    delay: float = 0.0


@dataclass(frozen=True, eq=False, repr=False)
class ProfileRuns(Message[float]):
    """Runs of the models with the profiler; seconds of one. `keep`: count them in."""

    runs: int
    keep: bool = True


Profile = tuple[list[tuple[Any, ...]], list[float], float]
"""(rows in order of execution, seconds of each run by them, mean seconds of a run by the clock)."""


@dataclass(frozen=True, eq=False, repr=False)
class Profiles(Message[list[Profile]]):
    """The profile of each model."""


@dataclass(frozen=True, eq=False, repr=False)
class Memory(Message[int]):
    """Resident bytes of the worker."""
