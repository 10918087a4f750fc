"""bias-wrong-scale: The bias does not have the scale s_in * s_w.

What it does:
    Finds integer operators with weights whose bias says another scale than the product of the input's and the weights',
    or a zero point that is not 0.

Why it matters:
    The kernel adds the bias's codes to the accumulator, whose scale is s_in * s_w, whatever the file says: the bias
    counts for too much or too little. LiteRT checks it for uint8 convolutions and per-tensor FULLY_CONNECTED only: an
    int8 CONV_2D runs, and is silently wrong.

Seen in:
    Constants shared by several convolutions and given the first one's scale; tools that put a floor under scales.

Example:
    op 9 CONV_2D "conv": its bias has scale 0.0012, s_in * s_w is 0.0003: it counts for 0.25 times what the file says

Fix (unsafe):
    The codes are written again in the right scale, so that the bias is what the file says. What the runtime computes
    changes, since it computed something else. A bias of zeros, or a difference below 1 %, is a note.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op
from fullint.verification.operator_checks import bias_scale


def find(op: Op, facts: Facts) -> Found | None:
    """A bias with another scale than the product of the scales it is added to."""
    breach = bias_scale(op)
    if breach is None:
        return None
    b = breach.tensor
    empty = b is not None and b.quant is not None and b.quant.scale.size and b.buffer is not None and not b.buffer.data.any()
    mend = Mend.STAMP if empty and breach.harmless else None
    return Found.of(breach, "write its codes again with scale s_in * s_w", "note" if breach.harmless else None, mend)


RULE = Rule("bias-wrong-scale", "error", (Scope.INTEGER,), Mend.LIFT, False, __doc__, find)
