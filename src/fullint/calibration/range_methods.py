"""How a range is made of what samples show of a tensor: an object for each tensor, fed sample after sample.

    method.accumulate(values)     one more sample
    method.merge(other)           what another run has shown of the same tensor, as if it had been one run
    method.finish(count)          the range, after `count` values in all

min-max: [min over samples, max over samples], moved apart where only few values were seen:

    share(n) = sqrt(ln N / ln max(n, 8)) - 1,  N = 1000        the largest of n values of a normal distribution is about
                                                               sigma sqrt(2 ln n) from its middle

Methods that leave values out are in `clipping`: they see all values of a tensor, and not only each sample's smallest and largest.
Inside loops and branches, where the graph can only carry maxima, ranges are always min-max.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from fullint.errors import UsageError
from fullint.model.ir import Array
from fullint.model.ranges import Range, widen

if TYPE_CHECKING:
    from typing_extensions import Self

FEW_VALUES = 1000
"""Of fewer values than these, the ends are not taken to be the last word."""


class RangeMethod(ABC):
    """What samples have shown of one tensor."""

    name: ClassVar[str]
    """What it is called in files and options."""

    @property
    def spelling(self) -> str:
        """What it is called in reports, with its parameter."""
        return self.name

    @abstractmethod
    def accumulate(self, values: Array) -> None:
        """Take in one sample: all its values, float32 [values]."""

    @abstractmethod
    def merge(self, other: Self) -> Self:
        """What both have seen. The order of the samples must not matter: shards are merged as they come."""

    @abstractmethod
    def finish(self, count: int) -> Range:
        """The range, `count` values of the tensor having been seen in all."""

    @abstractmethod
    def outside(self, span: Range) -> float:
        """Share of the values that lie beyond a range that it has made, 0 to 1."""

    @abstractmethod
    def arrays(self) -> dict[str, Array]:
        """What it has gathered, for a file."""

    @classmethod
    @abstractmethod
    def of_arrays(cls, arrays: Mapping[str, Array]) -> Self:
        """A method as `arrays` has put it down."""


class MinMax(RangeMethod):
    """Smallest and largest value, at one place or at several (channels).

    Args:
        low, high: so far, float32 [places]; nothing was seen where low is above high.
    """

    name = "minmax"

    def __init__(self, low: Array, high: Array) -> None:
        self.low, self.high = low, high

    @classmethod
    def empty(cls, places: int = 1) -> Self:
        """Before the first sample."""
        return cls(np.full(places, np.inf, np.float32), np.full(places, -np.inf, np.float32))

    def accumulate(self, values: Array) -> None:
        """Take in a sample's smallest and largest values, [2, places]."""
        self.low = np.minimum(self.low, values[0])
        self.high = np.maximum(self.high, values[1])

    def merge(self, other: Self) -> Self:
        """What both have seen.

        Raises:
            UsageError: one is per channel and the other is not.
        """
        if self.low.shape != other.low.shape:
            raise UsageError(f"statistics of {self.low.size} and of {other.low.size} channels cannot be merged")
        return type(self)(np.minimum(self.low, other.low), np.maximum(self.high, other.high))

    @property
    def seen(self) -> bool:
        """Whether any sample has reached the tensor."""
        return bool((self.low <= self.high).all())

    def finish(self, count: int) -> Range:
        """The range over all places, `count` values having been seen in all."""
        low, high = _with_room(self.low.min(), self.high.max(), count)
        return Range(float(low), float(high))

    def outside(self, span: Range) -> float:
        """None of those that were seen."""
        return 0.0

    def channels(self, count: int) -> tuple[Array, Array]:
        """Smallest and largest value of each place, float32 [places]; `count` as in `finish`."""
        return _with_room(self.low, self.high, count // self.low.size)

    def arrays(self) -> dict[str, Array]:
        """The smallest and largest values so far."""
        return {"low": self.low, "high": self.high}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, Array]) -> Self:
        """The ends, read again."""
        return cls(arrays["low"], arrays["high"])


def _with_room(low: Array, high: Array, count: int) -> tuple[Array, Array]:
    """Ends with room for values farther out than the few that were seen."""
    if count >= FEW_VALUES:
        return low, high
    return widen(low, high, math.sqrt(math.log(FEW_VALUES) / math.log(max(count, 8))) - 1)
