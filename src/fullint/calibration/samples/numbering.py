"""Numbers of samples that mostly follow one another, in memory that does not grow with them.

0 1 2 4 5 6 9 10    as    [0, 3) -> 0 ...,  [3, 6) -> 4 ...,  [6, 8) -> 9 ...

Which samples of a source calibrated is such a sequence: all but those that were held back, or had been there before.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import numpy as np

from fullint.model.ir import Array


class Numbering(Sequence[int]):
    """A sequence of numbers that is only appended to; each stretch of neighbours takes 16 bytes."""

    def __init__(self, stretches: Sequence[tuple[int, int]] = ()) -> None:
        self._places, self._numbers, self._size = array("q"), array("q"), 0
        for first, last in stretches:
            self._begin(first)
            self._size += last - first

    @classmethod
    def of(cls, numbers: Iterable[int]) -> Numbering:
        """A sequence of some numbers."""
        found = cls()
        for number in numbers:
            found.append(number)
        return found

    def append(self, number: int) -> None:
        """Add a number behind all others."""
        if not self._size or self._numbers[-1] + self._size - self._places[-1] != number:
            self._begin(number)
        self._size += 1

    def _begin(self, number: int) -> None:
        self._places.append(self._size)
        self._numbers.append(number)

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, place: int) -> int: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[int]: ...

    def __getitem__(self, place: int | slice) -> int | Sequence[int]:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(self._size))]
        if not 0 <= place < self._size:
            raise IndexError(place)
        found = bisect_right(self._places, place) - 1
        return self._numbers[found] + place - self._places[found]

    def __iter__(self) -> Iterator[int]:
        for first, last in self.stretches:
            yield from range(first, last)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Numbering) and self.stretches == other.stretches

    __hash__ = None  # type: ignore[assignment]

    def at(self, places: Array) -> Array:
        """The numbers at some places of the sequence, int64."""
        starts, numbers = np.frombuffer(self._places, np.int64), np.frombuffer(self._numbers, np.int64)
        found = np.searchsorted(starts, places, side="right") - 1
        at: Array = numbers[found] + places - starts[found]
        return at

    def places(self, numbers: Array) -> Array:
        """Where some of its numbers stand in the sequence, int64; none of them stands there twice."""
        starts, firsts = np.frombuffer(self._places, np.int64), np.frombuffer(self._numbers, np.int64)
        order = np.argsort(firsts)
        found = order[np.searchsorted(firsts[order], numbers, side="right") - 1]
        at: Array = starts[found] + numbers - firsts[found]
        return at

    @property
    def stretches(self) -> list[tuple[int, int]]:
        """(first, one after the last) of each stretch, in the order of the sequence."""
        ends = [*self._places, self._size][1:]
        return [(n, n + end - start) for start, end, n in zip(self._places, ends, self._numbers, strict=True)]
