"""The largest values at each place and the samples that gave them, so that ranges without some samples need no second run.

    places     0     1     2                  without({7})     0     1     2
    largest   9.1   6.0   220 (sample 7)                      9.1   6.0   3.4
    next      8.7   6.0   3.4 (sample 2)

`MOST` values are kept at each place: as many samples, less one, can be left out. They also tell how much farther out the largest
value of a stretch of places lies than that of a random half of the n samples: with v_1 >= v_2 >= ... the largest of each sample,

    growth = v_1 - sum of p_k v_k,   p_k = C(n - k, n/2 - 1) / C(n, n/2), the probability that v_k is the largest of a half
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

from fullint.model.ir import Array

MOST = 24
NONE = np.iinfo(np.int32).min


@dataclass(eq=False)
class Outermost:
    """Accumulates vectors, one for each sample.

    Attributes:
        values: the largest so far at each place, float32 [MOST, places], in no order; -inf where there is none yet.
        samples: the number of the sample that gave each, int32 [MOST, places]; `NONE` where there is none yet.
        floor: the smallest of `values` at each place.
        count: how many samples there were, but for those held back, whose numbers are negative.
    """

    values: Array
    samples: Array
    floor: Array
    count: int = 0

    @classmethod
    def empty(cls, places: int) -> Outermost:
        """Before the first sample."""
        values = np.full((MOST, places), -np.inf, np.float32)
        return cls(values, np.full((MOST, places), NONE, np.int32), values[0].copy())

    def add(self, number: int, vector: Array) -> None:
        """Take in a sample's vector, [places]."""
        self.count += number >= 0
        above = np.flatnonzero(vector > self.floor)
        if above.size:
            rows = self.values[:, above].argmin(axis=0)
            self.values[rows, above] = vector[above]
            self.samples[rows, above] = number
            self.floor[above] = self.values[:, above].min(axis=0)

    def merge(self, other: Outermost) -> Outermost:
        """What both have taken in."""
        values = np.concatenate([self.values, other.values])
        samples = np.concatenate([self.samples, other.samples])
        order = np.lexsort((samples, -values), axis=0)[:MOST]
        kept = np.take_along_axis(values, order, axis=0)
        return Outermost(kept, np.take_along_axis(samples, order, axis=0), kept.min(axis=0), self.count + other.count)

    def without(self, numbers: AbstractSet[int]) -> Array:
        """The largest value at each place but for some samples, float32 [places]; -inf where no other is known."""
        left_out = np.isin(self.samples, list(numbers))
        found: Array = np.where(left_out, -np.inf, self.values).max(axis=0)
        return found

    def ranked(self, start: int, stop: int) -> list[tuple[float, int]]:
        """(largest value, sample) of the samples that lie farthest out in a stretch of places, farthest first."""
        values, samples = self.values[:, start:stop].ravel(), self.samples[:, start:stop].ravel()
        own = samples != NONE
        if not own.any():
            return []
        first = int(samples[own].min())
        best = np.full(int(samples[own].max()) - first + 1, -np.inf, np.float32)
        np.maximum.at(best, samples[own] - first, values[own])
        known = np.flatnonzero(best > -np.inf)
        order = known[np.lexsort((known, -best[known]))][:MOST]
        return [(float(best[place]), first + int(place)) for place in order]

    def growth(self, start: int, stop: int, without: AbstractSet[int] = frozenset()) -> tuple[float, float]:
        """The largest value of a stretch of places, and how much larger it is than that of half of the samples, on average."""
        farthest = [(value, number) for value, number in self.ranked(start, stop) if number >= 0 and number not in without]
        if not farthest:
            return 0.0, 0.0
        count = max(self.count - len(without), len(farthest))
        half = max(count // 2, 1)
        probability, left, expected = half / count, 1.0, 0.0
        for k, (value, _) in enumerate(farthest):
            expected += probability * value
            left -= probability
            probability *= max(count - k - half, 0) / max(count - k - 1, 1)
        return farthest[0][0], farthest[0][0] - expected - max(left, 0.0) * farthest[-1][0]
