"""Variants of one run, built one after the other and run side by side, each in a process of its own.

build variant 1 | build variant 2 | build variant 3 | ...
                | run 1           | run 3           |            process 1
                                  | run 2           |            process 2
"""

from __future__ import annotations

import queue
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Generic, TypeVar

from fullint.errors import FullintError, RuntimeFailure
from fullint.ops.kernel_times import model_us
from fullint.quantization.build import build
from fullint.quantization.decide import decide
from fullint.quantization.judges import NO_ERROR, Judges
from fullint.quantization.refine import Refined
from fullint.quantization.stage_values import Calibrated, Written
from fullint.quantization.workbench import Workbench
from fullint.runtime.process import WorkerProcess
from fullint.verification.metrics import joined_quality

Subject = TypeVar("Subject")


@dataclass(frozen=True, eq=False)
class Variant(Generic[Subject]):
    """A form of a run to be measured, and what for."""

    what: Subject
    calibrated: Calibrated
    known: tuple[Refined, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What a variant gives.

    Attributes:
        each: SQNR of each float output, in dB.
        us: predicted time of a run, in microseconds.
    """

    each: tuple[float, ...]
    us: float

    @property
    def sqnr(self) -> float:
        """Their mean."""
        mean = joined_quality(self.each)
        return NO_ERROR if mean is None else mean

    @property
    def noise(self) -> tuple[float, ...]:
        """Of each output, as a share of its signal."""
        return tuple(10 ** (-db / 10) if db < NO_ERROR else 0.0 for db in self.each)


class Trials:
    """Measures variants; a context, which ends its processes."""

    def __init__(self, bench: Workbench, judges: Judges, workers: int, int16_factor: float) -> None:
        self.bench, self.judges, self.workers, self.int16_factor = bench, judges, max(workers, 1), int16_factor
        self._stack = ExitStack()
        self._free: queue.Queue[WorkerProcess] = queue.Queue()

    def __enter__(self) -> Trials:
        for _ in range(self.workers):
            self._free.put(self._stack.enter_context(WorkerProcess("a variant of the result")))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def measure(self, variants: Iterable[Variant[Subject]]) -> Iterator[tuple[Subject, Outcome | None]]:
        """Each variant with what it gives, as soon as that is known; None where no model comes of it, or LiteRT refuses it."""
        waiting: dict[Future[Outcome | None], Subject] = {}
        with ThreadPoolExecutor(self.workers) as pool:
            try:
                for variant in variants:
                    waiting[pool.submit(self._run, self._built(variant))] = variant.what
                    if len(waiting) > self.workers:
                        yield from self._done(waiting)
                while waiting:
                    yield from self._done(waiting)
            finally:
                for future in waiting:
                    future.cancel()

    def _done(self, waiting: dict[Future[Outcome | None], Subject]) -> Iterator[tuple[Subject, Outcome | None]]:
        done, _ = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            yield waiting.pop(future), future.result()

    def _built(self, variant: Variant[Subject]) -> Written | None:
        try:
            return build(self.bench, decide(self.bench, variant.calibrated), variant.known)
        except FullintError:
            return None

    def _run(self, written: Written | None) -> Outcome | None:
        if written is None:
            return None
        worker = self._free.get()
        try:
            each = tuple(db for db in self.judges.each(worker, written) if db is not None)
            return Outcome(each, model_us(written.emitted.model, self.int16_factor))
        except RuntimeFailure as e:
            if e.crashed:  # the next variant needs one that lives
                worker.restart()
            return None
        except FullintError:
            return None
        finally:
            self._free.put(worker)
