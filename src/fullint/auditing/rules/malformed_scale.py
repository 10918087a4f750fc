"""malformed-scale: Quantization parameters that make no sense.

What it does:
    Finds operators one of whose operands has a scale that is not a positive finite number, a zero point outside its
    type, or scales along a dimension of another size or another one than the kernel takes.

Why it matters:
    A scale of zero, infinity or NaN ends in a refusal, a crash or zeros; calibration values that were not numbers make
    them. Scales along the wrong dimension are refused, or belong to other channels.

Seen in:
    Calibration on samples with NaN ("illegal scale: INF"); depthwise weights of old files with their axis at 0.

Example:
    op 1 DEPTHWISE_CONV_2D "depthwise": tensor "kernel" has 8 scales along axis 0 of [1, 3, 3, 8]

Fix (safe):
    An axis that can only be another one is put right; anything else needs the float model.
"""

from __future__ import annotations

import numpy as np

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op, Tensor
from fullint.ops import ROWS
from fullint.verification.operator_checks import malformed_parameters, weight_axis

_FIX = "put the axis right, or quantize the float model again"


def find(op: Op, facts: Facts) -> Found | None:
    """Parameters that cannot be."""
    breach = malformed_parameters(op)
    if breach is None:
        turned = weight_axis(op)
        return Found.of(turned, _FIX) if turned else None
    t = breach.tensor
    assert t is not None
    mend = Mend.STAMP if only_axis(t) else None if mendable(op, t) else Mend.NONE
    return Found.of(breach, "put the axis right" if mend is Mend.STAMP else _FIX, mend=mend)


def only_axis(t: Tensor) -> bool:
    """Whether nothing but the axis of a vector's scales is wrong: it has only one."""
    sound = t.quant is not None and bool(np.isfinite(t.quant.scale).all()) and bool((t.quant.scale > 0).all())
    if not sound or t.quant is None or t.quant.axis == 0:
        return False
    return not t.quant.per_channel or t.shape == (t.quant.scale.size,)


def mendable(op: Op, t: Tensor) -> bool:
    """Whether the numbers a tensor stands for can be told all the same: weights whose axis is another one."""
    row = ROWS.get(op.kind)
    if t.quant is not None and row is not None and row.bias is not None and t is op.input(row.bias):
        return t.quant.scale.size in (1, t.size)  # its scale is s_in * s_w anyway
    if t.quant is None or row is None or row.weight is None or row.axis is None or t is not op.input(row.weight):
        return False
    return bool((t.quant.scale > 0).all()) and len(t.shape) > row.axis and t.shape[row.axis] == t.quant.scale.size


RULE = Rule("malformed-scale", "error", (Scope.FLOAT, Scope.BORDER, Scope.INTEGER), Mend.LIFT, True, __doc__, find)
