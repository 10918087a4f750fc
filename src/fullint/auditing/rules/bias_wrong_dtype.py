"""bias-wrong-dtype: The bias of an integer operator is neither int32 nor, beside int16 activations, int64.

What it does:
    Finds integer operators with weights whose bias has another element type than their kernel takes.

Why it matters:
    LiteRT refuses the model when it allocates tensors ("bias->type != kTfLiteInt32"), or adds bytes that are no bias.

Seen in:
    Converters that merged a bias with a constant of an ADD and quantized it as one (resnet18, Conv + BatchNormalization).

Example:
    op 12 CONV_2D "conv": its bias "beta" is int8, the kernel takes int32

Fix (safe):
    The numbers it stands for are written again as int32 with scale s_in * s_w.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op
from fullint.verification.operator_checks import bias_type


def find(op: Op, facts: Facts) -> Found | None:
    """A bias of the wrong element type."""
    breach = bias_type(op)
    return Found.of(breach, f"write it as {breach.evidence['wanted']}") if breach else None


RULE = Rule("bias-wrong-dtype", "error", (Scope.FLOAT, Scope.INTEGER), Mend.LIFT, True, __doc__, find)
