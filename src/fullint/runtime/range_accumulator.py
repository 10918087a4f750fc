"""Running minima and maxima of a measuring model's output, over samples that arrive one by one.

low = min over samples of y      high = max over samples of y      y: the output vector that `calibration.probes` adds
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from fullint.model.ir import Array
from fullint.runtime.interpreter import invoke, open_interpreter
from fullint.runtime.messages import Measurement


class RangeAccumulator:
    """Runs samples in several interpreters, each in its own thread.

    One interpreter per thread scales best. But each one packs the weights, so for a large network a single interpreter with
    all threads is as fast and takes half the memory.
    """

    def __init__(self, path: str, interpreters: int, threads: int, keep: int) -> None:
        self.each = threads
        self.keep = keep
        self.work: queue.Queue[tuple[int, Sequence[Array]] | None] = queue.Queue(maxsize=interpreters)
        self.results: list[_Extremes] = [_Extremes() for _ in range(interpreters)]
        self.error: BaseException | None = None
        first = open_interpreter(path, "xnnpack", threads)
        self.threads = [
            threading.Thread(target=self._loop, args=(path, r, first if i == 0 else None), daemon=True)
            for i, r in enumerate(self.results)
        ]
        for t in self.threads:
            t.start()

    def put(self, index: int, arrays: Sequence[Array]) -> None:
        if self.error is not None:
            raise self.error
        self.work.put((index, arrays))

    def _loop(self, path: str, result: _Extremes, runner: Any) -> None:
        while (item := self.work.get()) is not None:
            if self.error is not None:
                continue
            try:
                runner = runner or open_interpreter(path, "xnnpack", self.each)
                invoke(runner, item[1])
                details = runner.get_output_details()
                result.add(item[0], runner.get_tensor(details[0]["index"]))
                if item[0] < self.keep:
                    result.kept[item[0]] = runner.get_tensor(details[-1]["index"])
            except Exception as e:  # passed to the parent with the next message
                self.error = e

    def finish(self) -> Measurement:
        for _ in self.threads:
            self.work.put(None)
        for t in self.threads:
            t.join()
        if self.error is not None:
            raise self.error
        seen = [r for r in self.results if r.low is not None]
        low = np.min([r.low for r in seen if r.low is not None], axis=0)
        high = np.max([r.high for r in seen if r.high is not None], axis=0)
        bad = min((r.bad for r in seen if r.bad is not None), default=None)
        kept = {index: value for r in seen for index, value in r.kept.items()}
        return Measurement(low, high, bad, np.array([kept[i] for i in sorted(kept)]))


class _Extremes:
    """Running minimum and maximum of a vector, and the first (sample, element) that was not finite."""

    def __init__(self) -> None:
        self.low: Array | None = None
        self.high: Array | None = None
        self.bad: tuple[int, int] | None = None
        self.kept: dict[int, Array] = {}

    def add(self, index: int, values: Array) -> None:
        finite = np.isfinite(values)
        if not finite.all():
            found = (index, int(np.argmin(finite)))
            self.bad = found if self.bad is None else min(self.bad, found)
        self.low = values.copy() if self.low is None else np.minimum(self.low, values)
        self.high = values.copy() if self.high is None else np.maximum(self.high, values)
