"""malformed-scale: The quantization parameters are invalid.

What it does:
    Finds operators with an operand whose scale is not a positive finite number, whose zero point is outside its type, or
    whose per-channel scales run along a dimension of another size or along another dimension than the kernel requires.

Why it matters:
    A scale of zero, infinity or NaN makes the runtime reject the model, crash or return zeros; NaN in the calibration
    data produces such scales. Scales along the wrong dimension are rejected, or applied to the wrong channels.

Seen in:
    Calibration on samples with NaN ("illegal scale: INF"); depthwise weights of old files with their axis at 0.

Example:
    op 1 DEPTHWISE_CONV_2D "depthwise": tensor "kernel" has 8 scales along axis 0 of [1, 3, 3, 8]

Fix (safe):
    A wrong axis is corrected where only one axis is possible; anything else needs the float model.
"""

from __future__ import annotations

import numpy as np

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op, Tensor
from fullint.ops import ROWS
from fullint.verification.operator_checks import malformed_parameters, weight_axis

_FIX = "correct the axis, or quantize the float model again"


def find(op: Op, facts: Facts) -> Found | None:
    """Invalid parameters of an operand."""
    breach = malformed_parameters(op)
    if breach is None:
        turned = weight_axis(op)
        return Found.of(turned, _FIX) if turned else None
    t = breach.tensor
    assert t is not None
    mend = Mend.STAMP if only_axis(t) else None if mendable(op, t) else Mend.NONE
    return Found.of(breach, "correct the axis" if mend is Mend.STAMP else _FIX, mend=mend)


def only_axis(t: Tensor) -> bool:
    """Whether only the axis of a vector's scales is wrong; a vector has no axis but 0."""
    sound = t.quant is not None and bool(np.isfinite(t.quant.scale).all()) and bool((t.quant.scale > 0).all())
    if not sound or t.quant is None or t.quant.axis == 0:
        return False
    return not t.quant.per_channel or t.shape == (t.quant.scale.size,)


def mendable(op: Op, t: Tensor) -> bool:
    """Whether the tensor's real values can still be determined: weights or a bias with only the axis wrong."""
    row = ROWS.get(op.kind)
    if t.quant is not None and row is not None and row.bias is not None and t is op.input(row.bias):
        return t.quant.scale.size in (1, t.size)  # its scale is s_in * s_w anyway
    if t.quant is None or row is None or row.weight is None or row.axis is None or t is not op.input(row.weight):
        return False
    return bool((t.quant.scale > 0).all()) and len(t.shape) > row.axis and t.shape[row.axis] == t.quant.scale.size


RULE = Rule("malformed-scale", "error", (Scope.FLOAT, Scope.BORDER, Scope.INTEGER), Mend.LIFT, True, __doc__, find)
