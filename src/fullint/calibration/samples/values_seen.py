"""What the values that an input was given are like: their ends, whether they are whole numbers, which codes they hit."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fullint.calibration.samples.slots import Slot
from fullint.model.ir import Array
from fullint.model.numerics import RANGES
from fullint.model.ranges import Range


@dataclass(frozen=True, eq=False)
class Counted:
    """What values are like: how many, smallest and largest, whether all are whole numbers, how often each of 256 codes came."""

    count: int = 0
    low: float = math.inf
    high: float = -math.inf
    whole: bool = True
    codes: Array | None = None

    def merge(self, other: Counted) -> Counted:
        """What the values of both are like."""
        codes = self.codes if other.codes is None else other.codes if self.codes is None else self.codes + other.codes
        low, high = min(self.low, other.low), max(self.high, other.high)
        return Counted(self.count + other.count, low, high, self.whole and other.whole, codes)


class ValuesSeen:
    """Accumulates one input's samples, as the model takes them.

    Args:
        slot: the input.
    """

    def __init__(self, slot: Slot) -> None:
        self.slot = slot
        self.count = 0
        self.low, self.high = math.inf, -math.inf
        self.whole = True
        self.codes: Array | None = None
        if slot.quant is not None and slot.dtype in ("int8", "uint8"):
            self.codes = np.zeros(256, np.int64)

    def add(self, array: Array) -> None:
        """Take in one sample."""
        if not array.size:
            return
        self.count += array.size
        self.low, self.high = min(self.low, float(array.min())), max(self.high, float(array.max()))
        if self.whole and array.dtype.kind == "f":
            self.whole = bool((array == np.floor(array)).all())
        if self.codes is not None:
            self.codes += np.bincount(array.reshape(-1).astype(np.int64) - RANGES[self.slot.dtype][0], minlength=256)

    @property
    def counted(self) -> Counted:
        """All of it as a value."""
        return Counted(self.count, self.low, self.high, self.whole, self.codes)

    def take(self, others: Counted) -> None:
        """Take in what others have seen."""
        both = self.counted.merge(others)
        self.count, self.low, self.high, self.whole, self.codes = both.count, both.low, both.high, both.whole, both.codes

    @property
    def span(self) -> Range | None:
        """Smallest and largest value; of a quantized input, what its codes stand for. None where nothing was seen."""
        if self.count == 0:
            return None
        if self.slot.quant is None or self.slot.dtype not in RANGES:
            return Range(self.low, self.high)
        scale, zero = float(self.slot.quant.scale[0]), int(self.slot.quant.zero_point[0])
        return Range((self.low - zero) * scale, (self.high - zero) * scale)

    @property
    def hit(self) -> list[int]:
        """The codes that were hit, in ascending order, where the input has 256."""
        if self.codes is None:
            return []
        return [int(c) + RANGES[self.slot.dtype][0] for c in np.flatnonzero(self.codes)]
