"""no-integer-form: Nobody knows an integer form of this operator.

What it does:
    Finds float operators that have no int8 kernel and that cannot be written with operators that have one either.

Why it matters:
    Whatever the converter and whatever the data, these stay float; around each the graph is cut.

Seen in:
    Detection models with NON_MAX_SUPPRESSION_V5 inside; models that draw random numbers; RNN kernels.

Example:
    op 88 NON_MAX_SUPPRESSION_V5 "selected": its kernel computes in float only

Fix (none):
    Cut the operator off, or write that part of the network with other operators. docs/ops.md lists them all.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op
from fullint.ops import ROWS
from fullint.ops.decompositions import IMPOSSIBLE


def find(op: Op, facts: Facts) -> Found | None:
    """An operator that the table of forms calls impossible, or a form of one that its row refuses."""
    if op.kind in IMPOSSIBLE:
        return Found(IMPOSSIBLE[op.kind], "cut it off, or write that part with other operators")
    row = ROWS.get(op.kind)
    settled = row is None or row.bias is not None or op.kind == "CAST"  # preparation sees to those
    why = row.refuses(op) if row is not None and not settled else None
    return Found(why, "make that operand a constant, or write that part with other operators") if why else None


RULE = Rule("no-integer-form", "error", (Scope.FLOAT,), Mend.NONE, True, __doc__, find)
