"""useless-requantize: A conversion that has no effect, or takes two steps instead of one.

What it does:
    Finds a QUANTIZE between equal parameters, a DEQUANTIZE followed by a QUANTIZE (back to the same parameters, or a
    requantize through float), and conversions whose result is not used.

Why it matters:
    Each costs a pass over the tensor, and cuts the graph for accelerators that support no float or no requantize.

Seen in:
    Models made by ai-edge-quantizer, which wraps each operator separately; graphs from which operators were removed.

Example:
    op 8 QUANTIZE "y2": its input already has scale 0.02 zero point -128

Fix (safe):
    It is removed; its readers read its input.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope, name_of
from fullint.model.ir import Op
from fullint.ops.base import CONVERSIONS, codes
from fullint.ops.operands import plain


def find(op: Op, facts: Facts) -> Found | None:
    """A QUANTIZE or DEQUANTIZE that can be removed."""
    if op.kind not in CONVERSIONS or not op.outputs:
        return None
    x, y = op.input(0), op.outputs[0]
    graph = facts.place[op][1]
    readers = [r for r, _ in facts.uses.of(y)]
    if x in graph.inputs and y in graph.outputs:
        return None  # both names are needed
    if not readers and y not in graph.outputs:
        return Found("its result is not used", "remove it")
    if op.kind == "DEQUANTIZE":
        back = readers and y not in graph.outputs and all(r.kind == "QUANTIZE" for r in readers) and codes(x)
        return Found(f"only {name_of(readers[0])} reads it, and quantizes it again", "remove both") if back else None
    source = facts.uses.producer.get(x) if x is not None else None
    given = plain(source.input(0)) if source is not None and source.kind == "DEQUANTIZE" else None
    target = plain(y)
    if given is not None and target is not None and source is not None:
        same = given.same_as(target) and source.inputs[0] is not None and source.inputs[0].dtype == y.dtype
        how = "back to the same parameters" if same else "a requantize in two steps, through float"
        return Found(f"after {name_of(source)}: {how}", "remove both" if same else "replace both with one requantize")
    if x is not None and target is not None and codes(x) and x.dtype == y.dtype and target.same_as(x.quant):
        return Found(f"its input already has {target}", "remove it")
    return None


RULE = Rule("useless-requantize", "warning", (Scope.BORDER, Scope.INTEGER), Mend.CANCEL, True, __doc__, find)
