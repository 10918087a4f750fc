"""same-scale-conflict: Operands that must share scale and zero point do not.

What it does:
    Finds operators that only move or compare values (CONCATENATION, MAXIMUM, PAD, RESHAPE, SELECT, …) whose operands
    have different parameters: integer operators, and float ones whose quantized neighbours disagree.

Why it matters:
    Most kernels do not check: they copy the integers, and half of a concatenation silently has the wrong scale. Others
    refuse to run.

Seen in:
    Concatenations of branches, residual SELECT and MAXIMUM; operators edited by hand; NNAPI below API level 29.

Example:
    op 31 CONCATENATION "joined": "left" has scale 0.02, "joined" has scale 0.05

Fix (unsafe):
    Each operand that differs gets a requantize before it. The result is what a correct runtime would compute; where the
    runtime computed something else, the model's results change.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op
from fullint.ops import ROWS
from fullint.ops.base import CONVERSIONS
from fullint.ops.operands import same_group
from fullint.verification.operator_checks import Breach, shared_scales, unequal


def find(op: Op, facts: Facts) -> Found | None:
    """Operands that must have equal parameters, and do not."""
    breach = shared_scales(op) or _between_neighbours(op, facts)
    return Found.of(breach, "requantize the operands that differ") if breach else None


def _between_neighbours(op: Op, facts: Facts) -> Breach | None:
    """The same for float operands, judged by the parameters that the file has for them."""
    row = ROWS.get(op.kind)
    group = same_group(op, row) if row is not None and op.kind not in CONVERSIONS else []
    if not any(t in group for t in op.outputs) or not any(t.is_float for t in op.values()):
        return None
    floats = [t for t in group if t.is_float and not t.is_constant]
    return unequal([(t, quant) for t in floats if (quant := facts.params(t)) is not None])


RULE = Rule("same-scale-conflict", "error", (Scope.FLOAT, Scope.INTEGER), Mend.LIFT, False, __doc__, find)
