"""Running models, user's side: every interpreter runs in a child process.

    with WorkerProcess() as worker:
        worker.call(Open(path, "reference", 1))
        outputs = worker.call(Run(arrays))

A crash in the child (a segmentation fault, an abort) becomes an exception here. The child starts while the first message is
prepared, or earlier (`spawn`); importing NumPy and the runtime takes it a tenth of a second.
"""

from __future__ import annotations

import contextlib
import pickle
import signal
import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from fullint.errors import RuntimeFailure, UsageError
from fullint.limits import OVERDUE, Limits, limits
from fullint.model.ir import Model
from fullint.model.tflite import write_file
from fullint.runtime.messages import Answer, FinishMeasuring, Measure, Message, Sample
from fullint.runtime.spawn import Child, put_by, worker_child
from fullint.temporary import temporary_file

OUT_OF_MEMORY = (-signal.SIGABRT, -signal.SIGSEGV)
"""How LiteRT ends where it gets no memory; it ends so for other reasons, too."""
ABOUT_MEMORY = ("memory", "Memory", "llocate", "reshape runtime")
"""Words of what LiteRT says where it gets none."""


class WorkerProcess:
    """A child process that answers messages.

    Args:
        what: names the model in error messages.
        within: how much memory and time it may take; those of the context (`limits`) by default.
    """

    def __init__(self, what: str = "the model", within: Limits | None = None) -> None:
        self.what = what
        self.limits = within or limits()
        self.waiting: deque[type[Any]] = deque()
        """Types of the messages not yet answered, oldest first."""
        self.patience: float | None = None
        """Seconds to wait for an answer; None means no limit."""
        self._sound = True
        self._start()

    @property
    def idle(self) -> bool:
        """Whether it lives, and has nothing left to answer."""
        return self._process.poll() is None and not self.waiting

    def restart(self) -> None:
        """Replace a crashed or failed child by a new one; pending answers are lost."""
        self._sound = False
        self.close()
        self.waiting.clear()
        self._sound = True
        self._start()

    def _start(self) -> None:
        self._process, self._log = worker_child(self.limits)

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def send(self, message: Message[Answer]) -> None:
        """Send a message; `receive` waits for its answer."""
        self.waiting.append(type(message))
        self._sound &= not isinstance(message, Measure)  # until its end has been answered
        self._write(message, flush=True)

    def post(self, sample: Sample) -> None:
        """Send a sample, which has no answer."""
        self._write(sample, flush=False)

    def _write(self, message: object, *, flush: bool) -> None:
        assert self._process.stdin is not None
        try:
            pickle.dump(message, self._process.stdin, protocol=5)
            if flush:
                self._process.stdin.flush()
        except (BrokenPipeError, OSError) as e:
            raise self._crash() from e

    def receive(self, asked: type[Message[Answer]]) -> Answer:
        """Wait for the answer to the oldest message not yet answered.

        Args:
            asked: the type of that message, which determines the type of the answer.

        Raises:
            RuntimeFailure: the runtime rejected the request, the child crashed, or it took longer than `patience`.
        """
        sound, self._sound = self._sound or asked is FinishMeasuring, False
        kind = self.waiting.popleft()
        assert kind is asked, f"{kind.__name__} is to be answered next, not {asked.__name__}"
        assert self._process.stdout is not None
        late = threading.Event()

        def end() -> None:
            late.set()
            self._process.kill()

        timer = threading.Timer(self.patience, end) if self.patience else None
        if timer is not None:
            timer.daemon = True
            timer.start()
        try:
            done, value = pickle.load(self._process.stdout)
        except (EOFError, pickle.UnpicklingError) as e:
            if late.is_set():
                raise RuntimeFailure(
                    f"{self.what} did not finish within {self.patience:.0f} s: a loop in it may never end", crashed=True
                ) from e
            raise self._crash() from e
        finally:
            if timer is not None:
                timer.cancel()
        if not done:
            said = value.text.strip() or "it gives no reason"
            hint = self._memory_hint() if said != value.text or any(word in said for word in ABOUT_MEMORY) else ""
            raise RuntimeFailure(f"LiteRT rejects {self.what}: {said}{hint}", sample=value.sample)
        self._sound = sound
        answer: Answer = value
        return answer

    def call(self, message: Message[Answer]) -> Answer:
        """Send a message and wait for its answer."""
        self.send(message)
        return self.receive(type(message))

    def peak_memory(self) -> int:
        """Peak resident memory of the child so far, in bytes (0 if the system does not report it)."""
        with contextlib.suppress(OSError, ValueError):
            text = Path(f"/proc/{self._process.pid}/status").read_text()
            return 1024 * next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM"))
        return 0

    def close(self) -> None:
        """End the child process, or let it wait for other work (`spawn.kept_warm`)."""
        child, self._sound = Child(self._process, self._log), self._sound and not self.waiting
        if not (self._sound and put_by(child, self.limits)):
            child.end()
        self._sound = False

    def _crash(self) -> RuntimeFailure:
        code = self._process.wait()
        if code == OVERDUE:
            allowed = f" of {self.limits.seconds:g} s" if self.limits.seconds is not None else ""
            return RuntimeFailure(
                f"{self.what} was stopped: a run took longer than its limit{allowed}; a loop in it may never end. "
                f"If it only takes long: {self.limits.option}",
                crashed=True,
            )
        child = Child(self._process, self._log)
        cause, said = child.cause(), "; ".join(child.last_words(2))
        hint = self._memory_hint() if code in OUT_OF_MEMORY else ""
        return RuntimeFailure(f"LiteRT crashed on {self.what} ({cause}){': ' + said if said else ''}{hint}", crashed=True)

    def _memory_hint(self) -> str:
        most = f"{self.limits.memory / 1e9:.3g} GB" if self.limits.memory is not None else "4 x the model + 2 GB"
        return f"; should it need more than {most} of memory: --worker-memory"


@contextlib.contextmanager
def model_file(model: bytes | Model) -> Iterator[str]:
    """A temporary file with a model, for the runtime to map into memory."""
    with contextlib.ExitStack() as stack:
        try:
            path = str(stack.enter_context(temporary_file(".tflite")))
            if isinstance(model, Model):
                write_file(model, path)
            else:
                Path(path).write_bytes(model)
        except OSError as e:
            where = f"cannot write a temporary file in {tempfile.gettempdir()}: {e.strerror or e}"
            raise UsageError(f"{where}; set TMPDIR to a folder with free space") from e
        yield path
