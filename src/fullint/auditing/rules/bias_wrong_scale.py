"""bias-wrong-scale: The bias does not have the scale s_in * s_w.

What it does:
    Finds integer operators with weights whose bias says another scale than the product of the input's and the weights',
    or a zero point that is not 0.

Why it matters:
    The kernel adds the bias's codes to the accumulator, whose scale is s_in * s_w, whatever the file says: the bias
    counts for too much or too little. LiteRT checks it for uint8 convolutions and per-tensor FULLY_CONNECTED only: an
    int8 CONV_2D runs, and is silently wrong.

Seen in:
    Constants shared by several convolutions and given the first one's scale; tools that put a floor under scales.

Example:
    op 9 CONV_2D "conv": its bias has scale 0.0012, s_in * s_w is 0.0003: it counts for 0.25 times what the file says

Fix (unsafe):
    The codes are written again in the right scale, so that the bias is what the file says. What the runtime computes
    changes, since it computed something else. A bias of zeros, or a difference below 1 %, is a note.
"""

from __future__ import annotations

import numpy as np

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope, integer_row, plain, short, weighted
from fullint.model.ir import Op
from fullint.model.numerics import bias_scales
from fullint.ops.base import codes
from fullint.verification.contract import BIAS_SCALE_TOLERANCE

NEARLY = 0.01
"""A relative difference below it is rounding somewhere, not a mistake."""
_FIX = "write its codes again with scale s_in * s_w"


def find(op: Op, facts: Facts) -> Found | None:
    """A bias with another scale than the product of the scales it is added to."""
    found = weighted(op)
    if found is None or found[3] is None or integer_row(op) is None:
        return None
    _, x, w, b = found
    data = plain(x)
    if b is None or data is None or not codes(w) or w.quant is None or b.dtype not in ("int32", "int64"):
        return None
    if b.quant is None or not b.quant.scale.size:
        return Found(f'its bias "{short(b)}" says no scale', _FIX, {"is": None}, "note")
    if not (np.isfinite(b.quant.scale).all() and (b.quant.scale > 0).all()):
        return None  # malformed-scale
    expected = bias_scales(float(data.scale[0]), w.quant.scale)
    if b.quant.scale.size not in (1, expected.size):
        return Found(f'its bias "{short(b)}" has {b.quant.scale.size} scales, the weights have {expected.size}', _FIX)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.broadcast_to(expected / b.quant.scale, np.broadcast_shapes(expected.shape, b.quant.scale.shape))
    worst = int(np.argmax(np.abs(ratio - 1)))
    off, zero = abs(float(ratio[worst]) - 1), bool((b.quant.zero_point != 0).any())
    if not zero and off <= BIAS_SCALE_TOLERANCE:
        return None
    of = (float(np.broadcast_to(b.quant.scale, ratio.shape)[worst]), float(np.broadcast_to(expected, ratio.shape)[worst]))
    empty = b.buffer is not None and not b.buffer.data.any()
    harmless = not zero and (off < NEARLY or empty)
    said = "zero point is not 0" if zero else f"it counts for {ratio[worst]:.3g} times what the file says"
    cause = f'its bias "{short(b)}" has scale {of[0]:.6g}, s_in * s_w is {of[1]:.6g}: {"it is zero" if empty else said}'
    evidence = {"channel": worst, "is": of[0], "expected": of[1], "ratio": float(ratio[worst])}
    mend = Mend.STAMP if empty and not zero else None
    return Found(cause, _FIX, evidence, "note" if harmless else None, mend)


RULE = Rule("bias-wrong-scale", "error", (Scope.INTEGER,), Mend.LIFT, False, __doc__, find)
