"""A worker's watch: it ends the process when a run takes too long, or when the parent is gone.

    with watch.run():        the clock of this thread's run starts
        runner.invoke()      overdue, or nobody is left at the other end of standard input  ->  the process ends

A thread looks at clock and pipe twice a second; LiteRT lets other threads run while it computes.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

from fullint.limits import OVERDUE, Limits
from fullint.temporary import remove_of

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

BUSY = 10.0
"""A run that hardly computes may take so many times its limit: the machine may be busy."""
EVERY = 0.5
"""Seconds between two looks."""
ENDED = ("Z", "X")
"""States of a process that has ended, and that its parent has not looked at yet."""


class Parent(NamedTuple):
    """The process that a worker works for.

    Attributes:
        pid: its number.
        token: of its temporary files.
        temporary: the folder that they are in.
        direct: whether this process is its child.
    """

    pid: int
    token: str
    temporary: str
    direct: bool

    def gone(self) -> bool:
        """Whether it has ended; the pipe may still be held by a process that it has forked."""
        if os.name != "posix":
            return False
        if self.direct:
            return os.getppid() != self.pid
        try:  # a launcher stands between, or it has ended before this process asked
            os.kill(self.pid, 0)
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] in ENDED
        except ProcessLookupError:
            return True
        except OSError:  # no /proc
            return False


class _Clock(NamedTuple):
    """When a run began, by `Watch.awake` and by this process's CPU time, and how many seconds it may take."""

    start: float
    cpu: float
    allowed: float

    def overdue(self, awake: float, cpu: float) -> bool:
        """Whether it has taken too long, and not only since other processes were given the CPU."""
        passed, computed = awake - self.start, cpu - self.cpu
        return passed > self.allowed and (computed > self.allowed or passed > BUSY * self.allowed)


class Watch:
    """Limits of this process's runs.

    Args:
        limits: to keep.
        parent: that is watched, and whose temporary files are removed if it is gone; None to watch no parent.
        pipe: descriptor of the pipe that the parent holds the other end of.
    """

    def __init__(self, limits: Limits, parent: Parent | None = None, pipe: int = 0) -> None:
        self.limits, self.parent, self.pipe = limits, parent, pipe
        self.awake = 0.0
        """Seconds that this process has lived, without those in which it was stopped (Ctrl-Z)."""
        self.clocks: dict[int, _Clock] = {}
        """Of the run of each thread."""
        self.allowed = 0.0
        """Seconds for the next run."""
        self.first = True
        self.memory = 0
        threading.Thread(target=self._look, daemon=True).start()

    def _expect(self, path: str, kernels: str) -> None:
        """Set the limits for a model that is about to be loaded; memory that was allowed before stays allowed."""
        size = Path(path).stat().st_size if Path(path).exists() else 0
        self.allowed, self.first = self.limits.first_run(size, kernels), True
        memory = self.limits.memory_for(size)
        if resource is None or memory <= self.memory:
            return
        self.memory = memory
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        soft = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))

    @contextlib.contextmanager
    def run(self) -> Iterator[None]:
        """The time of one run, in this thread; the first one says how long the others may take."""
        start = time.monotonic()
        try:
            with self._timed():
                yield
        finally:
            if self.first and self.allowed:
                self.first, self.allowed = False, self.limits.next_run(time.monotonic() - start)

    @contextlib.contextmanager
    def loading(self, path: str, kernels: str) -> Iterator[None]:
        """The limits of a model, and the time that it may take to load: that of its first run."""
        self._expect(path, kernels)
        with self._timed():
            yield

    @contextlib.contextmanager
    def _timed(self) -> Iterator[None]:
        thread = threading.get_ident()
        if self.allowed:
            self.clocks[thread] = _Clock(self.awake, time.process_time(), self.allowed)
        try:
            yield
        finally:
            self.clocks.pop(thread, None)

    def leave(self) -> NoReturn:
        """End, since nobody is at the other end; a parent that is still there ends this process meanwhile."""
        time.sleep(EVERY)
        if self.parent is not None and self.parent.gone():
            remove_of(self.parent.token, Path(self.parent.temporary))
        os._exit(0)

    def _look(self) -> None:
        poll, looked = None, time.monotonic()
        if self.parent is not None and hasattr(select, "poll"):
            poll = select.poll()
            poll.register(self.pipe, 0)  # only whether the other end is closed
        while True:
            if poll is None:
                time.sleep(EVERY)
            elif poll.poll(EVERY * 1000) or (self.parent is not None and self.parent.gone()):
                self.leave()
            looked, before = time.monotonic(), looked
            self.awake += min(looked - before, 2 * EVERY)
            if any(clock.overdue(self.awake, time.process_time()) for clock in list(self.clocks.values())):
                sys.stderr.flush()
                os._exit(OVERDUE)
