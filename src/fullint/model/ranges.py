"""Ranges of values: what lies between a smallest and a largest real number, and all arithmetic with them.

[a, b] union [c, d] = [min(a, c), max(b, d)]           [a, b] within [c, d]: each end moved into [c, d]
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from fullint.model.ir import Array


@dataclass(frozen=True)
class Range:
    """All real numbers from `low` to `high`, both included.

    `low, high = span` takes it apart.
    """

    low: float
    high: float

    def __iter__(self) -> Iterator[float]:
        yield self.low
        yield self.high

    def __str__(self) -> str:
        return f"[{self.low:.4g}, {self.high:.4g}]"

    @classmethod
    def of(cls, values: Array) -> Range:
        """The smallest range that holds all values; [0, 0] where there are none."""
        return cls(float(values.min()), float(values.max())) if values.size else cls(0.0, 0.0)

    @classmethod
    def union_of(cls, ranges: Iterable[Range]) -> Range:
        """The smallest range that holds all of one or more."""
        known = list(ranges)
        return cls(min(r.low for r in known), max(r.high for r in known))

    @property
    def width(self) -> float:
        """Distance between the ends."""
        return self.high - self.low

    @property
    def largest(self) -> float:
        """Largest absolute value."""
        return max(-self.low, self.high)

    def union(self, other: Range) -> Range:
        """The smallest range that holds both."""
        return Range(min(self.low, other.low), max(self.high, other.high))

    def with_zero(self) -> Range:
        """The range that holds 0 too, as every range does that codes are to stand for."""
        return Range(min(self.low, 0.0), max(self.high, 0.0))

    def intersection(self, other: Range) -> Range:
        """What both hold; its low end is above the high one where that is nothing."""
        return Range(max(self.low, other.low), min(self.high, other.high))

    def clip(self, other: Range) -> Range:
        """The range with each end moved into another range."""
        return Range(min(max(self.low, other.low), other.high), max(min(self.high, other.high), other.low))

    def contains(self, other: Range, below: float = 0.0, above: float = 0.0) -> bool:
        """Whether it holds another range, which may end so far below it and so far above it."""
        return other.low >= self.low - below and other.high <= self.high + above

    def scale(self, factor: float) -> Range:
        """Both ends times a factor that is not negative."""
        return Range(self.low * factor, self.high * factor)

    def widen(self, share: float) -> Range:
        """See `widen`."""
        low, high = widen(np.float32(self.low), np.float32(self.high), share)
        return Range(float(low), float(high))


WHOLE = Range(-math.inf, math.inf)
"""All numbers."""


def widen(low: Array, high: Array, share: float) -> tuple[Array, Array]:
    """Ends of ranges, float32, moved apart by a share of half the width on each side.

    A range that does not cross 0 still does not afterwards.
    """
    more = share * (high / 2 - low / 2)
    limit = np.finfo(np.float32).max
    with np.errstate(over="ignore"):
        first = np.where(low >= 0, np.maximum(low - more, 0), np.maximum(low, -limit + more) - more)
        last = np.where(high <= 0, np.minimum(high + more, 0), np.minimum(high, limit - more) + more)
    return first.astype(np.float32), last.astype(np.float32)
