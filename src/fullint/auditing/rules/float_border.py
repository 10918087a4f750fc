"""float-border: A DEQUANTIZE or QUANTIZE stands between the integer part and a float operator.

What it does:
    Finds conversions inside the graph that exist because an operator beside them computes in float.

Why it matters:
    Each is a pass over the tensor, four times the memory on the float side, and a place where an accelerator's graph is
    cut. They are the symptom, not the cause: it is named at the float operator.

Seen in:
    Every half-quantized model.

Example:
    op 4 DEQUANTIZE "x": for op 5 CONV_2D, which computes in float

Fix (safe):
    Mend the operator named; the conversion goes with it.
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
        cause = f"for {names_of(near)}, which computes in float" if near else "what it makes is float, and leaves the graph"
    else:
        made = facts.uses.producer.get(x) if x is not None else None
        near = [made] if made is not None else []
        cause = f"after {names_of(near)}, which computes in float" if near else "what it reads is float, and comes from outside"
    return Found(cause, "goes with the float operator beside it", {"beside": [n.origin for n in near]})


RULE = Rule("float-border", "warning", (Scope.BORDER,), Mend.FOLLOW, True, __doc__, find)
