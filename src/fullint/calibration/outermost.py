"""The largest values at each place and the samples that gave them, so that ranges without some samples need no second run.

    places     0     1     2                  without({7})     0     1     2
    largest   9.1   6.0   220 (sample 7)                      9.1   6.0   3.4
    next      8.7   6.0   3.4 (sample 2)

`MOST` values are kept at each place: as many samples, less one, can be left out. They also tell how much farther out the largest
value lies than that of a random half of the n samples: with v_1 >= v_2 >= ... the largest of each sample,

    growth = v_1 - sum of p_k v_k,   p_k = C(n - k, n/2 - 1) / C(n, n/2), the probability that v_k is the largest of a half

A value and its sample are one integer, so that sorting these sorts by value, and equal values by sample:

    key = 2^32 * (bits of the value, made monotone) + (2^31 - 1 - sample)
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

from fullint.model.ir import Array

MOST = 24
_GATHERED = 2 * MOST
"""Rows of keys before the smaller ones are dropped."""
_NONE = np.iinfo(np.int64).min
_MAGNITUDE, _LAST = 0x7FFFFFFF, 2**31 - 1


@dataclass(eq=False)
class Outermost:
    """Accumulates vectors, one for each sample.

    Attributes:
        keys: of the largest values so far at each place, int64 [up to _GATHERED, places], in no order.
        rows: how many rows of `keys` are taken.
        count: how many samples there were, but for those held back, whose numbers are negative.
    """

    keys: Array
    rows: int = 0
    count: int = 0

    @classmethod
    def empty(cls, places: int) -> Outermost:
        """Before the first sample."""
        return cls(np.empty((0, places), np.int64))

    def add(self, number: int, vector: Array) -> None:
        """Take in a sample's vector, float32 [places]."""
        self.count += number >= 0
        if self.rows == len(self.keys):
            kept = self.keys if self.rows < _GATHERED else _largest(self.keys)
            more = min(max(len(kept), 4), _GATHERED - len(kept))
            self.keys = np.concatenate([kept, np.full((more, kept.shape[1]), _NONE)])
            self.rows = len(kept)
        self.keys[self.rows] = _keys(vector, number)
        self.rows += 1

    def merge(self, other: Outermost) -> Outermost:
        """What both have taken in."""
        kept = _largest(np.concatenate([self.keys[: self.rows], other.keys[: other.rows]]))
        return Outermost(kept, len(kept), self.count + other.count)

    def sorted_keys(self) -> Array:
        """The keys of the largest values at each place, in ascending order, int64 [at most MOST, places]."""
        return np.sort(self.keys[: self.rows], axis=0)[-MOST:]

    def at(self, places: Array) -> Outermost:
        """The same at some of the places, int64."""
        return Outermost(self.keys[: self.rows, places], self.rows, self.count)

    def renumbered(self, number: Callable[[Array], Array]) -> Outermost:
        """The same with other numbers of its samples.

        Args:
            number: from some numbers, none negative, to as many others, int64.
        """
        keys = _largest(self.keys[: self.rows])
        known = keys != _NONE
        new = keys.copy()
        new[known] += _samples(keys[known]) - number(_samples(keys[known]))
        return Outermost(new, len(new), self.count)

    def without(self, numbers: AbstractSet[int]) -> Array:
        """The largest value at each place but for some samples, float32 [places]; -inf where no other is known."""
        keys = _largest(self.keys[: self.rows])
        left = np.where(np.isin(_samples(keys), list(numbers)), _NONE, keys)
        return _values(left.max(axis=0, initial=_NONE))

    def ranked(self, place: int) -> list[tuple[float, int]]:
        """(value, sample) of the samples that have the largest values at a place, the largest first."""
        keys = np.sort(self.keys[: self.rows, place])[::-1][:MOST]
        return list(zip(_values(keys).tolist(), _samples(keys).tolist(), strict=True))

    def growth(self, place: int, without: AbstractSet[int] = frozenset()) -> tuple[float, float]:
        """The largest value at a place, and how much larger it is than that of half of the samples, on average."""
        farthest = [(value, number) for value, number in self.ranked(place) if number >= 0 and number not in without]
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


def _keys(vector: Array, number: int) -> Array:
    bits = (vector + np.float32(0)).view(np.int32)  # -0 is 0
    ordered = (bits ^ ((bits >> 31) & _MAGNITUDE)).astype(np.int64)
    keys: Array = (ordered << 32) + (_LAST - number)
    return keys


def _largest(keys: Array) -> Array:
    found: Array = np.sort(keys, axis=0)[-MOST:] if len(keys) > MOST else keys
    return found


def _samples(keys: Array) -> Array:
    samples: Array = _LAST - (keys - ((keys >> 32) << 32))
    return samples


def _values(keys: Array) -> Array:
    ordered = (keys >> 32).astype(np.int32)
    values: Array = (ordered ^ ((ordered >> 31) & _MAGNITUDE)).view(np.float32)
    return np.where(keys == _NONE, np.float32(-np.inf), values)
