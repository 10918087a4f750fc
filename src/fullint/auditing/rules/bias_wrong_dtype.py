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

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope, integer_row, short, weighted
from fullint.model.ir import Op


def find(op: Op, facts: Facts) -> Found | None:
    """A bias of the wrong element type."""
    found = weighted(op)
    if found is None or found[3] is None or integer_row(op) is None or any(t.is_float for t in (found[1], *op.outputs)):
        return None
    _, x, _, b = found
    assert b is not None
    wanted = ("int64", "int32") if x.dtype == "int16" else ("int32",)
    if b.dtype in wanted:
        return None
    cause = f'its bias "{short(b)}" is {b.dtype}, the kernel takes {wanted[0]}'
    return Found(cause, f"write it as {wanted[0]}", {"is": b.dtype, "wanted": wanted[0]})


RULE = Rule("bias-wrong-dtype", "error", (Scope.FLOAT, Scope.INTEGER), Mend.LIFT, True, __doc__, find)
