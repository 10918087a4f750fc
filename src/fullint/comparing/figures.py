"""How near an activation of the integer model is to the float model's, in the whole run and with exact inputs.

f  float model's value      q  integer model's      a  the group's alone, given f      i  the float group's, given f rounded

total     10 log10( sum f^2 / sum (q - f)^2 )       added   10 log10( sum f^2 / sum (a - f)^2 )
excess    10 log10( sum (a - f)^2 / (sum (i - f)^2 + n step^2 / 12) )    above what rounding alone explains
a = gain f + shift, per channel: what a wrong scale and a wrong bias look like
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fullint.comparing.report import OwnError
from fullint.model.ir import Array, Tensor
from fullint.model.numerics import RANGES
from fullint.verification.metrics import decibels

MOST_CHANNELS = 8192
NO_ENERGY = 1e-30


class Sums:
    """Sums over samples, per channel (the last axis), of one activation; values beyond `limit` are alike to all that read it."""

    def __init__(self, t: Tensor, step: float, steps: int, limit: float = math.inf) -> None:
        last = t.shape[-1] if t.shape else 1
        self.channels = last if 1 < last <= MOST_CHANNELS else 1
        self.step, self.steps, self.limit = step, steps, limit
        zeros = (np.zeros(self.channels) for _ in range(11))
        self.f, self.ff, self.q, self.qq, self.fq, self.total, self.a, self.aa, self.fa, self.added, self.ideal = zeros
        self.rounding = np.zeros(self.channels)
        self.count, self.alone = 0, 0
        self.largest = self.largest_added = 0.0
        self.explained = True

    def rows(self, value: Array) -> Array:
        """Values as float64 [values, channels]."""
        rows = value.astype(np.float64).reshape(-1, self.channels)
        return np.clip(rows, -self.limit, self.limit) if self.limit < math.inf else rows

    def add(self, exact: Array, got: Array) -> None:
        """Take in a sample of the whole run."""
        f, q = self.rows(exact), self.rows(got)
        self.count += len(f)
        self.f += f.sum(axis=0)
        self.ff += np.square(f).sum(axis=0)
        self.q += q.sum(axis=0)
        self.qq += np.square(q).sum(axis=0)
        self.fq += (f * q).sum(axis=0)
        self.total += np.square(q - f).sum(axis=0)
        self.largest = max(self.largest, float(np.abs(q - f).max(initial=0)))

    def add_alone(self, exact: Array, got: Array, rounded: Array | None, factor: Array | None) -> None:
        """Take in a sample of the group alone, and of the float group on rounded inputs; `factor`: of the channels."""
        f, a = self.rows(exact), self.rows(got)
        self.alone += len(f)
        self.a += a.sum(axis=0)
        self.aa += np.square(a).sum(axis=0)
        self.fa += (f * a).sum(axis=0)
        self.added += np.square(a - f).sum(axis=0)
        self.largest_added = max(self.largest_added, float(np.abs(a - f).max(initial=0)))
        step = self.step * (factor if factor is not None and factor.size == self.channels else np.ones(self.channels))
        self.rounding += len(f) * np.square(step) * max(1.0, self.steps**2) / 12
        if rounded is None:
            self.explained = False
        else:
            self.ideal += np.square(self.rows(rounded) - f).sum(axis=0)

    @property
    def sqnr(self) -> float:
        """Of the whole run, dB."""
        return decibels(float(self.ff.sum()), float(self.total.sum()))

    @property
    def added_sqnr(self) -> float | None:
        """Of the group alone, dB."""
        return decibels(float(self.ff.sum()), float(self.added.sum())) if self.alone else None

    @property
    def cosine(self) -> float:
        """Of the whole run."""
        size = math.sqrt(float(self.ff.sum()) * float(self.qq.sum()))
        return float(self.fq.sum()) / size if size > 0 else 1.0

    @property
    def bias_shift(self) -> float:
        """Mean error of the whole run as a share of the values' root mean square."""
        rms = math.sqrt(float(self.ff.sum()) / max(self.count * self.channels, 1))
        return float((self.q - self.f).sum()) / max(self.count * self.channels, 1) / rms if rms > 0 else 0.0

    def own_error(self) -> OwnError | None:
        """The error of the group alone."""
        n = self.alone * self.channels
        if not n:
            return None
        mean = float(self.a.sum()) / n - float(self.f.sum()) / max(self.count * self.channels, 1)
        square = float(self.added.sum()) / n
        return OwnError(mean, math.sqrt(max(square - mean**2, 0.0)), self.largest_added, square)

    @property
    def explainable(self) -> Array:
        """Squared error that rounding explains, per channel."""
        return self.rounding + self.ideal

    @property
    def farthest(self) -> float:
        """The largest error of the group alone, as a multiple of the root mean square that rounding explains."""
        rms = math.sqrt(float(self.explainable.sum()) / max(self.alone * self.channels, 1))
        return self.largest_added / rms if rms > 0 and self.explained else 0.0

    def excess(self) -> float | None:
        """How far the group's own error is above what rounding explains, in dB; None where that is not known."""
        if not self.alone or not self.explained:
            return None
        return decibels(float(self.added.sum()), float(self.explainable.sum()) + NO_ENERGY)

    def excess_by_channel(self) -> Array:
        """The same per channel; channels that hardly count are 0."""
        counts = self.added > 1e-3 * self.added.sum()
        ratio: Array = np.where(counts, self.added / (self.explainable + NO_ENERGY), 1)
        return 10 * np.log10(np.maximum(ratio, NO_ENERGY))

    def gains(self) -> tuple[Array, Array]:
        """(gain, shift) per channel of the group alone; a channel that does not move has gain 1."""
        n = max(self.alone, 1)
        mean_f, mean_a = self.f / max(self.count, 1), self.a / n
        spread = self.ff / max(self.count, 1) - np.square(mean_f)
        both = self.fa / n - mean_f * mean_a
        moves = spread > 1e-6 * (self.ff / max(self.count, 1)) + NO_ENERGY
        gain = np.where(moves, both / np.where(moves, spread, 1), 1.0)
        return gain, mean_a - gain * mean_f


@dataclass
class Codes:
    """The codes that an integer activation takes in the whole run.

    Attributes:
        natural: whether the network itself asks for the low, and the high end (RELU).
        low, high: how many are at an end that it does not ask for.
        count: how many there were.
        idle: share of the codes that no value can have, since the operator's activation cuts them off.
        used: which of the codes of an 8-bit type were seen.
        least, most: smallest and largest code.
    """

    dtype: str
    natural: tuple[bool, bool] = (False, False)
    idle: float = 0.0
    low: int = 0
    high: int = 0
    count: int = 0
    used: Array | None = None
    least: int = 2**31
    most: int = -(2**31)

    def add(self, values: Array) -> None:
        """Take in a sample."""
        first, last = RANGES[self.dtype]
        self.low += 0 if self.natural[0] else int((values == first).sum())
        self.high += 0 if self.natural[1] else int((values == last).sum())
        self.count += values.size
        if values.size:
            self.least, self.most = min(self.least, int(values.min())), max(self.most, int(values.max()))
        if values.dtype.itemsize == 1:
            seen = np.bincount(values.reshape(-1).astype(np.int64) - first, minlength=256) > 0
            self.used = seen if self.used is None else self.used | seen

    @property
    def saturated(self) -> float:
        """Share of the codes at the ends of the type that the network does not ask for."""
        return (self.low + self.high) / self.count if self.count else 0.0

    @property
    def reach(self) -> float:
        """Share of the type's range that the codes reach over."""
        first, last = RANGES[self.dtype]
        return max(self.most - self.least, 0) / (last - first)

    @property
    def dead(self) -> int | None:
        """Codes within their reach that never occur; None for types of more bits."""
        return None if self.used is None else int(self.most - self.least + 1 - self.used.sum()) if self.count else 0
