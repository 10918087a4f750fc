"""Ranges that leave some values out, so that all others have finer steps: what `--ranges` chooses from.

    percentile:P   [percentile 100-P, percentile P] of all values

    mse            the ends [l, h] of the least squared error, with step = (h - l) / 255: a sum over all x of
                       (x - nearest end)^2 beyond the ends,   x^2 for |x| < step / 2,   step^2 / 12 for all others

    histogram      the ends +-t of the least Kullback-Leibler divergence sum p log(p / q), as TensorRT defines it (Migacz,
                   "8-bit inference with TensorRT", 2017). 2048 bins reach to the largest |x|:
                       p = counts of the bins within +-t; those beyond are added to the outermost ones
                       q = counts of the bins within +-t, put together to 255 levels, each spread evenly over those of its
                           bins where p > 0; a level of none counts as one value

All are made of the same counts (`histograms`). Ends lie where bins begin, or are the smallest and largest value; they hold zero.
An end that no value reaches is zero. Zero has a code of its own, so that histogram leaves zeros out.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fullint.calibration.histograms import Histogram
from fullint.calibration.range_methods import MinMax, RangeMethod
from fullint.errors import UsageError
from fullint.model.ir import Array
from fullint.model.ranges import Range
from fullint.options.of_ranges import PERCENTILE

if TYPE_CHECKING:
    from typing_extensions import Self

EVERY_END = 16
"""Ends of the least error are looked for among every so many first, and then among all that are near."""
LINEAR_BINS = 2048
EVERY_THRESHOLD = 8
"""So many bins apart are the thresholds that the divergence is computed for."""


class Clipping(RangeMethod):
    """What ranges are made of that leave values out.

    Args:
        histogram: of the values so far.
        parameter: P of a percentile; the others have bits, of the codes that stand for values.
    """

    def __init__(self, histogram: Histogram, parameter: float) -> None:
        self.histogram, self.parameter = histogram, parameter

    @classmethod
    def chosen(cls, parameter: float | None, bits: int) -> Self:
        """Before the first sample.

        Args:
            parameter: of the option.
            bits: 8 or 16, of the tensor's element type.
        """
        return cls(Histogram.empty(), bits if parameter is None else parameter)

    @abstractmethod
    def ends(self) -> tuple[float, float]:
        """How far the range reaches below zero, and above."""

    @property
    def levels(self) -> int:
        """Steps between the first and the last code."""
        return (1 << int(self.parameter)) - 1

    def accumulate(self, values: Array) -> None:
        """Count a sample's values."""
        self.histogram.accumulate(values)

    def merge(self, other: Self) -> Self:
        """What both have seen.

        Raises:
            UsageError: their parameters differ.
        """
        if self.parameter != other.parameter:
            raise UsageError(f"statistics for {self.name} with {self.parameter:g} and with {other.parameter:g} cannot be merged")
        return type(self)(self.histogram.merge(other.histogram), self.parameter)

    def finish(self, count: int) -> Range:
        """The range; how many values there are is known without being told."""
        low, high = (float(end) for end in self.ends())
        return Range(-low if low else 0.0, high)

    def outside(self, span: Range) -> float:
        """Share of the values that lie beyond a range."""
        return self.histogram.outside(*span)

    def arrays(self) -> dict[str, Array]:
        """Counts and the parameter."""
        return {**self.histogram.arrays(), "parameter": np.float64(self.parameter)}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, Array]) -> Self:
        """The same, read again."""
        return cls(Histogram.of_arrays(arrays), float(arrays["parameter"]))


class Percentile(Clipping):
    """Few values are left out at each end."""

    name = PERCENTILE

    @property
    def spelling(self) -> str:
        """As the option spells it."""
        return f"{self.name}:{self.parameter:g}"

    def ends(self) -> tuple[float, float]:
        """Where the values end, once as many as may be are left out."""
        h = self.histogram
        most = int(h.total * (100 - self.parameter) / 100 + 1e-6)
        beyond = [np.cumsum(side[::-1])[::-1] for side in h.counts]
        low, high = (
            min(size, float(h.edges[np.count_nonzero(left_out > most)])) if left_out[0] > most else 0.0
            for left_out, size in zip(beyond, h.sizes, strict=True)
        )
        return low, high


@dataclass(frozen=True, eq=False)
class _Side:
    """Ends that a range can have on one side of zero, from the farthest to the nearest.

    Attributes:
        ends: how far they are from zero.
        clipped: sum of the squared errors of the values beyond each.
        within: number of the values up to each.
        edges: where bins begin.
        energy, counts: sum of the squares, and number, of the values below each of the edges.
    """

    ends: Array
    clipped: Array
    within: Array
    edges: Array
    energy: Array
    counts: Array

    @classmethod
    def of(cls, edges: Array, counts: Array, size: float) -> Self:
        """All ends of one side: the farthest value, and where bins begin."""
        widths = np.diff(edges)
        middles = edges[:-1] + widths / 2
        n, first, second = (
            np.concatenate([[0.0], np.cumsum(counts * moment)])
            for moment in (np.ones_like(middles), middles, middles**2 + widths**2 / 12)
        )
        inner = edges[:-1][edges[:-1] < size]
        beyond = (total[-1] - total[: inner.size] for total in (n, first, second))
        n_beyond, first_beyond, second_beyond = beyond
        clipped = np.maximum(second_beyond - 2 * inner * first_beyond + inner**2 * n_beyond, 0)
        ends, costs, within = (
            np.concatenate([[whole], part[::-1]]) for whole, part in ((size, inner), (0.0, clipped), (n[-1], n[: inner.size]))
        )
        return cls(ends, costs, within, edges, second, n)

    def some(self, which: slice) -> Self:
        """The same with some of the ends."""
        return replace(self, ends=self.ends[which], clipped=self.clipped[which], within=self.within[which])

    def rounded(self, steps: Array, ends: Array, within: Array) -> Array:
        """Sum of the squared errors of the values up to the ends: those below half a step become zero."""
        below = np.searchsorted(self.edges, np.minimum(steps / 2, ends), "right") - 1
        below = np.maximum(below, 0)
        found: Array = self.energy[below] + steps**2 / 12 * np.maximum(within - self.counts[below], 0)
        return found


class MeanSquare(Clipping):
    """The least mean squared error of rounding and clipping."""

    name = "mse"

    def ends(self) -> tuple[float, float]:
        """Where the error is least: looked for among few ends, and then among those near the best."""
        h = self.histogram
        low, high = (_Side.of(h.edges, counts, size) for counts, size in zip(h.counts, h.sizes, strict=True))
        few = slice(None, None, EVERY_END)
        places = _least(low.some(few), high.some(few), self.levels)
        i, j = (slice(max(0, (k - 1) * EVERY_END), (k + 1) * EVERY_END + 1) for k in places)
        low, high = low.some(i), high.some(j)
        best = _least(low, high, self.levels)
        return float(low.ends[best[0]]), float(high.ends[best[1]])


def _least(low: _Side, high: _Side, levels: int) -> tuple[int, int]:
    """Which of the ends below zero, and which above, have the least error; the farthest where several have."""
    a = low.ends[:, None]
    steps = (a + high.ends) / levels
    errors = low.clipped[:, None] + high.clipped
    errors = errors + low.rounded(steps, a, low.within[:, None]) + high.rounded(steps, high.ends, high.within)
    i, j = np.unravel_index(int(np.argmin(errors)), errors.shape)
    return int(i), int(j)


class Entropy(Clipping):
    """The least divergence between what values are and what codes tell of them."""

    name = "histogram"

    def ends(self) -> tuple[float, float]:
        """Ends of the threshold with the least divergence; both ends of the values where there are fewer bins than levels."""
        sizes = self.histogram.sizes
        width = max(sizes) / LINEAR_BINS
        if width == 0:
            return sizes
        sides = [self._linear(counts, width) for counts in self.histogram.counts]
        reach = [min(int(np.ceil(size / width)), LINEAR_BINS) for size in sizes]
        best, found = np.inf, LINEAR_BINS
        for t in range(LINEAR_BINS, 0, -EVERY_THRESHOLD):
            kept = [min(t, n) for n in reach]
            if sum(kept) < self.levels:
                break
            divergence = _divergence(sides, kept, self.levels)
            if divergence < best:
                best, found = divergence, t
        low, high = (min(size, found * width) for size in sizes)
        return low, high

    def _linear(self, counts: Array, width: float) -> Array:
        """Counts in bins of one width: those of wider bins are spread evenly."""
        below = np.concatenate([[0.0], np.cumsum(counts)])
        return np.diff(np.interp(np.arange(LINEAR_BINS + 1) * width, self.histogram.edges, below))


def _divergence(sides: Sequence[Array], kept: Sequence[int], levels: int) -> float:
    """Of what is clipped to some bins of each sign, from the levels that these are put together to."""
    ascending = [sides[0][: kept[0]][::-1], sides[1][: kept[1]]]
    inside = np.concatenate(ascending)
    p = inside.copy()
    for place, side, n in ((0, sides[0], kept[0]), (-1, sides[1], kept[1])):
        p[place] += side[n:].sum()
    level = np.arange(inside.size) * levels // inside.size
    filled = p > 0
    sums, bins = np.bincount(level, inside), np.bincount(level, filled)
    q = (np.where(sums > 0, sums, 1.0) / np.maximum(bins, 1))[level][filled]
    p, q = p[filled] / p.sum(), q / q.sum()
    return float((p * np.log(p / q)).sum())


CLIPPING: dict[str, type[Clipping]] = {method.name: method for method in (MeanSquare, Percentile, Entropy)}
"""Methods that leave values out, by the names that the option has for them."""
METHODS: dict[str, type[RangeMethod]] = {MinMax.name: MinMax, **CLIPPING}
"""All methods, by the names that files have for them."""
