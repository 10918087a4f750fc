"""What samples have shown, before any range is made of it; and what calibration makes of it.

    Statistics of samples 0..9   merge   Statistics of samples 10..19   =   Statistics of samples 0..19, bit for bit

Tensors are named by where they are in the model (`tensor_keys`). (Of a model that keeps state between runs, each shard starts
from none: what it shows is not what one run would have.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from fullint.calibration.masks import MASK
from fullint.calibration.range_methods import MinMax, RangeMethod
from fullint.errors import UsageError
from fullint.model.ir import Array, Model, Tensor
from fullint.model.ranges import Range


@dataclass(frozen=True)
class Measured:
    """What calibration has found.

    Attributes:
        ranges: smallest and largest value of each of `observed_tensors`.
        row_maxima: smallest row maximum of softmax inputs, where masks make it worth knowing.
        state: largest absolute value of variable tensors.
    """

    ranges: Mapping[Tensor, Range]
    row_maxima: Mapping[Tensor, float] = field(default_factory=dict)
    state: Mapping[Tensor, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Narrowed:
    """The range of a tensor that has another method than min-max.

    Attributes:
        method: as the option spells it.
        plain: the range that min-max would have made.
        span: the range that was made.
        outside: share of the values that lie beyond it, 0 to 1.
    """

    method: str
    plain: Range
    span: Range
    outside: float

    def union(self, other: Narrowed) -> Narrowed:
        """What holds both, of two entries; no more lie beyond it than beyond either."""
        plain, span = self.plain.union(other.plain), self.span.union(other.span)
        return Narrowed(self.method, plain, span, max(self.outside, other.outside))


@dataclass(frozen=True)
class Stats:
    """Ranges and what else was measured, by tensor.

    Attributes:
        measured: ranges, rows' maxima and states.
        channels: smallest and largest value per channel (last axis), float32, for tensors it was asked for.
        unseen: tensors that no sample reached (a branch never taken).
        narrowed: how the ranges came about of tensors that have another method than min-max.
    """

    measured: Measured
    channels: Mapping[Tensor, tuple[Array, Array]]
    unseen: tuple[Tensor, ...] = ()
    narrowed: Mapping[Tensor, Narrowed] = field(default_factory=dict)

    @property
    def ranges(self) -> Mapping[Tensor, Range]:
        """Smallest and largest value of each tensor."""
        return self.measured.ranges


@dataclass(frozen=True, eq=False)
class Statistics:
    """What the samples of one graph have shown.

    Attributes:
        count: how many samples.
        ranges: what makes the range of each tensor, by key.
        channels: smallest and largest values, of all or per channel, where `ranges` has another method than min-max, by key.
        rows: of the maxima along the last axis of softmax inputs, by key.
        states: of variables, by key.
        numbers: of the samples, as ranges (first, one after the last) in ascending order.
    """

    count: int
    ranges: Mapping[str, RangeMethod]
    channels: Mapping[str, MinMax] = field(default_factory=dict)
    rows: Mapping[str, MinMax] = field(default_factory=dict)
    states: Mapping[str, MinMax] = field(default_factory=dict)
    numbers: tuple[tuple[int, int], ...] = ()

    def __repr__(self) -> str:
        return f"Statistics({self.count} samples, {len(self.ranges)} tensors)"

    def merge(self, other: Statistics) -> Statistics:
        """What both have seen, as one run over all their samples would have.

        Raises:
            UsageError: they are of different models, or were measured differently.
        """
        for mine, others in zip(self._groups(), other._groups(), strict=True):
            apart = sorted({*mine} ^ {*others})
            if apart or any(type(mine[k]) is not type(others[k]) for k in mine):
                why = f"only one has {apart[0]}" if apart else "range methods differ"
                raise UsageError(f"statistics of different models or options cannot be merged: {why}")
        numbers = tuple(sorted((*self.numbers, *other.numbers)))
        twice = [b for (_, a), (b, _) in pairwise(numbers) if b < a]
        if twice:
            raise UsageError(f"both statistics hold sample {twice[0]}: give each shard its own numbers")
        return Statistics(
            self.count + other.count,
            {k: m.merge(other.ranges[k]) for k, m in self.ranges.items()},
            {k: m.merge(other.channels[k]) for k, m in self.channels.items()},
            {k: m.merge(other.rows[k]) for k, m in self.rows.items()},
            {k: m.merge(other.states[k]) for k, m in self.states.items()},
            joined_ranges(numbers),
        )

    def _groups(self) -> tuple[Mapping[str, RangeMethod], ...]:
        return self.ranges, self.channels, self.rows, self.states


def count_of(ranges: Sequence[tuple[int, int]]) -> int:
    """How many numbers are in ranges (first, one after the last)."""
    return sum(last - first for first, last in ranges)


def joined_ranges(numbers: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Ranges (first, one after the last) in ascending order, those that touch as one."""
    found: list[tuple[int, int]] = []
    for first, last in numbers:
        if found and found[-1][1] == first:
            found[-1] = (found[-1][0], last)
        else:
            found.append((first, last))
    return tuple(found)


def ranges_without(ranges: Sequence[tuple[int, int]], gone: AbstractSet[int]) -> tuple[tuple[int, int], ...]:
    """Ranges in ascending order, without some numbers."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        for n in sorted(n for n in gone if first <= n < last):
            found.append((first, n))
            first = n + 1
        found.append((first, last))
    return joined_ranges([(a, b) for a, b in found if a < b])


def tensor_keys(model: Model) -> dict[Tensor, str]:
    """A name for each activation and variable that is the same whenever the model is loaded: place and tensor name."""
    found: dict[Tensor, str] = {}
    for number, graph in enumerate(model.graphs):
        for i, t in enumerate(graph.inputs):
            found.setdefault(t, f"{number}/input{i} {t.name}")
        for place, op in enumerate(graph.ops):
            for i, t in enumerate(op.outputs):
                found.setdefault(t, f"{number}/{place}/output{i} {t.name}")
            for i, x in enumerate(op.inputs):
                if x is not None and x.is_variable:
                    found.setdefault(x, f"{number}/{place}/input{i} {x.name}")
    return found


def finish(model: Model, found: Statistics) -> Stats:
    """Ranges of a model's tensors, of what its samples have shown."""
    by_key = {key: t for t, key in tensor_keys(model).items()}
    ranges: dict[Tensor, Range] = {}
    channels: dict[Tensor, tuple[Array, Array]] = {}
    unseen: list[Tensor] = []
    narrowed: dict[Tensor, Narrowed] = {}
    for key, method in found.ranges.items():
        t = by_key[key]
        ends, count, rows_of = found.channels.get(key, method), t.size * found.count, found.rows.get(key)
        assert isinstance(ends, MinMax)
        if not ends.seen:
            unseen.append(t)
            ranges[t] = Range(0.0, 0.0)
            continue
        ranges[t] = _beside_masks(ends, rows_of, count)
        if method is not ends and not _masked(ends, rows_of):
            narrowed[t] = _narrowed(method, ends, ranges[t], count)
            ranges[t] = narrowed[t].span
        if ends.low.size > 1:
            channels[t] = ends.channels(count)
    states = {by_key[key]: ends.finish(by_key[key].size * found.count).largest for key, ends in found.states.items()}
    rows = {by_key[key]: float(ends.low.min()) for key, ends in found.rows.items()}
    return Stats(Measured(ranges, rows, states), channels, tuple(unseen), narrowed)


def _beside_masks(ends: MinMax, rows: MinMax | None, count: int) -> Range:
    """The range of a tensor; of a softmax input with masks in it, room is made for its scores, not for the masks' distance."""
    if not _masked(ends, rows):
        return ends.finish(count)
    assert rows is not None
    scores = MinMax(rows.low, ends.high).finish(count)
    return Range(float(ends.low.min()), scores.high)


def _masked(ends: MinMax, rows: MinMax | None) -> bool:
    return rows is not None and float(ends.low.min()) <= -MASK


def _narrowed(method: RangeMethod, ends: MinMax, plain: Range, count: int) -> Narrowed:
    """What a method has made; where samples were left out, it has seen them, but its range ends where the others do."""
    seen = Range(float(ends.low.min()), float(ends.high.max())).with_zero()
    span = method.finish(count).clip(seen)
    return Narrowed(method.spelling, plain, span, method.outside(span))


def merge_entries(found: Sequence[Stats]) -> Stats:
    """What the samples of several entries have shown; a tensor that two of them see has what holds both."""
    ranges: dict[Tensor, Range] = {}
    rows: dict[Tensor, float] = {}
    state: dict[Tensor, float] = {}
    channels: dict[Tensor, tuple[Array, Array]] = {}
    narrowed: dict[Tensor, Narrowed] = {}
    seen = {t for s in found for t in s.ranges.keys() - {*s.unseen}}
    for stats in found:
        for t, span in stats.ranges.items():
            if t not in seen or t not in stats.unseen:
                ranges[t] = span.union(ranges.get(t, span))
        for t, lowest in stats.measured.row_maxima.items():
            rows[t] = min(lowest, rows.get(t, lowest))
        for t, largest in stats.measured.state.items():
            state[t] = max(largest, state.get(t, largest))
        for t, (low, high) in stats.channels.items():
            known = channels.get(t, (low, high))
            channels[t] = np.minimum(low, known[0]), np.maximum(high, known[1])
        for t, one in stats.narrowed.items():
            narrowed[t] = one.union(narrowed.get(t, one))
    unseen = tuple(dict.fromkeys(t for s in found for t in s.unseen if t not in seen))
    return Stats(Measured(ranges, rows, state), channels, unseen, narrowed)
