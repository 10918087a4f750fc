"""How much memory and time a worker may take, so that no model takes down the machine or never ends.

    memory   what was asked for, or 4 x the model + 2 GB of private memory (RLIMIT_DATA: Linux only)
    run      what was asked for, or 10 x its model's first run, at least 60 s;
             (both of the wall and of the CPU, so that a busy machine stops nothing)
             the first run: 60 s for each 100 MB of the model, at least 60; ten times as long on the reference kernels

The limits hold for whatever runs inside `limited`, since workers are started far from where options are read.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace

from fullint.errors import UsageError

MODELS, BASE_BYTES = 4, 2 * 10**9
LEAST_SECONDS, TIMES_FIRST = 60.0, 10.0
BYTES_PER_LEAST = 100_000_000
SLOWER_KERNELS = {"reference": 10.0}
"""How many times longer than on the others a run takes on these kernels."""
OVERDUE = 86
"""Exit code of a worker that stopped itself since a run took too long."""


@dataclass(frozen=True)
class Limits:
    """Of each worker.

    Attributes:
        memory: bytes; None for the default.
        seconds: of one run; None for the default.
        option: that sets `seconds`.
    """

    memory: int | None = None
    seconds: float | None = None
    option: str = "--worker-seconds"

    def within(self, seconds: float, option: str) -> Limits:
        """These, with at most so many seconds for a run, which another option sets."""
        return self if self.seconds is not None and self.seconds <= seconds else replace(self, seconds=seconds, option=option)

    def memory_for(self, model_bytes: int) -> int:
        """Bytes that a worker may take for a model of so many bytes."""
        return self.memory if self.memory is not None else MODELS * model_bytes + BASE_BYTES

    def first_run(self, model_bytes: int, kernels: str) -> float:
        """Seconds that a model's first run may take."""
        if self.seconds is not None:
            return self.seconds
        return LEAST_SECONDS * max(1.0, model_bytes / BYTES_PER_LEAST) * SLOWER_KERNELS.get(kernels, 1.0)

    def next_run(self, first: float) -> float:
        """Seconds that a run may take if the model's first one took `first` seconds."""
        return self.seconds if self.seconds is not None else max(LEAST_SECONDS, TIMES_FIRST * first)

    def arguments(self) -> list[str]:
        """For a worker's command line."""
        return ["" if self.memory is None else str(self.memory), "" if self.seconds is None else repr(self.seconds)]

    @classmethod
    def parse(cls, memory: str, seconds: str) -> Limits:
        """What `arguments` made."""
        return cls(int(memory) if memory else None, float(seconds) if seconds else None)


LEAST_GB = 0.5
"""A worker needs about half of it for itself."""
_LIMITS: ContextVar[Limits | None] = ContextVar("fullint_limits", default=None)


def limits() -> Limits:
    """Those that hold here."""
    return _LIMITS.get() or Limits()


@contextlib.contextmanager
def limited(memory_gb: float | None, seconds: float | None) -> Iterator[None]:
    """A context in which workers have these limits, in GB (10^9 bytes) and seconds; None for the defaults.

    Raises:
        UsageError: a value makes no sense.
    """
    for name, value in (("worker_memory", memory_gb), ("worker_seconds", seconds)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf):
            raise UsageError(f"{name} must be a number above 0, not {value!r}")
    if memory_gb is not None and memory_gb < LEAST_GB:
        raise UsageError(f"worker_memory must be at least {LEAST_GB} GB, not {memory_gb}")
    before = _LIMITS.set(Limits(None if memory_gb is None else math.ceil(memory_gb * 1e9), seconds))
    try:
        yield
    finally:
        _LIMITS.reset(before)
