"""constant-without-parameters: Every value around is quantized, the operator's own constants are not.

What it does:
    Finds float operators whose activations all have parameters in the file, and whose constants are float32 and serve
    nobody else.

Why it matters:
    One operand without parameters keeps the whole operator in float between a DEQUANTIZE and a QUANTIZE. All that an
    integer form needs is in the file: the scales around, and the values of the constants.

Seen in:
    Convolutions whose bias was folded in after calibration; constants the converter could not give a scale.

Example:
    op 58 CONV_2D "conv_31": its constants "kernel" and "bias" have no parameters, its input and output have

Fix (safe):
    Weights are quantized to int8, the bias to int32 with scale s_in * s_w.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope, float_constants
from fullint.model.ir import Op
from fullint.verification.operator_checks import short, show


def find(op: Op, facts: Facts) -> Found | None:
    """Float constants where every activation has parameters."""
    bare = float_constants(op)
    if not bare:
        return None
    names = " and ".join(f'"{short(t)}"' for _, t in bare[:2])
    cause = f"its constants {names} have no parameters, its input and output have"
    bias = facts.bias_scale(op)
    evidence = {"constants": [t.name for _, t in bare], "bias_needs": show(bias) if bias is not None else None}
    return Found(cause, "quantize them here", evidence)


RULE = Rule("constant-without-parameters", "error", (Scope.FLOAT,), Mend.QUANTIZE, True, __doc__, find)
