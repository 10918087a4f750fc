"""bias-not-vector: The bias is not a vector with one value per output channel.

What it does:
    Finds operators with weights whose bias does not have shape [channels].

Why it matters:
    The integer kernels require a vector. Where an ADD of a constant [1, 1, 1, C] was folded into a convolution, the
    converter either could not quantize the bias and left the convolution in float, or wrote a model the runtime rejects.

Seen in:
    Convolutions without bias followed by an addition, exported by hand-written graph code.

Example:
    op 5 CONV_2D "conv": its bias "add/y" has shape [1, 1, 1, 64]; the kernel requires [64]

Fix (safe):
    The constant is reshaped; a single value is repeated for all channels.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op
from fullint.verification.operator_checks import bias_shape


def find(op: Op, facts: Facts) -> Found | None:
    """A bias whose shape is not [channels]."""
    breach = bias_shape(op)
    return Found.of(breach, "reshape it to a vector") if breach else None


RULE = Rule("bias-not-vector", "error", (Scope.FLOAT, Scope.INTEGER), Mend.LIFT, True, __doc__, find)
