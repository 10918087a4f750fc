"""weight-range: The weights of an int8 operator contain -128.

What it does:
    Finds int8 operators with constant weights that contain -128, outside [-127, 127].

Why it matters:
    The specification limits weights to [-127, 127], so that kernels may add two products in 16 bits: twice
    -128 * -128 overflows. LiteRT's current kernels accept -128; other runtimes and accelerators may not.

Seen in:
    Weights quantized asymmetrically, or by tools that use all 256 values.

Example:
    op 2 CONV_2D "conv": 3 of its weights "kernel" are -128

Fix (safe):
    The affected channels are quantized again within [-127, 127].
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op
from fullint.verification.operator_checks import weight_range as outside_range


def find(op: Op, facts: Facts) -> Found | None:
    """Constant int8 weights that contain -128."""
    breach = outside_range(op)
    return Found.of(breach, "quantize them again within [-127, 127]") if breach else None


RULE = Rule("weight-range", "warning", (Scope.INTEGER,), Mend.LIFT, True, __doc__, find, right=True)
