"""What the stages of a run work with: worker processes, temporary files, the clock of each stage, the user's progress bar."""

from __future__ import annotations

import contextlib
import mmap
import time
from collections.abc import Iterator, Sequence
from types import TracebackType

import numpy as np

from fullint.errors import RuntimeFailure
from fullint.model.ir import Array, Model, Op
from fullint.model.tflite.read import READ_BYTES, give_back, mapping_of
from fullint.options import Progress
from fullint.passes.as_trained import Rounding
from fullint.quantization.side_by_side import SteppedModel
from fullint.runtime.messages import Open, Run, TensorShapes
from fullint.runtime.process import WorkerProcess, model_file
from fullint.temporary import temporary_file
from fullint.verification.paired_runs import ExactOutputs

_LARGE = 2**20
"""Bytes of a constant that is put by."""


class Workbench:
    """The tools of one run, put away when it ends."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress: Progress = progress or (lambda stage, done, total: None)
        self.progress = self._progress
        self.seconds: dict[str, float] = {}
        """By stage, so far."""
        self.mapped: set[mmap.mmap] = set()
        """Files that constants of the model lie in."""
        self._stack = contextlib.ExitStack()
        self._peak = 0
        self._second: WorkerProcess | None = None
        self._exact: tuple[str, ExactOutputs] | None = None
        self._steps: SteppedModel | None = None
        self._worker = self._stack.enter_context(WorkerProcess())  # it starts while the model is read

    def __enter__(self) -> Workbench:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    @property
    def worker(self) -> WorkerProcess:
        """The process for the float model; what was begun in it comes to its end first. Another, where something crashed it."""
        if self._steps is not None:
            steps, self._steps = self._steps, None
            with contextlib.suppress(RuntimeFailure):  # who needs it finds that out again
                steps.end()
        return _sound(self._worker)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Keep the clock of one stage, and give back the memory of mapped constants at its end: it has read what it needs."""
        self.progress(name, 0, None)
        start = time.perf_counter()
        yield
        for mapped in self.mapped:
            give_back(mapped)
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - start, 4)

    @contextlib.contextmanager
    def trials(self, name: str) -> Iterator[None]:
        """Keep the clock of something whose own stages are none of the run's: all its time is that of `name`."""
        self.progress(name, 0, None)
        before, start = dict(self.seconds), time.perf_counter()
        yield
        spent = before.get(name, 0.0) + time.perf_counter() - start
        self.seconds = {**before, name: round(spent, 4)}

    @contextlib.contextmanager
    def quietly(self) -> Iterator[None]:
        """Only what is said with `told` reaches the user's progress bar."""
        self.progress, told = (lambda stage, done, total: None), self.progress
        try:
            yield
        finally:
            self.progress = told

    def told(self, stage: str, done: int, total: int) -> None:
        """Move the user's progress bar, whoever is quiet."""
        self._progress(stage, done, total)

    def restart(self) -> None:
        """New processes, after an interrupt in the middle of a call."""
        self._exact = self._steps = None
        for worker in (self._worker, self._second):
            if worker is not None:
                worker.restart()

    def file(self, model: bytes | Model) -> str:
        """Path of a file that holds a model as long as the run lasts."""
        return self._stack.enter_context(model_file(model))

    def put_by(self, model: Model) -> None:
        """Move constants that were made anew to a mapped file, where they are many: memory has them while they are read."""
        made = {t.buffer for g in model.graphs for t in g.tensors if t.buffer is not None and mapping_of(t.buffer) is None}
        large = [b for b in made if b.data.nbytes >= _LARGE]
        if sum(b.data.nbytes for b in large) < READ_BYTES:
            return
        with contextlib.suppress(OSError):  # no room: they stay where they are
            path = self._stack.enter_context(temporary_file(".constants"))
            with open(path, "r+b") as f:
                for b in large:
                    f.write(b.data.data)
                f.flush()
                mapped = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
            at = 0
            for b in large:
                b.data = np.frombuffer(mapped, np.uint8, b.data.nbytes, at)
                at += b.data.nbytes
            self.mapped.add(mapped)

    def second_worker(self) -> WorkerProcess:
        """A process for the result, so that it runs beside the float model; started when it is first asked for."""
        if self._second is None:
            self._second = self._stack.enter_context(WorkerProcess("the result"))
        if self._exact is not None:
            self._exact[1].collect()
        return _sound(self._second)

    def begin_steps(
        self, model: Model, cuts: Sequence[Op], samples: Sequence[Sequence[Array]], threads: int, rounding: Rounding
    ) -> None:
        """Begin to run a model in pieces (`SteppedModel`), up to the first cut."""
        steps = SteppedModel(model, cuts, self.worker, samples, threads, rounding)
        steps.run_ahead()
        self._steps = steps

    def begun_steps(self, model: Model, cuts: Sequence[Op]) -> SteppedModel | None:
        """A model that was begun, if it is this one with these cuts."""
        steps = self._steps
        if steps is None or steps.model is not model or steps.cuts != list(cuts):
            return None
        self._steps = None
        return steps

    def find_exact(self, path: str, samples: Sequence[Sequence[Array]]) -> None:
        """Run a model on samples in the process for the result, as long as there is none."""
        self._exact = path, ExactOutputs(self.second_worker(), path, samples)

    def exact_outputs(self, path: str) -> ExactOutputs | None:
        """What a model has answered to samples, where that is known."""
        return self._exact[1] if self._exact is not None and self._exact[0] == path else None

    def evaluate(self, part: Model) -> list[Array]:
        """The runtime's values of a model of constants."""
        with model_file(part) as path:
            self.worker.call(Open(path, "builtin", 1))
            return self.worker.call(Run([]))

    def shapes(self, path: str, wanted: Sequence[tuple[int, ...]] | None = None) -> list[tuple[int, ...]]:
        """Shape of each tensor of a file's main graph once its inputs have theirs."""
        return self.worker.call(TensorShapes(path, wanted))

    def peak_memory(self) -> int:
        """Largest resident size of the worker so far, bytes."""
        self._peak = max(self._peak, self._worker.peak_memory())
        return self._peak


def _sound(worker: WorkerProcess) -> WorkerProcess:
    """The same, started anew where what was tried in it has crashed it, or was left in the middle."""
    if not worker.idle:
        worker.restart()
    return worker
