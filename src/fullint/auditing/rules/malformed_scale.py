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

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope, integer_row, short, weighted
from fullint.model.ir import Op, Tensor
from fullint.ops import ROWS
from fullint.ops.base import codes
from fullint.ops.structure import quant_problems

_FIX = "put the axis right, or quantize the float model again"


def find(op: Op, facts: Facts) -> Found | None:
    """Parameters that cannot be."""
    for t in op.values():
        if t.quant is not None and t.quant.scale.size and (codes(t) or t.dtype in ("int32", "int64")):
            problem = next(quant_problems(t, t.quant), None) or _zero(t) or _axis(t) or _asymmetric(t)
            if problem:
                mend = Mend.STAMP if only_axis(t) else None if mendable(op, t) else Mend.NONE
                return Found(problem, "put the axis right" if mend is Mend.STAMP else _FIX, {"tensor": t.name}, mend=mend)
    found = weighted(op)
    if found is None or integer_row(op) is None:
        return None
    row, _, w, _ = found
    if w.quant is not None and w.quant.per_channel and w.quant.axis != row.axis:
        cause = f'the scales of its weights "{short(w)}" run along axis {w.quant.axis}, the kernel takes {row.axis}'
        return Found(cause, _FIX, {"axis": w.quant.axis, "wanted": row.axis})
    return None


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


def _axis(t: Tensor) -> str | None:
    """One scale along a dimension that is not there: LiteRT refuses the file."""
    beyond = t.quant is not None and t.quant.scale.size == 1 and t.shape and t.quant.axis >= len(t.shape)
    return f'tensor "{t.name}" has a scale along axis {t.quant.axis} of {list(t.shape)}' if beyond and t.quant else None


def _asymmetric(t: Tensor) -> str | None:
    wide = t.dtype == "int16" and t.quant is not None and t.quant.zero_point.any() and not t.is_constant
    return f'tensor "{t.name}" is int16 with a zero point; the kernels take 0' if wide else None


def _zero(t: Tensor) -> str | None:
    zero = t.quant is not None and t.quant.scale.min() == 0
    return f'tensor "{t.name}" has a scale of zero' if zero else None


RULE = Rule("malformed-scale", "error", (Scope.FLOAT, Scope.BORDER, Scope.INTEGER), Mend.LIFT, True, __doc__, find)
