"""Ranges of the model's inputs that lose least: a few far values may be cut off for finer steps for all others.

    error(f) = mean( (x - clip(x, f range))^2 ) + (f step)^2 / 12

The values are at hand, so the error is known, not guessed. Values that fill their range, such as pixels, are not
cut; of a normal distribution about one in ten thousand is.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import numpy as np

from fullint.model.ir import Array, Tensor
from fullint.model.ranges import Range

FACTORS = (0.95, 0.9, 0.85, 0.8)
GAIN = 0.97
"""A range is only cut where the error falls below this share of what it was."""
PER_SAMPLE, MOST, FEWEST = 4096, 2_000_000, 20_000


class InputValues:
    """Some of the values that each float input was given, float32; at most `MOST` of each."""

    def __init__(self) -> None:
        self.values: dict[Tensor, list[tuple[int, Array]]] = {}
        self.count: dict[Tensor, int] = {}

    def add(self, number: int, inputs: Sequence[Tensor], sample: Sequence[Array]) -> None:
        """Take some values of one sample, at regular distances, so that no row or channel is left out."""
        for t, array in zip(inputs, sample, strict=True):
            if array.dtype == np.float32 and self.count.get(t, 0) < MOST:
                self.take(t, number, some_values(array))

    def take(self, t: Tensor, number: int, values: Array) -> None:
        """Take values of an input, of one sample."""
        self.values.setdefault(t, []).append((number, values))
        self.count[t] = self.count.get(t, 0) + values.size

    def without(self, numbers: AbstractSet[int], inputs: Sequence[Tensor]) -> InputValues:
        """The values of all samples but some of certain inputs."""
        left = InputValues()
        left.values = {t: [p for p in pairs if t not in inputs or p[0] not in numbers] for t, pairs in self.values.items()}
        left.count = {t: sum(x.size for _, x in pairs) for t, pairs in left.values.items()}
        return left

    def clipped(self, t: Tensor, span: Range) -> Range:
        """The range that loses least, of the whole and some narrower ones; the whole where few values are known."""
        if self.count.get(t, 0) < FEWEST:
            return span
        x = np.concatenate([x for _, x in self.values[t]])
        best, found = GAIN * _error(x, span), span
        for f in FACTORS:
            narrow = span.scale(f)
            error = _error(x, narrow)
            if error < best:
                best, found = error, narrow
        return found


def some_values(array: Array) -> Array:
    """Some values of a sample, at regular distances."""
    flat = array.reshape(-1)
    step = max(1, flat.size // PER_SAMPLE) | 1
    taken: Array = flat[::step].copy()
    return taken


def _error(x: Array, span: Range) -> float:
    low, high = span.with_zero()
    lost = np.minimum(x - low, 0) + np.maximum(x - high, 0)
    return float(np.square(lost, dtype=np.float64).mean()) + ((high - low) / 255) ** 2 / 12
