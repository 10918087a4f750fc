"""The float model and the result, run on the same samples in two processes, a few samples ahead of what is judged.

worker   float 0   float 1   float 2   float 3            begun while the other process still runs the slow kernels
other                        result 0  result 1  result 2
here                                   judge 0   judge 1
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Sequence

from fullint.errors import RuntimeFailure, VerificationError
from fullint.model.ir import Array
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import WorkerProcess

AHEAD = 2
BEGUN = 24
"""Most samples that the float model is begun on: their outputs wait in the process."""


class PairedRuns:
    """Runs of both, in the order of the samples.

    Args:
        original, path: files of the float model and of the result.
        worker, other: processes for the one and the other.
        shapes: of a sample's arrays.
        inputs: makes a sample what the result takes.
    """

    def __init__(
        self,
        original: str,
        path: str,
        worker: WorkerProcess,
        other: WorkerProcess,
        shapes: Sequence[tuple[int, ...]],
        inputs: Callable[[Sequence[Array]], list[Array]],
    ) -> None:
        self.original, self.path, self.shapes, self.inputs = original, path, shapes, inputs
        self.worker, self.other = worker, other
        self.open = {"original": False, "path": False}
        self.begun = self.waiting = 0
        """Runs of the float model that `results` has not come to; runs of both that are not yet answered."""

    def begin(self, samples: Sequence[Sequence[Array]]) -> None:
        """Start the float model on samples that `results` will be asked for next, while `other` is busy."""
        for sample in samples[:BEGUN]:
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
                if self.begun:
                    self.begun -= 1
                else:
                    self._run_original(sample)
                self._run_result(sample)
                self.waiting += 1
                if self.waiting > AHEAD:
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
            self.worker.call(Open(self.original, "xnnpack", 1, self.shapes))
        self.worker.send(Run(list(sample)))

    def _run_result(self, sample: Sequence[Array]) -> None:
        try:
            if not self.open["path"]:
                self.open["path"] = True
                self.other.call(Open(self.path, "xnnpack", 1))
            self.other.send(Run(self.inputs(sample)))
        except RuntimeFailure as e:
            with contextlib.suppress(RuntimeFailure):
                self.worker.receive(Run)  # of the sample that has no answer of the result
            raise VerificationError([f"XNNPACK: {e}"]) from e

    def _answers(self) -> tuple[list[Array], list[Array]]:
        self.waiting -= 1
        reference: list[Array] | None = None
        try:
            try:
                result = self.other.receive(Run)
            finally:
                reference = self.worker.receive(Run)
        except RuntimeFailure as e:
            if reference is None:
                raise
            raise VerificationError([f"XNNPACK: {e}"]) from e
        return reference, result
