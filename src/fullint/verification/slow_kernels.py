"""The slow kernel sets, run one after the other in a process of their own while another one is busy.

started at once      Open(reference) Run Run ...  Open(builtin) Run Run ...
collected later      outputs(), one kernel set a call
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from fullint.errors import RuntimeFailure
from fullint.model.ir import Array
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import WorkerProcess


class SlowKernels:
    """Runs the result on the slow kernel sets: started at once, collected later."""

    def __init__(self, names: Sequence[str], worker: WorkerProcess, path: str, samples: Sequence[list[Array]]) -> None:
        self.worker, self.path, self.samples = worker, path, samples
        self.waiting = list(names)
        self._start()

    def _start(self) -> None:
        with contextlib.suppress(RuntimeFailure):  # `receive` reports the failure
            for name in self.waiting:
                self.worker.send(Open(self.path, name, 1))
                for sample in self.samples:
                    self.worker.send(Run(sample))

    def outputs(self, failures: dict[str, RuntimeFailure]) -> list[list[Array]]:
        """Outputs of the next kernel set, one list per sample; a failure is added to `failures`."""
        name = self.waiting.pop(0)
        found: list[list[Array]] = []
        for index in range(len(self.samples) + 1):
            try:
                answer = self.worker.receive(Run) if index else self.worker.receive(Open)
            except RuntimeFailure as e:
                failures.setdefault(name, e)
                if e.crashed:
                    self.worker.restart()
                    self._start()
                    break
                continue
            if answer is not None:
                found.append(answer)
        return found if name not in failures else []
