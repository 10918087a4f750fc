"""requantize: A QUANTIZE converts from one scale to another.

What it does:
    Lists each QUANTIZE from integer to integer whose parameters or type change.

Why it matters:
    It is integer and correct (one that clips, or leaves few codes, has a rule of its own). It costs a pass over the tensor,
    and NNAPI below API level 30 does not accept it, so it cuts the graph there.

Seen in:
    Residual networks and concatenations whose branches have different ranges.

Example:
    op 20 QUANTIZE "add_4": from scale 0.095 zero point -69 to scale 0.105 zero point -38

Fix (none):
    None needed. Sharing one scale would cost accuracy; for a target without requantize, quantize the float model again.
"""

from __future__ import annotations

from fullint.auditing.rules import operand_wiped_out, requantize_clips
from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op
from fullint.ops.base import codes
from fullint.verification.operator_checks import show


def find(op: Op, facts: Facts) -> Found | None:
    """A QUANTIZE with a quantized input and an output of other parameters or type."""
    x = op.input(0)
    if op.kind != "QUANTIZE" or x is None or not codes(x) or not op.outputs or x.quant is None:
        return None
    y = op.outputs[0]
    if y.quant is None or (y.quant.same_as(x.quant) and x.dtype == y.dtype):
        return None
    if requantize_clips.find(op, facts) or operand_wiped_out.find(op, facts):
        return None
    kinds = (f"{x.dtype} ", f"{y.dtype} ") if x.dtype != y.dtype else ("", "")
    evidence = {"from": show(x.quant), "to": show(y.quant)}
    return Found(f"from {kinds[0]}{x.quant} to {kinds[1]}{y.quant}", "none needed", evidence)


RULE = Rule("requantize", "note", (Scope.INTEGER,), Mend.NONE, True, __doc__, find)
