"""scale-out-of-range: Scales whose ratio the kernel does not take.

What it does:
    Finds integer operators with a scale beyond 1e30, and those whose input scales are so coarse, or so fine, against
    the output's that a kernel refuses them or stops the process.

Why it matters:
    Kernels turn ratios of scales into multipliers and shifts of limited width. Beyond that, ADD aborts the whole
    process, and XNNPACK fails to build.

Seen in:
    Attention masks of -3.4e38 that were calibrated like activations; masks of -1e9 added to logits; outputs of dead
    layers with a scale of 1e-9.

Example:
    op 30 ADD "masked": the scale of "mask" is 2.1e+06 times the output's, the kernel takes less than 524288

Fix (none):
    Bring the operands to sizes nearer to each other in the float model: a mask of -100 does what one of -1e9 does.
"""

from __future__ import annotations

import math

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope, integer_row, short
from fullint.model.ir import Op
from fullint.ops.base import codes

SCALE_MAX = 1e30


def find(op: Op, facts: Facts) -> Found | None:
    """What the row's limits say."""
    row = integer_row(op)
    if row is None or not op.outputs or not all(codes(t) for t in op.outputs):
        return None
    for t in op.values():
        worst = float(t.quant.scale.max()) if codes(t) and t.quant is not None else 1.0
        if SCALE_MAX < worst < math.inf:
            cause = f'"{short(t)}" has scale {worst:.3g}: no multiplier holds it, and nothing else survives beside it'
            return Found(cause, "quantize the float model again, with a finite mask", {"scale": worst})
    why = row.limits(op)
    return Found(why, "bring its operands to sizes nearer to each other") if why else None


RULE = Rule("scale-out-of-range", "error", (Scope.INTEGER,), Mend.NONE, True, __doc__, find)
