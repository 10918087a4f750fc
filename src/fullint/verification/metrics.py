"""How near one output is to another.

SQNR = 10 log10( sum ref^2 / sum (ref - out)^2 )  dB      all samples together
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from fullint.model.ir import Array, Quant
from fullint.model.numerics import dequantize, quantize


@dataclass
class Score:
    """Sums of one output over samples."""

    signal: float = 0.0
    noise: float = 0.0
    rounding: float = 0.0
    largest: float = 0.0
    rows: int = 0
    agree: int = 0
    elements: int = 0
    equal: int = 0

    def add(self, reference: Array, output: Array, classes: bool = False, grid: Quant | None = None) -> None:
        """One sample: the float model's output and the result's, both real values.

        `grid` is the result's own: what rounding alone would cost is added up too.
        """
        if reference.dtype.kind != "f":
            self.elements += reference.size
            self.equal += int((reference == output).sum())
            return
        error = (reference - output).astype(np.float64)
        self.signal += float(np.square(reference, dtype=np.float64).sum())
        self.noise += float(np.square(error).sum())
        if grid is not None:
            self.rounding += float(np.square((reference - dequantize(quantize(reference, grid), grid)).astype(np.float64)).sum())
        self.largest = max(self.largest, float(np.abs(error).max(initial=0.0)))
        if classes:
            a, b = (x.reshape(-1, x.shape[-1]).argmax(axis=1) for x in (reference, output))
            self.rows += a.size
            self.agree += int((a == b).sum())

    @property
    def sqnr(self) -> float | None:
        """dB; 200 where there is no error at all; None for integer outputs."""
        if self.elements:
            return None
        return _decibels(self.signal, self.noise)

    @property
    def limit(self) -> float | None:
        """The SQNR of the float output rounded to the result's own steps: no int8 output can do better."""
        return _decibels(self.signal, self.rounding) if self.rounding else None


def _decibels(signal: float, noise: float) -> float:
    return 200.0 if noise == 0 else max(10 * (math.log10(max(signal, 1e-300)) - math.log10(noise)), -200.0)


def mean_sqnr(scores: Iterable[Score]) -> float | None:
    """Mean of the outputs' SQNR, None where no output is float."""
    return joined_quality(s.sqnr for s in scores)


def joined_quality(figures: Iterable[float | None]) -> float | None:
    """Mean of those that are figures."""
    known = [f for f in figures if f is not None]
    return sum(known) / len(known) if known else None
