"""Child processes that answer on pipes, and workers that are started early: while a command still imports what it needs.

    with started_early(2):
        import fullint.quantization.pipeline        the children import NumPy and LiteRT meanwhile
        WorkerProcess()                             has the first of them
        WorkerProcess()                             has the second

What nobody took is ended with the context. Where one job follows the other, workers go from each to the next:

    with kept_warm(2):
        WorkerProcess().close()                 nothing was wrong with it: it waits
        WorkerProcess()                         has it again
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import IO, NamedTuple

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

from fullint.limits import Limits
from fullint.temporary import remove_own, token

F_SETPIPE_SZ, PIPE_BYTES = 1031, 2**20
"""Linux: enlarge pipes to 1 MiB, so that a sample is passed in one piece and not in many."""
_BOOT = "import sys; sys.path[:] = filter(None, sys.path); from {} import main; main()"
"""The current folder is removed from the path, so that a user's file with the name of a module is not imported."""
_NOISE = ("INFO:", "WARNING:", "W0000", "I0000", "VERBOSE:")
"""How lines begin that LiteRT writes in any run."""
_LAST_BYTES, _LAST_LINES, _LONGEST_LINE = 4000, 2, 400
"""Of what a process that has crashed said."""


class Child(NamedTuple):
    """A process, and the file with what it says on its error stream."""

    process: subprocess.Popen[bytes]
    log: IO[bytes]

    def last_words(self, most: int) -> list[str]:
        """The last lines that it has said."""
        self.log.seek(0)
        lines = self.log.read()[-_LAST_BYTES:].decode(errors="replace").splitlines()
        return [line.strip()[:_LONGEST_LINE] for line in lines if line.strip() and not line.startswith(_NOISE)][-most:]

    def cause(self) -> str:
        """How it ended, in words; it is waited for."""
        code = self.process.wait()
        return signal.strsignal(-code) or f"signal {-code}" if code < 0 else f"exit code {code}"

    def account(self) -> str:
        """That it ended, how, and the last that it has said; it is waited for."""
        return ": ".join([f"ended ({self.cause()})", *self.last_words(_LAST_LINES)])

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


class _Spares(NamedTuple):
    """Workers that wait for work: each with how often it was used; at most so many come back."""

    waiting: deque[tuple[Child, int]]
    most: int
    uses: dict[int, int]
    """Of those that are at work, by process."""


_SPARES: ContextVar[_Spares | None] = ContextVar("fullint_spare_workers", default=None)
_MOST_USES = 100
"""Then a worker is ended, so that memory which the runtime holds on to does not pile up."""


@contextlib.contextmanager
def started_early(count: int) -> Iterator[None]:
    """A context whose first workers, with the default limits, have been started when it begins."""
    with _with_spares([_started(Limits()) for _ in range(count)], 0):
        yield


@contextlib.contextmanager
def kept_warm(most: int) -> Iterator[None]:
    """A context in which workers that are closed, and that nothing is wrong with, wait for the next; at most so many."""
    with _with_spares([], most):
        yield


@contextlib.contextmanager
def _with_spares(children: Sequence[Child], most: int) -> Iterator[None]:
    spares = _Spares(deque((child, 0) for child in children), most, {})
    before = _SPARES.set(spares)
    try:
        yield
    finally:
        _SPARES.reset(before)
        for child, _ in spares.waiting:
            child.end()


def worker_child(limits: Limits) -> Child:
    """A worker's process: one that waits for work, or a new one."""
    spares = _SPARES.get()
    while spares is not None and spares.waiting and limits == Limits():
        child, uses = spares.waiting.popleft()
        if child.process.poll() is None:
            spares.uses[child.process.pid] = uses
            return child
        child.end()
    return _started(limits)


def put_by(child: Child, limits: Limits) -> bool:
    """Let a worker wait for other work, where that is wanted; nothing may be wrong with it, and no answer be missing."""
    spares = _SPARES.get()
    if spares is None or limits != Limits() or child.process.poll() is not None:
        return False
    uses = spares.uses.pop(child.process.pid, 0) + 1
    if len(spares.waiting) >= spares.most or uses >= _MOST_USES:
        return False
    child.log.seek(0)
    child.log.truncate()
    with contextlib.suppress(OSError):  # its peak memory is that of its next work
        Path(f"/proc/{child.process.pid}/clear_refs").write_text("5")
    spares.waiting.append((child, uses))
    return True


def _started(limits: Limits) -> Child:
    arguments = (*limits.arguments(), str(os.getpid()), token(), tempfile.gettempdir())
    return start("fullint.runtime.worker", arguments, {"OPENBLAS_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"})


def start(module: str, arguments: Sequence[str], more: Mapping[str, str] | None = None) -> Child:
    """A new process that runs the `main` of a module, with pipes for its input and output.

    Args:
        module: its name.
        arguments: of its command line.
        more: variables, besides those of this process.
    """
    log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child
    process = subprocess.Popen(
        [sys.executable, "-c", _BOOT.format(module), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        env={**os.environ, **(more or {}), "PYTHONPATH": _import_path()},
    )
    if fcntl is not None and process.stdin is not None and process.stdout is not None:
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                fcntl.fcntl(pipe.fileno(), F_SETPIPE_SZ, PIPE_BYTES)
    return Child(process, log)


def end_with_input(pipe: int) -> None:
    """In a child, on a thread: end at once where the other end of the input is closed; nobody waits for what is running."""
    if not hasattr(select, "poll"):
        return
    poll = select.poll()
    poll.register(pipe, 0)  # only whether it is closed
    poll.poll()
    remove_own()
    os._exit(1)


def _import_path() -> str:
    """PYTHONPATH for the child, so that it finds the same fullint and the same packages as this process."""
    return os.pathsep.join([str(Path(__file__).parents[2]), *(p for p in sys.path if p)])
