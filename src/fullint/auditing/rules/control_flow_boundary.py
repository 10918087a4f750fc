"""control-flow-boundary: A float value passes between graphs.

What it does:
    Finds WHILE, IF, CALL and STABLEHLO_COMPOSITE with float operands, and float operators inside a composite.

Why it matters:
    Both sides must use the same scale. Converters quantize one graph at a time: they leave the boundary in float, with
    a DEQUANTIZE before it and a QUANTIZE as the first operator of the branch, or do not quantize the inner graph at all.

Seen in:
    ONNX models converted with IF (hey_jarvis), loops of GRU and LSTM, attention exported as a composite.

Example:
    op 27 IF "output": it passes float values (2) across the subgraph boundary into true_branch and false_branch

Fix (safe):
    Each value gets one scale, inside and outside; a composite is replaced by its decomposition.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op

_CALLS = ("WHILE", "IF", "CALL", "STABLEHLO_COMPOSITE", "STABLEHLO_CASE", "STABLEHLO_WHILE")


def find(op: Op, facts: Facts) -> Found | None:
    """A call of another graph with float operands, or an operator inside a composite."""
    caller = facts.callers.get(facts.place[op][1])
    if caller is not None and caller.kind == "STABLEHLO_COMPOSITE":
        cause = f"it is inside the composite of op {caller.origin}, which converters do not quantize"
        return Found(cause, "replace the composite with its decomposition", {"composite": caller.origin})
    if op.kind not in _CALLS:
        return None
    count = sum(t.is_float for t in op.values())
    names = [g.name or f"subgraph {facts.model.graphs.index(g)}" for g in op.subgraphs()]
    into = f" into {' and '.join(names)}" if names else ""
    cause = f"it passes float values ({count}) across the subgraph boundary{into}"
    fix = "replace it with its decomposition" if op.kind == "STABLEHLO_COMPOSITE" else "use one scale inside and outside"
    return Found(cause, fix, {"values": count, "graphs": names})


RULE = Rule("control-flow-boundary", "error", (Scope.FLOAT,), Mend.QUANTIZE, True, __doc__, find)
