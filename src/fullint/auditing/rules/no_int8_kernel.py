"""no-int8-kernel: LiteRT has no correct int8 kernel for this operator, but it can be written with operators that have one.

What it does:
    Finds float operators for which LiteRT registers no int8 kernel, or one that computes wrong results.

Why it matters:
    A converter that maps operators one to one must leave them in float, between a DEQUANTIZE and a QUANTIZE. This is the
    most common cause of float operators, and no option of the converter helps.

Seen in:
    DIV, whose int8 kernel is wrong for small dividends; NEG in every LayerNormalization of Keras; POW, SIN, FLOOR,
    SQUARE, CUMSUM, ADD_N, LOCAL_RESPONSE_NORMALIZATION.

Example:
    op 9 NEG "negated": LiteRT's int8 kernel ignores scales (kernels/neg.cc); its integer form is MUL by -1

Fix (safe):
    The operator is rewritten with operators that have int8 kernels, or becomes a table of its 256 values.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op
from fullint.ops import KERNEL_SETS, ROWS
from fullint.ops.decompositions import WRONG_KERNEL, form


def find(op: Op, facts: Facts) -> Found | None:
    """An operator without a correct int8 kernel that has another integer form."""
    row = ROWS.get(op.kind)
    if row is not None and all(row.fault(op, kernels) for kernels in KERNEL_SETS):
        fault = row.faults[KERNEL_SETS[0]].what
        return Found(
            f"LiteRT's int8 kernel is wrong ({fault}); {row.because}",
            "replace it with operators whose int8 kernels are correct",
            {"fault": fault},
        )
    known = form(op.kind)
    if op.kind in ROWS or known is None:
        return None
    why = WRONG_KERNEL.get(op.kind, "LiteRT registers no int8 kernel for it")
    return Found(f"{why}; its integer form is {known}", f"use its integer form: {known}", {"form": known})


RULE = Rule("no-int8-kernel", "error", (Scope.FLOAT,), Mend.QUANTIZE, True, __doc__, find)
