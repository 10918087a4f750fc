"""missing-bias: A convolution has no bias.

What it does:
    Finds integer CONV_2D and DEPTHWISE_CONV_2D without a bias.

Why it matters:
    LiteRT rejects the model ("has_bias was not true"); XNNPACK and NNAPI do not accept a convolution without a bias.

Seen in:
    Graphs edited by hand; exporters that omit a bias of zeros.

Example:
    op 2 CONV_2D "conv": it has no bias; LiteRT requires one

Fix (safe):
    A bias of zeros is added.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op
from fullint.verification.operator_checks import missing_bias as no_bias


def find(op: Op, facts: Facts) -> Found | None:
    """A convolution without a bias."""
    breach = no_bias(op)
    return Found.of(breach, "add a bias of zeros") if breach else None


RULE = Rule("missing-bias", "error", (Scope.INTEGER,), Mend.LIFT, True, __doc__, find)
