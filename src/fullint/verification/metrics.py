"""How close one output is to another.

SQNR = 10 log10( sum ref^2 / sum (ref - out)^2 )  dB      over all samples together
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from fullint.model.ir import Array, Quant
from fullint.model.numerics import dequantize, quantize
from fullint.verification.uncertainty import interval


@dataclass
class Score:
    """One output's sums over samples, from which its figures are computed."""

    signal: float = 0.0
    noise: float = 0.0
    rounding: float = 0.0
    largest: float = 0.0
    rows: int = 0
    agree: int = 0
    elements: int = 0
    equal: int = 0
    values: int = 0
    low: float = math.inf
    high: float = -math.inf
    signals: list[float] = field(default_factory=list)
    noises: list[float] = field(default_factory=list)

    def add(self, reference: Array, output: Array, classes: bool = False, grid: Quant | None = None) -> None:
        """Add one sample.

        Args:
            reference: the reference model's output, as real values.
            output: the result's output, as real values.
            classes: whether to count rows with the same largest entry.
            grid: the output's parameters, if the error of rounding to them alone is wanted (`limit`).
        """
        if reference.dtype.kind != "f":
            self.elements += reference.size
            self.equal += int((reference == output).sum())
            return
        error = (reference - output).astype(np.float64)
        self.signals.append(float(np.square(reference, dtype=np.float64).sum()))
        self.noises.append(float(np.square(error).sum()))
        self.signal += self.signals[-1]
        self.noise += self.noises[-1]
        self.values += reference.size
        self.low = min(self.low, float(reference.min(initial=math.inf)))
        self.high = max(self.high, float(reference.max(initial=-math.inf)))
        if grid is not None:
            self.rounding += float(np.square((reference - dequantize(quantize(reference, grid), grid)).astype(np.float64)).sum())
        self.largest = max(self.largest, float(np.abs(error).max(initial=0.0)))
        if classes:
            a, b = (x.reshape(-1, x.shape[-1]).argmax(axis=1) for x in (reference, output))
            self.rows += a.size
            self.agree += int((a == b).sum())

    @property
    def sqnr(self) -> float | None:
        """SQNR in dB, from -200 to 200 (no error); None for integer outputs."""
        if self.elements:
            return None
        return decibels(self.signal, self.noise)

    @property
    def interval(self) -> tuple[float, float] | None:
        """What the SQNR over all data lies in, in dB, as far as these samples tell; None where they are too few."""
        return interval(self.signals, self.noises) if self.signals else None

    @property
    def limit(self) -> float | None:
        """SQNR in dB of the reference output rounded to the result's scale, the best any int8 output can reach."""
        return decibels(self.signal, self.rounding) if self.rounding else None


def decibels(signal: float, noise: float) -> float:
    """10 log10(signal / noise), from -200 to 200 (no noise)."""
    return 200.0 if noise == 0 else max(10 * (math.log10(max(signal, 1e-300)) - math.log10(noise)), -200.0)


def mean_sqnr(scores: Iterable[Score]) -> float | None:
    """Mean of the outputs' SQNR, None where no output is float."""
    return joined_quality(s.sqnr for s in scores)


def joined_quality(figures: Iterable[float | None]) -> float | None:
    """Mean of the figures that are not None, or None if there are none."""
    known = [f for f in figures if f is not None]
    return sum(known) / len(known) if known else None


def known_to(near_db: float, scores: Sequence[Score]) -> bool:
    """Whether the mean figure of outputs is known to so many dB; where that cannot be told, it is."""
    ends = [s.interval for s in scores if s.signals]
    known = [e for e in ends if e is not None]
    return not known or sum(high - low for low, high in known) / len(known) <= 2 * near_db


def worse_than(alone: Score, together: Score) -> bool:
    """Whether some samples are worse than all together by more than chance explains."""
    ends, figure = alone.interval, together.sqnr
    return ends is not None and figure is not None and ends[1] < figure
