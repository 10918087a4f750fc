"""weight-zero-point: The weights of an int8 operator have a zero point other than 0.

What it does:
    Finds int8 operators with weights whose zero point is not 0 in every channel.

Why it matters:
    The int8 kernels assume symmetric weights: LiteRT rejects such a convolution when it prepares it, XNNPACK does not
    accept it, and other runtimes ignore the zero point and compute wrong results. For per-tensor FULLY_CONNECTED, which
    LiteRT's own kernel computes correctly, it is a warning.

Seen in:
    Weights that are computed at run time and were quantized like activations; tools that treat all tensors alike.

Example:
    op 4 CONV_2D "conv": the zero point of its weights "kernel" is 3; the kernel requires 0

Fix (unsafe):
    The weights are quantized again with zero point 0. Where a kernel ignores the zero point (DEPTHWISE_CONV_2D), this changes
    the model's results; FULLY_CONNECTED, and what LiteRT rejects, is safe.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op
from fullint.verification.operator_checks import weight_zero_point as zero_point


def find(op: Op, facts: Facts) -> Found | None:
    """int8 weights with a zero point other than 0."""
    breach = zero_point(op)
    if breach is None:
        return None
    dense = op.kind == "FULLY_CONNECTED" and not (breach.tensor and breach.tensor.quant and breach.tensor.quant.per_channel)
    level = "warning" if dense else None  # LiteRT's own kernel of FULLY_CONNECTED subtracts it; XNNPACK and others do not
    return Found.of(breach, "quantize the weights again with zero point 0", level, safe=dense or None)


RULE = Rule("weight-zero-point", "error", (Scope.INTEGER,), Mend.LIFT, False, __doc__, find)
