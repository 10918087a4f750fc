"""bias-wrong-scale: The scale of the bias is not s_in * s_w.

What it does:
    Finds integer operators with weights whose bias has a scale other than the input's scale times the weights' scale,
    or a zero point other than 0.

Why it matters:
    The kernel adds the bias's integers to an accumulator whose scale is s_in * s_w and ignores the scale in the file, so
    the bias counts for too much or too little. LiteRT checks this for uint8 convolutions and per-tensor FULLY_CONNECTED
    only: an int8 CONV_2D runs and is silently wrong.

Seen in:
    Constants shared by several convolutions and given the scale of the first; tools that impose a minimum scale.

Example:
    op 9 CONV_2D "conv": its bias has scale 0.0012, but s_in * s_w is 0.0003: it counts 0.25 times what the file says

Fix (unsafe):
    The bias is rewritten with scale s_in * s_w, so that it has the values the file says. This changes the model's
    results, because the runtime computed with other values: `repair` does it with --unsafe-fixes only. Where the bias is
    zero, or its scale is missing or off by less than 1 %, only the scale is corrected, which changes nothing (a note).
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op
from fullint.verification.operator_checks import bias_scale


def find(op: Op, facts: Facts) -> Found | None:
    """A bias whose scale is not s_in * s_w."""
    breach = bias_scale(op)
    if breach is None:
        return None
    if breach.harmless:
        return Found.of(breach, "write s_in * s_w as its scale", "note", Mend.STAMP, safe=True)
    return Found.of(breach, "rewrite it with scale s_in * s_w")


RULE = Rule("bias-wrong-scale", "error", (Scope.INTEGER,), Mend.LIFT, False, __doc__, find)
