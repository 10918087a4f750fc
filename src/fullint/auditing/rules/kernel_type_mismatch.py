"""kernel-type-mismatch: The operands have types that no kernel takes together.

What it does:
    Finds operators that mix integer codes with floats, int8 with int16, or codes with raw integers, and integer
    operators whose kind, or whose int16 form, LiteRT has no kernel for.

Why it matters:
    The runtime refuses the model when it prepares it, or, worse, takes codes for numbers and computes nonsense.

Seen in:
    int16 SQUARED_DIFFERENCE written by a converter although no kernel takes it; int8 TILE with old runtimes; models
    edited by hand.

Example:
    op 7 ADD "sum": it reads int8 "a" and float32 "b"

Fix (safe):
    Operands are converted to one type: each integer operand is read as the numbers it stands for, and the operator
    quantized again.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op
from fullint.verification.operator_checks import kernel_types


def find(op: Op, facts: Facts) -> Found | None:
    """Operands of types that do not go together, or a kind without an integer kernel."""
    breach = kernel_types(op)
    return Found.of(breach, "read its codes as numbers and quantize it again") if breach else None


RULE = Rule("kernel-type-mismatch", "error", (Scope.FLOAT, Scope.INTEGER), Mend.LIFT, True, __doc__, find)
