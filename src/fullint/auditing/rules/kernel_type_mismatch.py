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
    All operands get one type: integer operands are dequantized, and the operator is quantized again. A tensor that only
    lost its parameters gets those of the tensors that it must share them with; this changes no value.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op
from fullint.ops.base import codes
from fullint.ops.operands import weighted
from fullint.verification.operator_checks import kernel_types, short


def find(op: Op, facts: Facts) -> Found | None:
    """A combination of types that no kernel accepts, or a type of operator without an integer kernel."""
    breach = kernel_types(op)
    if breach is None:
        return None
    bare = [t for t in op.values() if t in facts.lost]
    if bare and not _mixed(op, facts):
        given = facts.lost[bare[0]]
        return Found.of(breach, f'give "{short(bare[0])}" {given}, as its neighbours have', mend=Mend.STAMP)
    return Found.of(breach, "dequantize its operands and quantize it again")


def _mixed(op: Op, facts: Facts) -> bool:
    """Whether types would still not fit together once lost parameters are put back."""
    kinds = {t.dtype for t in op.values() if codes(t) or t in facts.lost}
    weights = weighted(op)
    return len(kinds - ({weights[2].dtype} if weights is not None else set())) > 1 or any(t.is_float for t in op.values())


RULE = Rule("kernel-type-mismatch", "error", (Scope.FLOAT, Scope.INTEGER), Mend.LIFT, True, __doc__, find)
