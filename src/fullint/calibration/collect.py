"""Measuring ranges: the float model run over the representative samples, in one pass.

The minima and maxima are computed inside the graph (`probes`), so that one small vector per sample
leaves the runtime and XNNPACK still runs the network. Memory does not depend on the number of samples.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import numpy as np

from fullint.calibration.masks import softmax_inputs
from fullint.calibration.probes import LOWEST, Probe, measuring_model
from fullint.calibration.statistics import Measured, Range, Stats
from fullint.errors import SamplesError
from fullint.model.ir import Array, Model, Tensor
from fullint.ops import ROWS
from fullint.ops.macs import total_macs
from fullint.runtime.messages import FinishMeasuring, Measure, Measurement, Sample
from fullint.runtime.process import WorkerProcess, model_file

FEW_VALUES = 1000
LARGE_MACS = 1_000_000_000
"""From here on all threads work on one sample: see `range_accumulator`."""


class Collector:
    """Ranges of a model's tensors while samples come in, one `add` each; `finish` says what was found.

    Args:
        model: prepared float model with static shapes.
        tensors: float tensors of its graphs.
        by_channel: those of them to measure per channel.
        worker: a child process to run the samples in; it is this collector's from `with` to `finish`.
        threads: samples run at the same time.
        heads: tensors whose channel means are kept for the first `keep` samples.
    """

    def __init__(
        self,
        model: Model,
        tensors: Sequence[Tensor],
        by_channel: AbstractSet[Tensor],
        worker: WorkerProcess,
        threads: int,
        heads: Sequence[Tensor] = (),
        keep: int = 0,
    ) -> None:
        self.model, self.tensors, self.by_channel, self.heads = model, tensors, by_channel, heads
        self.worker, self.threads, self.keep = worker, threads, keep if heads else 0
        self.states = state_tensors(model)
        self.probes: list[Probe] = []
        self.count = 0
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Collector:
        if self.tensors:
            wanted = [*self.tensors, *self.states]
            measuring, self.probes = measuring_model(self.model, wanted, self.by_channel, self.heads, softmax_inputs(self.model))
            together = total_macs(self.model) >= LARGE_MACS or has_state(self.model)
            path = self._stack.enter_context(model_file(measuring))
            self.worker.call(Measure(path, self.threads, self.keep, together))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, index: int, arrays: Sequence[Array]) -> None:
        """Run one sample, in graph input order."""
        self.count += 1
        if self.probes:
            self.worker.post(Sample(index, list(arrays)))

    def finish(self, *, margin: bool = True) -> Stats:
        """What the samples have shown.

        Args:
            margin: whether ranges of which few values were seen are made wider.

        Raises:
            SamplesError: a sample drives a tensor to NaN or infinity.
            RuntimeFailure: the runtime refuses the model or crashes on it.
        """
        if not self.probes:
            return Stats(Measured({}), {}, np.zeros((0, 0), np.float32))
        found = self.worker.call(FinishMeasuring())
        if found.not_finite is not None:
            sample, position = found.not_finite
            tensor = next(p.tensor for p in self.probes if p.start <= position < p.start + p.size)
            raise SamplesError(f'sample {sample} drives tensor "{tensor.name}" to a value that is not finite')
        return _stats(self.probes, found, set(self.states), self.count if margin else FEW_VALUES)


def _widened(low: Array, high: Array, seen: int) -> tuple[Array, Array]:
    """Ends with room for values farther out than the few that were seen: as far as a normal distribution's of FEW_VALUES.

    The largest of n values of a normal distribution is about sigma * sqrt(2 ln n) from its middle. What was
    never below zero stays so.
    """
    if seen >= FEW_VALUES:
        return low, high
    more = (math.sqrt(math.log(FEW_VALUES) / math.log(max(seen, 8))) - 1) * (high / 2 - low / 2)
    limit = np.finfo(np.float32).max
    with np.errstate(over="ignore"):
        first = np.where(low >= 0, np.maximum(low - more, 0), np.maximum(low, -limit + more) - more)
        last = np.where(high <= 0, np.minimum(high + more, 0), np.minimum(high, limit - more) + more)
    return first.astype(np.float32), last.astype(np.float32)


def has_state(model: Model) -> bool:
    """Whether a run depends on the runs before it: their order then counts."""
    return any(op.kind == "ASSIGN_VARIABLE" or any(t.is_variable for t in op.values()) for _, op in model.ops())


def state_tensors(model: Model) -> list[Tensor]:
    """Variable operands whose largest value a row's `derive` needs."""
    return [
        t
        for op in model.main.ops
        if (row := ROWS.get(op.kind)) is not None and row.derive is not None
        for t in op.inputs
        if t is not None and t.is_variable and t.dtype == "float32"
    ]


def _stats(probes: Sequence[Probe], found: Measurement, states: AbstractSet[Tensor], count: int) -> Stats:
    channels: dict[Tensor, tuple[Array, Array]] = {}
    ranges: dict[Tensor, Range] = {}
    rows: dict[Tensor, float] = {}
    unseen: dict[Tensor, None] = {}
    ends: dict[Tensor, list[Array]] = {}
    for p in probes:
        piece = slice(p.start, p.start + p.size)
        value = -found.high[piece] if p.negated else (found.high if p.end else found.low)[piece]
        if p.rows:
            rows[p.tensor] = float(value.min())
            continue
        if np.abs(value).max() >= -LOWEST and (p.negated or p.end):
            unseen[p.tensor] = None
            value = np.zeros_like(value)
        pair = ends.setdefault(p.tensor, [np.zeros(p.size, np.float32), np.zeros(p.size, np.float32)])
        pair[p.end] = value
    for tensor, (a, b) in ends.items():
        low, high = _widened(a.min(), b.max(), tensor.size * count)
        ranges[tensor] = (float(low), float(high))
        if a.size > 1:
            channels[tensor] = _widened(a, b, tensor.size // a.size * count)
    state = {t: max(map(abs, ranges.pop(t))) for t in states if t in ranges}
    return Stats(Measured(ranges, rows, state), channels, found.kept, list(unseen))
