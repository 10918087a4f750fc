"""Jobs done by processes of this machine, each with a thread here.

    jobs  -->  thread 1 --line--> process 1 --line--> outcome
               thread 2 --line--> process 2 --line--> outcome

One that crashes takes its job with it, and no other.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from fullint.fleets.cores import Cores
from fullint.fleets.jobs import Job
from fullint.fleets.outcome import JobOutcome
from fullint.runtime.spawn import Child, start

CHILD = "fullint.fleets.child"


def outcomes(
    jobs: Sequence[Job], processes: Sequence[Cores], cache: str | Path | None = None, *, force: bool = False
) -> Iterator[tuple[int, JobOutcome]]:
    """(number of a job, its outcome), in the order in which they end.

    Args:
        jobs: to do.
        processes: the cores of each that works at the same time; none where it may go anywhere.
        cache: folder of finished work.
        force: whether outputs are overwritten.
    """
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(len(jobs)):
        waiting.put(number)
    done: queue.SimpleQueue[tuple[int, JobOutcome] | BaseException] = queue.SimpleQueue()
    rest = str(cache or ""), "force" if force else ""
    slots = [_Slot(jobs, waiting, done, (*rest, ",".join(map(str, cores)))) for cores in processes[: len(jobs)]]
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
        arguments: Sequence[str],
    ) -> None:
        self.jobs, self.waiting, self.done, self.arguments = jobs, waiting, done, arguments
        self.child: Child | None = None
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
        begun = time.perf_counter()
        if self.child is None:
            self.child = start(CHILD, self.arguments)
        child, process = self.child, self.child.process
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
        message = f"its process {child.account()}"
        self._stop()
        return JobOutcome(job.models, job.output, "crashed", 2, round(time.perf_counter() - begun, 3), {}, message)

    def _stop(self) -> None:
        child, self.child = self.child, None
        if child is not None:
            child.end()
