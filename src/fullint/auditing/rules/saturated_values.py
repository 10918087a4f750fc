"""saturated-values: Many values are at the end of their range.

What it does:
    With samples (`fullint audit MODEL -c DATA`): runs the model and counts, for each quantized activation, the values that are
    at the smallest or largest code. An end that the network itself asks for (0 behind a RELU, 6 behind a RELU6, the ends of
    a LOGISTIC) does not count. Named are the operator in which it starts, and outputs that it reaches.

Why it matters:
    What saturates is lost. A few values at an end are what calibration by the smallest and largest value gives; more than a
    fiftieth mean that the range is too small for data like these.

Seen in:
    Networks trained with fake quantization whose range was too small; calibration on other data; percentile calibration.

Example:
    op 13 FULLY_CONNECTED "logits": 31.2 % of its output "logits" are at the end of [0, 6]

Fix (none):
    Quantize the float model again, on samples like these.
"""

from __future__ import annotations

from collections.abc import Mapping

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Saturation, Scope, name_of
from fullint.model.ir import Graph, Op, Tensor
from fullint.ops.base import CONVERSIONS
from fullint.verification.operator_checks import short

_FIX = "quantize the float model again, on samples like these"


def find(op: Op, facts: Facts) -> Found | None:
    """An operator in which saturation starts."""
    saturated = _much(facts)
    if not op.outputs or op.outputs[0] not in saturated or any(t in saturated for t in op.inputs if t is not None):
        return None
    return _found(saturated[op.outputs[0]], f'its output "{short(op.outputs[0])}"')


def find_end(t: Tensor, graph: Graph, facts: Facts) -> Found | None:
    """An output that saturates."""
    made = facts.uses.producer.get(t)
    saturated = _much(facts)
    if t not in graph.outputs or made is None:
        return None
    if made.kind in CONVERSIONS and t not in saturated and (x := made.inputs[0]) is not None:
        t, made = x, facts.uses.producer.get(x)
    if t not in saturated or made is None:
        return None
    found = _found(saturated[t], "its values")
    since = _start(made, saturated, facts)
    return Found(f'{found.cause}, since {name_of(since)} "{short(since.outputs[0])}"', found.fix, found.evidence)


def _found(s: Saturation, whose: str) -> Found:
    evidence = {"low": round(s.low, 4), "high": round(s.high, 4), "range": [*s.range], "values": s.values}
    return Found(f"{100 * s.share:.1f} % of {whose} are at the end of {s.range}", _FIX, evidence)


def _much(facts: Facts) -> dict[Tensor, Saturation]:
    """The activations that saturate, where samples were given."""
    return {t: s for t, s in (facts.saturation or {}).items() if s.much}


def _start(op: Op, saturated: Mapping[Tensor, Saturation], facts: Facts) -> Op:
    """The operator in which the saturation of another one's result starts."""
    while True:
        before = next((t for t in op.inputs if t is not None and t in saturated), None)
        made = facts.uses.producer.get(before) if before is not None else None
        if made is None:
            return op
        op = made


RULE = Rule("saturated-values", "warning", (Scope.EVERY, Scope.END), Mend.NONE, True, __doc__, find, find_end)
