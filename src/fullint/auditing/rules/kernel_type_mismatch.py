"""kernel-type-mismatch: No kernel accepts this combination of operand types.

What it does:
    Finds operators that mix quantized and float operands, int8 and int16, or quantized and plain integers, and integer
    operators of a type, or with int16 activations, for which LiteRT has no kernel.

Why it matters:
    The runtime rejects the model when it prepares it or, worse, treats quantized values as plain numbers and computes
    nonsense.

Seen in:
    int16 SQUARED_DIFFERENCE written by a converter although no kernel accepts it; int8 TILE on old runtimes; models
    edited by hand.

Example:
    op 7 ADD "sum": it mixes float32 "b" and int8 "a"

Fix (safe):
    All operands get one type: integer operands are dequantized, and the operator is quantized again.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op
from fullint.verification.operator_checks import kernel_types


def find(op: Op, facts: Facts) -> Found | None:
    """A combination of types that no kernel accepts, or a type of operator without an integer kernel."""
    breach = kernel_types(op)
    return Found.of(breach, "dequantize its operands and quantize it again") if breach else None


RULE = Rule("kernel-type-mismatch", "error", (Scope.FLOAT, Scope.INTEGER), Mend.LIFT, True, __doc__, find)
