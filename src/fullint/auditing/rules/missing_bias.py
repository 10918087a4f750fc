"""missing-bias: A convolution has no bias.

What it does:
    Finds CONV_2D and DEPTHWISE_CONV_2D on integers without a bias.

Why it matters:
    LiteRT refuses the model ("has_bias was not true"), and neither XNNPACK nor NNAPI takes a convolution without one.

Seen in:
    Graphs edited by hand; exporters that leave out a bias of zeros.

Example:
    op 2 CONV_2D "conv": it has no bias; LiteRT demands one

Fix (safe):
    A bias of zeros is added.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope, integer_row
from fullint.model.ir import Op


def find(op: Op, facts: Facts) -> Found | None:
    """A convolution without a bias."""
    if op.kind not in ("CONV_2D", "DEPTHWISE_CONV_2D") or integer_row(op) is None or op.input(2) is not None:
        return None
    return Found("it has no bias; LiteRT demands one", "add a bias of zeros")


RULE = Rule("missing-bias", "error", (Scope.INTEGER,), Mend.LIFT, True, __doc__, find)
