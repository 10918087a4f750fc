"""float-border: A DEQUANTIZE or QUANTIZE separates the integer part from a float operator.

What it does:
    Finds conversions inside the graph that exist only because an operator next to them computes in float.

Why it matters:
    Each costs a pass over the tensor, four times the memory on the float side, and a cut in an accelerator's graph.
    They are a symptom; the cause is reported at the float operator.

Seen in:
    Every half-quantized model.

Example:
    op 4 DEQUANTIZE "x": needed by op 5 CONV_2D, which computes in float

Fix (safe):
    The conversion disappears when the float operator is fixed.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope, names_of
from fullint.model.ir import Op
from fullint.ops.base import CONVERSIONS


def find(op: Op, facts: Facts) -> Found | None:
    """A conversion from or to float."""
    x, y = op.input(0), op.outputs[0] if op.outputs else None
    if op.kind == "DEQUANTIZE" and y is not None:
        near = list(dict.fromkeys(r for r, _ in facts.uses.of(y) if r.kind not in CONVERSIONS))
        cause = (
            f"needed by {names_of(near)}, which {'computes' if len(near) == 1 else 'compute'} in float"
            if near
            else "its float result is an output of the graph"
        )
    else:
        made = facts.uses.producer.get(x) if x is not None else None
        near = [made] if made is not None else []
        cause = (
            f"follows {names_of(near)}, which {'computes' if len(near) == 1 else 'compute'} in float"
            if near
            else "its float operand is an input of the graph"
        )
    return Found(cause, "make the float operator next to it integer", {"beside": [n.origin for n in near]})


RULE = Rule("float-border", "warning", (Scope.BORDER,), Mend.FOLLOW, True, __doc__, find)
