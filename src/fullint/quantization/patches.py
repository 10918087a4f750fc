"""What an operator with weights reads, of a few samples: the inputs of some of its results, and the means over all of them.

    x [samples, rows, columns, channels]   --Patches-->   [results, channels, taps]          some results, drawn at random
                                           --TapMeans-->  [samples, taps, channels]          the mean that each tap reads

Both are functions that a worker calls on the values it keeps, so that only their results cross the pipe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fullint.model.ir import Array
from fullint.ops.taps import Taps


@dataclass(frozen=True, eq=False)
class Patches:
    """The inputs of some results.

    Attributes:
        taps: of the operator.
        at: numbers of the results, [results], over (sample, picture, row, column).
        fill: what padding reads.
    """

    taps: Taps
    at: Array
    fill: float

    def __call__(self, values: Sequence[Array]) -> Array:
        """[results, channels, taps], in the type of the values."""
        t = self.taps
        places = [self.at[self.at // t.places == i] - i * t.places for i in range(len(values))]
        return np.concatenate([self._of_one(x, at) for x, at in zip(values, places, strict=True)])

    def _of_one(self, x: Array, at: Array) -> Array:
        t = self.taps
        x = x.reshape(-1, *t.size, t.channels)
        picture, row, column = np.unravel_index(at, (t.batch, len(t.down), len(t.across)))
        down, across = t.down[row], t.across[column]
        found = x[picture[:, None, None], np.maximum(down, 0)[:, :, None], np.maximum(across, 0)[:, None, :]]
        outside = (down < 0)[:, :, None] | (across < 0)[:, None, :]
        if outside.any():
            found[outside] = self.fill
        return np.ascontiguousarray(found.reshape(len(at), t.window, t.channels).transpose(0, 2, 1))


@dataclass(frozen=True, eq=False)
class TapMeans:
    """The mean over all results of what each tap reads.

    Attributes:
        taps: of the operator.
        zero: what the value 0, which padding reads, is subtracted as.
    """

    taps: Taps
    zero: float

    def __call__(self, values: Sequence[Array]) -> Array:
        """[samples, taps, channels], float64."""
        return np.stack([self._of_one(x) for x in values])

    def _of_one(self, x: Array) -> Array:
        t = self.taps
        x = x.reshape(-1, *t.size, t.channels)
        wide = np.int64 if x.dtype.kind == "i" else np.float64
        by_row = [_picked(x, t.across[:, k], 2).sum(axis=(0, 2), dtype=wide) for k in range(t.across.shape[1])]
        counts = [(t.across[:, k] >= 0).sum() for k in range(t.across.shape[1])]
        found = np.empty((t.down.shape[1], t.across.shape[1], t.channels))
        for k in range(t.down.shape[1]):
            rows = (t.down[:, k] >= 0).sum()
            for m, sums in enumerate(by_row):
                total = _picked(sums, t.down[:, k], 0).sum(axis=0, dtype=wide)
                found[k, m] = total - self.zero * float(rows * counts[m] * t.batch)
        return found.reshape(t.window, t.channels) / t.places


def _picked(x: Array, at: Array, axis: int) -> Array:
    """The places along an axis that a tap reads: evenly spaced."""
    at = at[at >= 0]
    step = int(at[1] - at[0]) if len(at) > 1 else 1
    window = [slice(None)] * x.ndim
    window[axis] = slice(int(at[0]), int(at[-1]) + 1, step) if len(at) else slice(0, 0)
    return x[tuple(window)]


def drawn(taps: Taps, samples: int, most: int, seed: int) -> Array:
    """Numbers of some of the results of all samples, in order."""
    total = samples * taps.places
    if total <= most:
        return np.arange(total)
    return np.sort(np.random.default_rng(seed).choice(total, most, replace=False))
