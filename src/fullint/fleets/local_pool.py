"""Jobs done by processes of this machine; one that crashes takes its job with it, and no other.

jobs  -->  thread 1 --line--> process 1 --line--> outcome        a thread here for each process
thread 2 --line--> process 2 --line--> outcome
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from fullint.fleets.child import BOOT
from fullint.fleets.jobs import Job
from fullint.fleets.outcome import JobOutcome
from fullint.runtime.spawn import import_path

LAST_WORDS = 400
"""Characters of what a crashed process has said last."""


def outcomes(
    jobs: Sequence[Job], processes: int, cache: str | Path | None = None, *, force: bool = False
) -> Iterator[tuple[int, JobOutcome]]:
    """(number of a job, its outcome), in the order in which they end.

    Args:
        jobs: to do.
        processes: that work at the same time.
        cache: folder of finished work.
        force: whether outputs are overwritten.
    """
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(len(jobs)):
        waiting.put(number)
    done: queue.SimpleQueue[tuple[int, JobOutcome] | BaseException] = queue.SimpleQueue()
    slots = [_Slot(jobs, waiting, done, str(cache or ""), "force" if force else "") for _ in range(min(processes, len(jobs)))]
    try:
        for slot in slots:
            slot.thread.start()
        for _ in jobs:
            found = done.get()
            if isinstance(found, BaseException):
                raise found
            yield found
    finally:
        for slot in slots:
            slot.end()


class _Slot:
    """A process, and the thread that gives it jobs."""

    def __init__(
        self,
        jobs: Sequence[Job],
        waiting: queue.SimpleQueue[int],
        done: queue.SimpleQueue[tuple[int, JobOutcome] | BaseException],
        cache: str,
        force: str,
    ) -> None:
        self.jobs, self.waiting, self.done, self.arguments = jobs, waiting, done, (cache, force)
        self.process: subprocess.Popen[bytes] | None = None
        self.log: IO[bytes] | None = None
        self.ended = False
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def end(self) -> None:
        """End the process, and with it what it does."""
        self.ended = True
        self._stop()

    def _serve(self) -> None:
        try:
            while not self.ended:
                try:
                    number = self.waiting.get_nowait()
                except queue.Empty:
                    break
                self.done.put((number, self._one(self.jobs[number])))
        except BaseException as e:  # raised where outcomes are waited for
            self.done.put(e)
        finally:
            self._stop()

    def _one(self, job: Job) -> JobOutcome:
        start = time.perf_counter()
        process = self._running()
        said = {"command": job.command, "models": job.models, "output": job.output, "options": job.options}
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps(said).encode() + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except (BrokenPipeError, OSError):
            line = b""
        if line.endswith(b"\n"):
            return JobOutcome.of_plain(json.loads(line))
        message = f"its process ended ({self._cause(process.wait())}){self._last_words()}"
        self._stop()
        return JobOutcome(job.models, job.output, "crashed", 2, round(time.perf_counter() - start, 3), {}, message)

    def _running(self) -> subprocess.Popen[bytes]:
        if self.process is None:
            self.log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
            self.process = subprocess.Popen(
                [sys.executable, "-c", BOOT, *self.arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.log,
                env={**os.environ, "PYTHONPATH": import_path()},
            )
        return self.process

    def _cause(self, code: int) -> str:
        return signal.strsignal(-code) or f"signal {-code}" if code < 0 else f"exit code {code}"

    def _last_words(self) -> str:
        if self.log is None:
            return ""
        self.log.seek(0)
        lines = [
            line.strip() for line in self.log.read()[-8 * LAST_WORDS :].decode(errors="replace").splitlines() if line.strip()
        ]
        return f": {lines[-1][:LAST_WORDS]}" if lines else ""

    def _stop(self) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        with contextlib.suppress(OSError):
            if process.stdin is not None:
                process.stdin.close()
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        if self.log is not None:
            self.log.close()
