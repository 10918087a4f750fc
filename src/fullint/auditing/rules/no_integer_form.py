"""no-integer-form: The operator has no known integer form.

What it does:
    Finds float operators that have no int8 kernel and cannot be written with operators that have one.

Why it matters:
    These stay float with any converter and any data, and each cuts the graph.

Seen in:
    Detection models with NON_MAX_SUPPRESSION_V5 inside; models that draw random numbers; RNN kernels.

Example:
    op 88 NON_MAX_SUPPRESSION_V5 "selected": its kernel computes in float only

Fix (none):
    Remove the operator from the model, or write that part of the network with other operators. docs/ops.md lists them.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op
from fullint.ops import ROWS
from fullint.ops.decompositions import IMPOSSIBLE


def find(op: Op, facts: Facts) -> Found | None:
    """An operator listed as impossible, or one whose row in the op table rejects these operands."""
    if op.kind in IMPOSSIBLE:
        return Found(IMPOSSIBLE[op.kind], "remove it from the model, or write that part with other operators")
    row = ROWS.get(op.kind)
    settled = row is None or row.bias is not None or op.kind == "CAST"  # preparation handles those
    why = row.refuses(op) if row is not None and not settled else None
    return Found(why, "make the operand named above a constant, or replace this operator with others") if why else None


RULE = Rule("no-integer-form", "error", (Scope.FLOAT,), Mend.NONE, True, __doc__, find)
