"""All values of a tensor, counted: bins as wide as the numbers in them are large, so that no outlier makes them coarse.

    |x| = 2^e (1 + m/128), m whole      is a bin's smallest value: the upper bits of a float32
    20 octaves below the largest |x|    have bins; what is smaller, and zero, is one count

Counts are whole numbers, and which octaves have bins depends on the largest value alone. So the order of samples and shards
does not matter: a count falls below the last octave sooner or later, but always where the largest value of all says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from fullint.model.ir import Array

if TYPE_CHECKING:
    from typing_extensions import Self

OCTAVES = 20
BITS = 7
"""Of the mantissa: bins of an octave, as a power of two."""
BINS = OCTAVES << BITS
"""Of each sign."""
_SIGN, _INFINITE, _BIAS = 1 << 15, 255 << BITS, 127
"""Upper half of a float32: codes of positive values, of finite ones, and what an exponent is larger by."""


class Histogram:
    """Counts of values by sign and size.

    Args:
        ends: the smallest and the largest value so far, float32 [2]; the first is above the second where there is none.
        top: biased exponent of the octave of the largest |x|.
        small: values of a size below all bins, zeros among them.
        counts: int64 [negative and positive, bins from the smallest size to the largest].
    """

    def __init__(self, ends: Array, top: int, small: int, counts: Array) -> None:
        self.ends, self.top, self.small, self.counts = ends, top, small, counts

    @classmethod
    def empty(cls) -> Self:
        """Of no values."""
        return cls(np.array([np.inf, -np.inf], np.float32), 0, 0, np.zeros((2, BINS), np.int64))

    def accumulate(self, values: Array) -> None:
        """Count values, float32; those that are not finite are left out."""
        codes = values.astype("<f4", copy=False).view("<u2")[1::2]  # sign, exponent and the upper bits of the mantissa
        found = np.bincount(codes, minlength=2 * _SIGN).reshape(2, _SIGN)[:, :_INFINITE]
        sizes = np.flatnonzero(found.any(axis=0))
        if not sizes.size:
            return
        x = values if found.sum() == values.size else values[np.isfinite(values)]
        self.ends = np.array([min(self.ends[0], x.min()), max(self.ends[1], x.max())], np.float32)
        self._raise(int(sizes[-1]) >> BITS)
        first = _first(self.top)
        self.small += int(found[:, :first].sum())
        above = found[::-1, first : first + BINS]  # the lower codes are those of positive values
        self.counts[:, : above.shape[1]] += above

    def _raise(self, top: int) -> None:
        """Let the bins begin where those of a larger value do."""
        shift = min(_first(top) - _first(self.top), BINS)
        self.top = max(top, self.top)
        if shift > 0:
            self.small += int(self.counts[:, :shift].sum())
            self.counts = np.pad(self.counts[:, shift:], ((0, 0), (0, shift)))

    def merge(self, other: Self) -> Self:
        """All values of both."""
        ends = np.array([min(self.ends[0], other.ends[0]), max(self.ends[1], other.ends[1])], np.float32)
        one, two = (type(self)(ends, h.top, h.small, h.counts) for h in (self, other))
        for h in (one, two):
            h._raise(max(self.top, other.top))
        return type(self)(ends, one.top, one.small + two.small, one.counts + two.counts)

    @property
    def total(self) -> int:
        """How many values there are."""
        return self.small + int(self.counts.sum())

    @property
    def edges(self) -> Array:
        """Where the bins of one sign begin, and the last ends; float64."""
        codes = np.arange(BINS + 1) + _first(self.top)
        found: Array = np.ldexp(1 + (codes & ((1 << BITS) - 1)) / (1 << BITS), (codes >> BITS) - _BIAS)
        return found

    @property
    def sizes(self) -> tuple[float, float]:
        """How far the values reach below zero, and above."""
        return max(0.0, -float(self.ends[0])), max(0.0, float(self.ends[1]))

    def outside(self, low: float, high: float) -> float:
        """Share of the values that lie beyond these ends, as exact as bins are; ends lie on either side of zero."""
        beyond = sum(int(side[self.edges[:-1] >= end].sum()) for side, end in zip(self.counts, (-low, high), strict=True))
        return beyond / max(self.total, 1)

    def arrays(self) -> dict[str, Array]:
        """For a file."""
        return {"ends": self.ends, "top": np.int64(self.top), "small": np.int64(self.small), "counts": self.counts}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, Array]) -> Self:
        """What `arrays` has put down."""
        return cls(arrays["ends"], int(arrays["top"]), int(arrays["small"]), arrays["counts"])


def _first(top: int) -> int:
    """The code of the first bin, where this is the largest value's octave; numbers with leading zeros have none."""
    return max(top - OCTAVES + 1, 1) << BITS
