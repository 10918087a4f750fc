"""How weights are stored: how many bits, and one scale for all or one per channel.

q = clamp(round(w / scale), -most, most)        most = 2^(bits - 1) - 1, zero point 0        scale = max|w| / k

k is `most`, or, where the weights are multiples of a step already, as those of a network that was quantized before, the largest
for which they stay what they are: if the largest weight was 123 steps, 127 in its place would round all of them anew.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fullint.model.ir import Array, Quant

FINEST = 127
"""Codes beyond which no steps are looked for."""
FEW, FEWEST = 24, 6
"""Weights of a row that are looked at after the first, and that are not zero: fewer are whole numbers of something by chance."""
AT_ONCE = 256
"""Rows that all codes are tried on together."""
NEAR_WHOLE = 1e-4
"""What a code may differ from a whole number."""


@dataclass(frozen=True)
class PerTensor:
    """One scale for all weights."""


@dataclass(frozen=True)
class PerAxis:
    """One scale for each index of an axis, the output channels."""

    axis: int


@dataclass(frozen=True)
class WeightSpec:
    """The form that an operator's weights get.

    Attributes:
        bits: of each weight; an element type of TFLite.
        granularity: what shares a scale.
    """

    bits: int = 8
    granularity: PerTensor | PerAxis = PerTensor()

    @classmethod
    def along(cls, axis: int | None) -> WeightSpec:
        """One scale for each index of an axis, or a single one where that is None."""
        return cls(granularity=PerTensor() if axis is None else PerAxis(axis))

    @property
    def dtype(self) -> str:
        """Element type, as TFLite calls it."""
        return f"int{self.bits}"

    @property
    def most(self) -> int:
        """Largest code; the smallest is -most."""
        return int(2 ** (self.bits - 1) - 1)

    @property
    def axis(self) -> int | None:
        """The axis that scales run along, if any."""
        return self.granularity.axis if isinstance(self.granularity, PerAxis) else None

    def scales(self, weights: Array) -> Array:
        """Scales that just hold the weights, float32, one per index of the axis, or one.

        A channel of zeros gets the scale of the whole tensor, so that its bias has a sane one too.
        """
        w = np.abs(np.asarray(weights, np.float32))
        whole = float(w.max(initial=0.0)) or 1.0
        axis = self.axis
        peak = w.max(axis=tuple(i for i in range(w.ndim) if i != axis), initial=0.0) if axis is not None else np.array([whole])
        peak = np.where(peak < whole * 1e-6, whole, peak)
        rows = np.moveaxis(w, axis, 0).reshape(len(peak), -1) if axis is not None else w.reshape(1, -1)
        scales: Array = (peak / _largest_codes(rows, peak, self.most)).astype(np.float32)
        return scales

    def quant(self, scales: Array) -> Quant:
        """The parameters of weights with these scales."""
        return Quant.of(scales, 0, self.axis or 0)


def _largest_codes(rows: Array, peak: Array, most: int) -> Array:
    """The code of the largest weight of each row: `most`, or less where that makes whole numbers of all of its weights."""
    found = np.full(len(rows), most)
    if most > FINEST or not rows.size:
        return found
    unit = rows[:, :FEW] / peak[:, None]
    telling = unit[np.arange(len(unit)), ((unit > 0) & (unit < 1)).argmax(axis=1)]  # any code is whole for 0 and for the peak
    waiting = np.flatnonzero(np.count_nonzero(rows, axis=1) >= FEWEST)
    codes, known = np.arange(most, 1, -1), np.zeros(len(rows), bool)
    for part in np.array_split(waiting, -(-len(waiting) // AT_ONCE) or 1):
        likely = _whole(telling[part, None] * codes.astype(unit.dtype)[:, None, None])
        at, row = np.nonzero(likely)
        likely[at, row] = _whole(unit[part[row]] * codes.astype(unit.dtype)[at, None])
        for i in np.flatnonzero(likely.any(axis=1)):
            some = part[likely[i] & ~known[part]]
            fits = some[_whole(rows[some] / peak[some, None] * int(codes[i]))]
            found[fits], known[fits] = codes[i], True
    return found


def _whole(codes: Array) -> Array:
    """Rows of whole numbers, but for the error of float32."""
    near: Array = (np.abs(codes - np.rint(codes)) <= NEAR_WHOLE).all(axis=-1)
    return near


INT8_WEIGHTS = WeightSpec()
"""What the integer kernels take: 8 bits."""
