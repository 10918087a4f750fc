"""The float model and the result, run on the same samples in two processes, a few samples ahead of what is judged.

    other    exact 0   exact 1      known before there is a result: `ExactOutputs`
    worker                          exact 2   exact 3   exact 4     begun while the other process still runs the slow kernels
    other                                     result 0  result 1  result 2
    here                                                judge 0   judge 1

exact: outputs of the float model, result: those of the integer model, for samples 0, 1, ...
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence

from fullint.errors import RuntimeFailure, VerificationError
from fullint.model.ir import Array
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import WorkerProcess

AHEAD, THREADS = 2, 2
BEGUN = 24
"""Most samples that the float model is begun on: their outputs wait in the process."""


class ExactOutputs:
    """What the float model answers to some samples, found out in an idle process; the samples are told by being the same objects.

    Args:
        worker: idle until `collect` is called.
        path: of the model.
        samples: arrays in graph input order.
    """

    def __init__(self, worker: WorkerProcess, path: str, samples: Sequence[Sequence[Array]]) -> None:
        self.worker, self.samples = worker, samples
        self.waiting = bool(samples)
        self.found: dict[int, list[Array]] = {}
        with contextlib.suppress(RuntimeFailure):  # who needs it finds that out again, and says so
            if samples:
                worker.send(Open(path, "xnnpack", 1, [a.shape for a in samples[0]]))
            for sample in samples:
                worker.send(Run(list(sample)))

    def collect(self) -> None:
        """Wait for the answers; of a model that does not run there are none."""
        if not self.waiting:
            return
        self.waiting = False
        try:
            self.worker.receive(Open)
            for sample in self.samples:
                self.found[id(sample)] = self.worker.receive(Run)
        except RuntimeFailure:
            self.worker.restart()

    def of(self, sample: Sequence[Array]) -> list[Array] | None:
        """The outputs for a sample, None where they are not known."""
        return self.found.get(id(sample))


class PairedRuns:
    """Runs of both, in the order of the samples.

    Args:
        original, path: files of the float model and of the result.
        worker, other: processes for the one and the other.
        shapes: of a sample's arrays.
        inputs: makes a sample what the result takes.
        known: outputs of the float model that are known.
    """

    def __init__(
        self,
        original: str,
        path: str,
        worker: WorkerProcess,
        other: WorkerProcess,
        shapes: Sequence[tuple[int, ...]],
        inputs: Callable[[Sequence[Array]], list[Array]],
        known: ExactOutputs | None = None,
    ) -> None:
        self.original, self.path, self.shapes, self.inputs, self.known = original, path, shapes, inputs, known
        self.worker, self.other = worker, other
        self.open = {"original": False, "path": False}
        self.begun = 0
        """Runs of the float model that `results` has not come to."""
        self.answered: dict[int, list[Array]] = {}
        """What the result has answered already, to samples for which the float model's outputs are known, by `id`."""
        self.waiting: deque[tuple[list[Array] | None, list[Array] | None]] = deque()
        """For each run in order, the outputs of the float model and of the result, where they are known."""

    def known_of(self, sample: Sequence[Array]) -> list[Array] | None:
        """Outputs of the float model, where they are known."""
        return self.known.of(sample) if self.known is not None else None

    def begin(self, samples: Sequence[Sequence[Array]]) -> None:
        """Start the float model on samples that `results` will be asked for next, while `other` is busy."""
        unknown = [sample for sample in samples if self.known_of(sample) is None]
        for sample in unknown[:BEGUN]:
            self._run_original(sample)
            self.begun += 1

    def results(self, samples: Iterable[Sequence[Array]]) -> Generator[tuple[list[Array], list[Array]], None, None]:
        """(outputs of the float model, outputs of the result) of each sample.

        Raises:
            VerificationError: XNNPACK does not run the result.
            RuntimeFailure: it does not run the float model.
        """
        try:
            for sample in samples:
                known = self.known_of(sample)
                if known is None and self.begun:
                    self.begun -= 1
                elif known is None:
                    self._run_original(sample)
                self._run_result(sample, known)
                if len(self.waiting) > AHEAD:
                    yield self._answers()
            while self.waiting:
                yield self._answers()
        finally:
            while self.waiting:
                with contextlib.suppress(RuntimeFailure, VerificationError):
                    self._answers()

    def end(self) -> None:
        """Take the answers that nobody has asked for."""
        for _ in range(self.begun):
            with contextlib.suppress(RuntimeFailure):
                self.worker.receive(Run)
        self.begun = 0

    def _run_original(self, sample: Sequence[Array]) -> None:
        if not self.open["original"]:
            self.open["original"] = True
            self.worker.call(Open(self.original, "xnnpack", THREADS, self.shapes))
        self.worker.send(Run(list(sample)))

    def _run_result(self, sample: Sequence[Array], known: list[Array] | None) -> None:
        if (answered := self.answered.pop(id(sample), None)) is not None:
            self.waiting.append((known, answered))
            return
        try:
            if not self.open["path"]:
                self.open["path"] = True
                self.other.call(Open(self.path, "xnnpack", 1))
            self.other.send(Run(self.inputs(sample)))
        except RuntimeFailure as e:
            if known is None:
                with contextlib.suppress(RuntimeFailure):
                    self.worker.receive(Run)  # of the sample that has no answer of the result
            raise VerificationError([f"XNNPACK: {e}"]) from e
        self.waiting.append((known, None))

    def _answers(self) -> tuple[list[Array], list[Array]]:
        known, result = self.waiting.popleft()
        failure = None
        try:
            result = self.other.receive(Run) if result is None else result
        except RuntimeFailure as e:
            failure = e
        reference = self.worker.receive(Run) if known is None else known
        if failure is not None or result is None:
            raise VerificationError([f"XNNPACK: {failure}"]) from failure
        return reference, result
