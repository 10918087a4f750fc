"""constant-without-parameters: Every activation around the operator is quantized, but its own constants are not.

What it does:
    Finds float operators whose activations all have quantization parameters in the file, and whose float32 constants
    are read by no other operator.

Why it matters:
    One operand without parameters keeps the whole operator in float, between a DEQUANTIZE and a QUANTIZE. The file has
    all that is needed to quantize it: the scales of the activations and the values of the constants.

Seen in:
    Convolutions whose bias was folded in after calibration; constants for which the converter found no scale.

Example:
    op 58 CONV_2D "conv_31": its constants are still float: "kernel" and "bias"; its input and output have quantization parameters

Fix (safe):
    Weights are quantized to int8, the bias to int32 with scale s_in * s_w.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope, float_constants
from fullint.model.ir import Op
from fullint.verification.operator_checks import short, show


def find(op: Op, facts: Facts) -> Found | None:
    """Float constants, once earlier rules have ruled out other causes."""
    bare = float_constants(op)
    if not bare:
        return None
    names = " and ".join(f'"{short(t)}"' for _, t in bare[:2])
    cause = f"its constants are still float: {names}; its input and output have quantization parameters"
    bias = facts.bias_scale(op)
    evidence = {"constants": [t.name for _, t in bare], "bias_needs": show(bias) if bias is not None else None}
    return Found(cause, "quantize them", evidence)


RULE = Rule("constant-without-parameters", "error", (Scope.FLOAT,), Mend.QUANTIZE, True, __doc__, find)
