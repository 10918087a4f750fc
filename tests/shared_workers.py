"""Worker processes shared between cases: starting one costs more CPU than most cases take.

A child that has answered all it was asked goes back to the pool when its `WorkerProcess` is closed, and the next one takes
it up. One that crashed, failed, was restarted or still has samples in hand does not. Cases that watch processes, memory or
the environment are marked `own_workers`.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import pytest

from fullint.limits import Limits
from fullint.runtime.messages import FinishMeasuring, Measure, Message
from fullint.runtime.process import WorkerProcess

MOST_IDLE = 3
USES = 200
"""A child is let go after so many, so that memory which the runtime holds on to does not pile up."""


class Pool:
    """Children that wait for work."""

    def __init__(self) -> None:
        self.idle: list[tuple[subprocess.Popen[bytes], IO[bytes], int]] = []
        self.uses: dict[int, int] = {}

    def take(self) -> tuple[subprocess.Popen[bytes], IO[bytes]] | None:
        while self.idle:
            child, log, uses = self.idle.pop()
            if child.poll() is None:
                self.uses[child.pid] = uses + 1
                log.seek(0)
                log.truncate()
                return child, log
        return None

    def give(self, child: subprocess.Popen[bytes], log: IO[bytes]) -> bool:
        uses = self.uses.pop(child.pid, 0)
        if child.poll() is not None or len(self.idle) >= MOST_IDLE or uses >= USES:
            return False
        self.idle.append((child, log, uses))
        return True

    def end(self) -> None:
        for child, log, _ in self.idle:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout, log):
                if pipe is not None:
                    pipe.close()
        self.idle.clear()


@contextmanager
def shared(pool: Pool, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """`WorkerProcess` takes its children from a pool, and gives them back."""
    start, close, receive, send = WorkerProcess._start, WorkerProcess.close, WorkerProcess.receive, WorkerProcess.send

    def take(self: Any) -> None:
        self.usable = self.limits == Limits()
        known = pool.take() if self.usable else None
        if known is None:
            start(self)
        else:
            self._process, self._log = known

    def watched_send(self: Any, message: Message[Any]) -> None:
        if isinstance(message, Measure):
            self.usable = False  # until its end has been answered
        send(self, message)

    def watched_receive(self: Any, asked: type[Message[Any]]) -> Any:
        try:
            answer = receive(self, asked)
        except BaseException:
            self.usable = False
            raise
        if asked is FinishMeasuring:
            self.usable = True
        return answer

    def give(self: Any) -> None:
        if not (self.usable and not self.waiting and pool.give(self._process, self._log)):
            close(self)
        self.usable = False

    patch.setattr(WorkerProcess, "_start", take)
    patch.setattr(WorkerProcess, "close", give)
    patch.setattr(WorkerProcess, "send", watched_send)
    patch.setattr(WorkerProcess, "receive", watched_receive)
    yield
