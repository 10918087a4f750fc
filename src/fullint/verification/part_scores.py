"""Whether a part of an output is kept, judged by its own spread over the samples.

    noise  = sum (ref - out)^2
    spread = sum (ref - mean)^2,   10 log10(spread / noise)  dB      what is left of the part's information
    energy = sum ref^2,            10 log10(energy / noise)  dB      judges a part that does not move

A column that moves between 2.93 and 2.99 has 37 dB by its energy when it becomes a constant; by its spread it is lost.
With few values a figure is uncertain; a part is called lost or weak only beyond `margin`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fullint.model.ir import Array
from fullint.verification.metrics import decibels

LOST_DB, WEAK_DB = 0.0, 5.0
FEWEST_VALUES = 4
"""Values that a part must have shown."""
STILL = 1e-5
"""Of its size: a part that moves less than this is a constant but for rounding in float32."""
DEAD = 1e-8
"""Of the part that moves most: what moves less carries nothing but rounding."""
OWN_STEPS = 255.0
"""Steps that a part would have on an int8 scale of its own."""
DICTATED_STEPS = 2.0
"""An error below so many steps of a scale that a kernel fixes is not the fault of the network's parameters."""


class PartSums:
    """Sums over samples of several parts at once."""

    def __init__(self, count: int) -> None:
        self.values = np.zeros(count, np.int64)
        self.origin: Array | None = None
        self.total, self.square, self.energy, self.noise = (np.zeros(count) for _ in range(4))
        self.farthest = np.zeros(count)
        self.low, self.out_low = np.full(count, np.inf), np.full(count, np.inf)
        self.high, self.out_high = np.full(count, -np.inf), np.full(count, -np.inf)

    def add(self, columns: list[tuple[Array, Array]]) -> None:
        """Add one sample: (reference, output) of each part, one-dimensional."""
        if self.origin is None:  # squares are taken around the first value, so that nothing cancels
            self.origin = np.array([r[0] for r, _ in columns], np.float64)
        for i, (ref, out) in enumerate(columns):
            self._add(slice(i, i + 1), ref.astype(np.float64)[:, None], out.astype(np.float64)[:, None])

    def add_table(self, ref: Array, out: Array) -> None:
        """Add one sample, of [values, parts]."""
        if self.origin is None:
            self.origin = ref[0].astype(np.float64)
        self._add(slice(None), ref.astype(np.float64), out.astype(np.float64))

    def _add(self, at: slice, ref: Array, out: Array) -> None:
        assert self.origin is not None
        away, error = ref - self.origin[at], ref - out
        self.values[at] += ref.shape[0]
        self.total[at] += away.sum(0)
        self.square[at] += np.square(away).sum(0)
        self.energy[at] += np.square(ref).sum(0)
        self.noise[at] += np.square(error).sum(0)
        self.farthest[at] = np.maximum(self.farthest[at], np.abs(error).max(0))
        self.low[at] = np.minimum(self.low[at], ref.min(0))
        self.high[at] = np.maximum(self.high[at], ref.max(0))
        self.out_low[at] = np.minimum(self.out_low[at], out.min(0))
        self.out_high[at] = np.maximum(self.out_high[at], out.max(0))

    @property
    def moves(self) -> float:
        """The largest standard deviation of all parts."""
        spread = self.square - self.total**2 / np.maximum(self.values, 1)
        return math.sqrt(max(float((spread / np.maximum(self.values, 1)).max(initial=0.0)), 0.0))

    def figures(self, i: int, step: float, dictated: float, count: int) -> PartFigures:
        """What is known of one part.

        Args:
            i: its number.
            step: the scale that its values are put on, 0 if none.
            dictated: the scale that its producer's kernel fixes, 0 if none.
            count: number of parts that are judged alongside.
        """
        n = int(self.values[i])
        spread = max(float(self.square[i] - self.total[i] ** 2 / max(n, 1)), 0.0)
        return PartFigures(
            values=n,
            energy_db=decibels(float(self.energy[i]), float(self.noise[i])),
            spread_db=decibels(spread, float(self.noise[i])),
            limit_db=decibels(spread, n * step * step / 12),
            deviation=math.sqrt(spread / max(n, 1)),
            largest=max(abs(float(self.low[i])), abs(float(self.high[i]))),
            widest=self.moves,
            low=float(self.low[i]),
            high=float(self.high[i]),
            error=float(self.farthest[i]),
            by_one=float(self.farthest[i]) ** 2 > float(self.noise[i]) / 2,
            constant=bool(self.out_low[i] == self.out_high[i]),
            step=step,
            dictated=dictated,
            margin=(13.0 + 2.0 * math.log2(max(count, 1))) / math.sqrt(max(n, 1)),
        )


@dataclass(frozen=True)
class PartFigures:
    """The figures of one part.

    Attributes:
        values: number of values compared.
        energy_db, spread_db: SQNR by energy, and by spread about the mean.
        limit_db: the spread against the error of rounding to `step` alone.
        deviation: standard deviation of the reference.
        largest: largest absolute value of the reference; `low` and `high` are its ends.
        widest: the largest standard deviation of all parts.
        error: largest difference.
        by_one: whether one value has more than half of the noise.
        constant: whether the result is one and the same value.
        step, dictated: the scale that its values are put on, and the one that its producer's kernel fixes.
        margin: dB that a figure must be beyond a bound to be significant.
    """

    values: int
    energy_db: float
    spread_db: float
    limit_db: float
    deviation: float
    largest: float
    widest: float
    low: float
    high: float
    error: float
    by_one: bool
    constant: bool
    step: float
    dictated: float
    margin: float

    @property
    def still(self) -> bool:
        """Whether the reference does not move."""
        return self.deviation <= STILL * self.largest or self.deviation <= DEAD * self.widest

    @property
    def figure(self) -> float:
        """The dB that decide: by spread, or by energy where nothing moves."""
        return self.energy_db if self.still else self.spread_db

    @property
    def too_fine(self) -> bool:
        """Whether it moves by too little for any int8 scale that holds its values."""
        span = max(self.high, 0.0) - min(self.low, 0.0)
        return not self.still and 12 * self.deviation**2 <= (span / OWN_STEPS) ** 2

    @property
    def by_scale(self) -> bool:
        """Whether rounding to the scale that its values are put on explains the loss."""
        if self.step == 0:  # a float output: what it was made of became a constant
            return self.constant and not self.still and not self.too_fine
        chosen = self.step > 1.01 * self.dictated  # a scale that a kernel fixes is no choice
        return chosen and not self.still and not self.too_fine and self.limit_db < WEAK_DB + 3

    @property
    def excused(self) -> bool:
        """Whether the error is no larger than steps that nobody can choose."""
        return self.error <= DICTATED_STEPS * self.dictated or (self.still and self.error <= DICTATED_STEPS * self.step)

    @property
    def status(self) -> str:
        """How much of it is left."""
        if self.values < FEWEST_VALUES or self.excused or self.largest == 0:
            return "kept"  # a part that is zero in every sample has nothing to lose; the whole output is judged anyway
        if self.too_fine:
            return "weak" if self.figure < WEAK_DB - self.margin else "kept"
        if self.constant and self.by_scale:
            return "constant"
        if self.figure <= LOST_DB - self.margin:
            return "lost"
        return "weak" if self.figure < WEAK_DB - self.margin else "kept"
