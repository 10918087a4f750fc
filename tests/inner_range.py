"""A range method as somebody else would write it; in a module of its own, so that worker processes can import it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fullint.calibration.range_methods import RangeMethod
from fullint.model.ranges import Range

SHARE = 10.0


class Inner(RangeMethod):
    """What is left when the outermost tenths of all values are dropped; keeps them all, sorted."""

    name = "inner"

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    @classmethod
    def empty(cls) -> Inner:
        return cls(np.zeros(0, np.float32))

    def accumulate(self, values: np.ndarray) -> None:
        assert values.dtype == np.float32 and values.ndim == 1
        self.values = np.sort(np.concatenate([self.values, values]))

    def merge(self, other: Inner) -> Inner:
        return Inner(np.sort(np.concatenate([self.values, other.values])))

    def finish(self, count: int) -> Range:
        assert count == self.values.size
        return Range(*(float(v) for v in np.percentile(self.values, [SHARE, 100 - SHARE])))

    def outside(self, span: Range) -> float:
        return float(((self.values < span.low) | (self.values > span.high)).mean())

    def arrays(self) -> dict[str, np.ndarray]:
        return {"values": self.values}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Inner:
        return cls(arrays["values"])
