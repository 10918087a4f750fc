"""Samples that arrive one by one, run by several threads; what each run gives goes to an accumulator, one for each thread.

sample 0 --thread 0--> outputs --add--> accumulator 0  --+
sample 1 --thread 1--> outputs --add--> accumulator 1  --+ merge --> the answer
"""

from __future__ import annotations

import copy
import functools
import queue
import threading
from collections.abc import Sequence
from typing import Any

from fullint.model.ir import Array
from fullint.runtime.interpreter import ends_of, invoke, open_interpreter
from fullint.runtime.messages import Accumulator
from fullint.runtime.watch import Watch


class SampleError(RuntimeError):
    """A sample on which the runtime failed."""

    def __init__(self, sample: int, arrays: Sequence[Array], cause: Exception) -> None:
        super().__init__(str(cause))
        self.sample, self.arrays = sample, arrays


class SampleRunner:
    """Interpreters with threads of their own.

    One interpreter per thread scales best; but a large network's weights are packed by each, so that
    there one interpreter with all threads is as quick and takes half the memory.

    Args:
        path: of the model.
        interpreters: samples run at the same time.
        threads: of each interpreter.
        accumulator: an empty one.
        watch: that runs are under.
    """

    def __init__(self, path: str, interpreters: int, threads: int, accumulator: Accumulator, watch: Watch) -> None:
        self.threads_of_each, self.watch = threads, watch
        self.work: queue.Queue[tuple[int, Sequence[Array]] | None] = queue.Queue(maxsize=interpreters)
        self.accumulators = [copy.deepcopy(accumulator) for _ in range(interpreters)]
        self.error: BaseException | None = None
        with watch.loading(path, "xnnpack"):
            first = open_interpreter(path, "xnnpack", threads)
        self.threads = [
            threading.Thread(target=self._loop, args=(path, a, first if i == 0 else None), daemon=True)
            for i, a in enumerate(self.accumulators)
        ]
        for t in self.threads:
            t.start()

    def put(self, index: int, arrays: Sequence[Array]) -> None:
        """Hand over a sample, in graph input order; waits while all threads are busy.

        Raises:
            Exception: what went wrong with a sample before.
        """
        if self.error is not None:
            raise self.error
        self.work.put((index, arrays))

    def _loop(self, path: str, accumulator: Accumulator, runner: Any) -> None:
        ends: tuple[list[int], list[int]] | None = None
        while (item := self.work.get()) is not None:
            if self.error is not None:
                continue
            try:
                runner = runner or open_interpreter(path, "xnnpack", self.threads_of_each)
                ends = ends or ends_of(runner)
                with self.watch.run():
                    invoke(runner, item[1], ends[0])
                accumulator.add(item[0], [runner.get_tensor(index) for index in ends[1]])
            except Exception as e:  # handed to the parent by the next command
                self.error = SampleError(*item, e)

    def finish(self) -> Accumulator:
        """Wait for the samples handed over, and return what all of them gave.

        Raises:
            Exception: what went wrong with one of them.
        """
        for _ in self.threads:
            self.work.put(None)
        for t in self.threads:
            t.join()
        if self.error is not None:
            raise self.error
        return functools.reduce(lambda one, other: one.merge(other), self.accumulators)
