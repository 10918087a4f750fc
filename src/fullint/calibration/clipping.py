"""Ranges that leave some values out, so that all others have finer steps: what `--ranges` chooses from.

    percentile:P   [percentile 100-P, percentile P] of all values

    mse            the ends [l, h] of the least mean squared error, with step = (h - l) / 255:
                       sum over x in [l, h], x != 0, of step^2 / 12   +   sum over the others of (x - nearest end)^2

    histogram      the ends +-t of the least Kullback-Leibler divergence sum p log(p / q), as TensorRT defines it (Migacz,
                   "8-bit inference with TensorRT", 2017). 2048 bins reach to the largest |x|:
                       p = counts of the bins within +-t; those beyond are added to the outermost ones
                       q = counts of the bins within +-t, put together to 255 levels, each spread evenly over its bins that
                           are not empty

All are made of the same counts (`histograms`). Ends lie where bins begin, or are the smallest and largest value; they hold zero.
An end that no value reaches is zero. Zeros cost nothing, since zero has a code of its own: mse and histogram leave them out.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
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

COARSE = 16
"""Ends of the least error are looked for among every so many first, and then among all that are near."""
LINEAR_BINS = 2048
EVERY = 8
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


class MeanSquare(Clipping):
    """The least mean squared error of rounding and clipping."""

    name = "mse"

    def ends(self) -> tuple[float, float]:
        """Where the error is least: looked for among few ends, and then among those near the best."""
        low, high = self._sides()
        i, j = _least(low[:, ::COARSE], high[:, ::COARSE], self.levels)
        near = [slice(max(0, (k - 1) * COARSE), (k + 1) * COARSE + 1) for k in (i, j)]
        low, high = low[:, near[0]], high[:, near[1]]
        i, j = _least(low, high, self.levels)
        return float(low[0, i]), float(high[0, j])

    def _sides(self) -> list[Array]:
        """For each sign: ends, from the farthest to the nearest; what clipping there costs; values within. [3, ends]."""
        h = self.histogram
        lower, widths = h.edges[:-1], np.diff(h.edges)
        middles = lower + widths / 2
        found = []
        for counts, size in zip(h.counts, h.sizes, strict=True):
            inner = lower[lower < size]
            n, first, second = (
                np.cumsum((counts * moment)[::-1])[::-1][: inner.size]
                for moment in (np.ones_like(middles), middles, middles**2 + widths**2 / 12)
            )
            costs = np.maximum(second - 2 * inner * first + inner**2 * n, 0)
            whole = np.array([[size], [0.0], [float(counts.sum())]])
            found.append(np.hstack([whole, np.stack([inner, costs, counts.sum() - n])[:, ::-1]]))
        return found


def _least(low: Array, high: Array, levels: int) -> tuple[int, int]:
    """Which of the ends below zero, and which above, have the least error; the farthest where several have."""
    steps = (low[0][:, None] + high[0]) / levels
    errors = low[1][:, None] + high[1] + steps**2 / 12 * (low[2][:, None] + high[2])
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
        for t in range(LINEAR_BINS, 0, -EVERY):
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
    if not inside.any():
        return float("inf")
    level = np.arange(inside.size) * levels // inside.size
    filled = inside > 0
    sums, bins = np.bincount(level, inside), np.bincount(level, filled)
    q = np.where(filled, (sums / np.maximum(bins, 1))[level], 0.0)
    some = p > 0
    if (q[some] == 0).any():
        return float("inf")
    p, q = p[some] / p.sum(), q[some] / q.sum()
    return float((p * np.log(p / q)).sum())


CLIPPING: dict[str, type[Clipping]] = {method.name: method for method in (MeanSquare, Percentile, Entropy)}
"""Methods that leave values out, by the names that the option has for them."""
METHODS: dict[str, type[RangeMethod]] = {MinMax.name: MinMax, **CLIPPING}
"""All methods, by the names that files have for them."""
