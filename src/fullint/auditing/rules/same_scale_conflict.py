"""same-scale-conflict: Operands that have to share scale and zero point do not.

What it does:
    Finds operators that only move or compare codes (CONCATENATION, MAXIMUM, PAD, RESHAPE, SELECT, …) whose operands
    have different parameters: in integers, or in float between integer neighbours that disagree.

Why it matters:
    Most kernels do not look: they copy codes, and half of a concatenation comes out with the wrong scale, without a
    word. Others refuse to run.

Seen in:
    Concatenations of branches, residual SELECT and MAXIMUM; operators edited by hand; NNAPI below API 29.

Example:
    op 31 CONCATENATION "joined": "left" has scale 0.02, "joined" 0.05

Fix (unsafe):
    Each operand that differs gets a requantize in front. What a sound runtime would have computed does not change; what
    this one computed does.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope, integer_row, plain, same_group, short, show
from fullint.model.ir import Op, Quant, Tensor
from fullint.ops import ROWS
from fullint.ops.base import CONVERSIONS

_FIX = "requantize what differs"


def find(op: Op, facts: Facts) -> Found | None:
    """Known parameters of operands that must be equal, and are not."""
    row = ROWS.get(op.kind)
    group = same_group(op, row) if row is not None and op.kind not in CONVERSIONS else []
    if row is None or not any(t in group for t in op.outputs):  # comparisons know the scales of both sides
        return None
    integer = integer_row(op) is not None and not any(t.is_float for t in group)
    known: list[tuple[Tensor, Quant]] = []
    for t in group:
        quant = plain(t) if integer else facts.params(t) if t.is_float and not t.is_constant else None
        known += [(t, quant)] if quant is not None else []
    other = next(((t, q) for t, q in known if not q.same_as(known[0][1])), None)
    if other is None:
        return None
    (a, p), (b, q) = known[0], other
    evidence = {"tensors": {t.name: show(quant) for t, quant in known[:8]}}
    return Found(f'"{short(a)}" has {p}, "{short(b)}" has {q}', _FIX, evidence)


RULE = Rule("same-scale-conflict", "error", (Scope.FLOAT, Scope.INTEGER), Mend.LIFT, False, __doc__, find)
