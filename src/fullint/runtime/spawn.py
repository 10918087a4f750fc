"""Starting workers, also early: while a command still imports what it needs, its workers do so, too.

with started_early(2):
import fullint.quantization.pipeline        the children import NumPy and LiteRT meanwhile
WorkerProcess()                             has the first of them
WorkerProcess()                             has the second
what nobody took is ended
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import IO, NamedTuple

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

from fullint.limits import Limits
from fullint.temporary import token

F_SETPIPE_SZ, PIPE_BYTES = 1031, 2**20
"""Linux: enlarge pipes to 1 MiB, so that a sample is passed in one piece and not in many."""
_BOOT = "import sys; sys.path[:] = filter(None, sys.path); from fullint.runtime.worker import main; main()"
"""The current folder is removed from the path, so that a user's file with the name of a module is not imported."""


class Child(NamedTuple):
    """A worker's process, and the file with what it says on its error stream."""

    process: subprocess.Popen[bytes]
    log: IO[bytes]

    def end(self) -> None:
        """End it, and forget what it said."""
        with contextlib.suppress(OSError):
            if self.process.stdin is not None:
                self.process.stdin.close()
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.log.close()


_EARLY: ContextVar[deque[Child] | None] = ContextVar("fullint_early_workers", default=None)


@contextlib.contextmanager
def started_early(count: int) -> Iterator[None]:
    """A context whose first workers, with the default limits, have been started when it begins."""
    children = deque(_started(Limits()) for _ in range(count))
    before = _EARLY.set(children)
    try:
        yield
    finally:
        _EARLY.reset(before)
        for child in children:
            child.end()


def worker_child(limits: Limits) -> Child:
    """A worker's process: one that was started early, or a new one."""
    early = _EARLY.get()
    return early.popleft() if early and limits == Limits() else _started(limits)


def _started(limits: Limits) -> Child:
    log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": import_path()}
    process = subprocess.Popen(
        [sys.executable, "-c", _BOOT, *limits.arguments(), str(os.getpid()), token(), tempfile.gettempdir()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        env=environment,
    )
    if fcntl is not None and process.stdin is not None and process.stdout is not None:
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                fcntl.fcntl(pipe.fileno(), F_SETPIPE_SZ, PIPE_BYTES)
    return Child(process, log)


def import_path() -> str:
    """PYTHONPATH for the child, so that it finds the same fullint and the same packages as this process."""
    return os.pathsep.join([str(Path(__file__).parents[2]), *(p for p in sys.path if p)])
