"""bias-not-vector: The bias is no vector with one value per output channel.

What it does:
    Finds operators with weights whose bias has another shape than [channels].

Why it matters:
    The integer kernels take a vector. Where an ADD of a constant [1, 1, 1, C] was folded into a convolution, the
    converter could not quantize it and left the convolution in float, or the runtime refuses the model.

Seen in:
    Convolution without bias followed by an addition, exported by hand-written graph code.

Example:
    op 5 CONV_2D "conv": its bias "add/y" has the shape [1, 1, 1, 64], the kernel takes [64]

Fix (safe):
    The constant is reshaped; one value stands for all channels.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op
from fullint.verification.operator_checks import bias_shape


def find(op: Op, facts: Facts) -> Found | None:
    """A bias of another shape than [channels]."""
    breach = bias_shape(op)
    return Found.of(breach, "make it a vector") if breach else None


RULE = Rule("bias-not-vector", "error", (Scope.FLOAT, Scope.INTEGER), Mend.LIFT, True, __doc__, find)
