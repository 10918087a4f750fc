"""bias-wrong-dtype: The bias of an integer operator is not int32 (int64 with int16 activations).

What it does:
    Finds integer operators with weights whose bias has an element type that their kernel does not accept.

Why it matters:
    LiteRT rejects the model when it allocates tensors ("bias->type != kTfLiteInt32"), or reads the bytes as another type.

Seen in:
    Converters that merged a bias with the constant of an ADD and quantized it as one (resnet18, Conv + BatchNormalization).

Example:
    op 12 CONV_2D "conv": its bias "beta" is int8; the kernel requires int32

Fix (safe):
    The bias values are rewritten as int32 with scale s_in * s_w.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op
from fullint.verification.operator_checks import bias_type


def find(op: Op, facts: Facts) -> Found | None:
    """A bias of the wrong element type."""
    breach = bias_type(op)
    return Found.of(breach, f"rewrite it as {breach.evidence['wanted']}") if breach else None


RULE = Rule("bias-wrong-dtype", "error", (Scope.FLOAT, Scope.INTEGER), Mend.LIFT, True, __doc__, find)
