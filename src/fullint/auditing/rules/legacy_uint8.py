"""legacy-uint8: The operator uses the old uint8 quantization scheme.

What it does:
    Finds operators on uint8 values with asymmetric weights, as quantization-aware training wrote them before 2020.

Why it matters:
    The operator is integer and runs on LiteRT's older kernels, but with one scale for all channels of the weights and
    mostly without XNNPACK. Many accelerators and microcontroller kernels support int8 only.

Seen in:
    Public MobileNet and Inception models with "_quant" in their names.

Example:
    op 0 CONV_2D "conv": uint8 activations, weights "kernel" with zero point 151

Fix (safe):
    Activations become int8 (zero point - 128); weights are quantized again with zero point 0, per channel.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op
from fullint.ops.base import CONVERSIONS, codes
from fullint.ops.operands import weighted
from fullint.verification.operator_checks import short


def find(op: Op, facts: Facts) -> Found | None:
    """Quantized uint8 operands, except in QUANTIZE and DEQUANTIZE."""
    old = [t for t in op.values() if t.dtype == "uint8" and codes(t)]
    if not old or op.kind in CONVERSIONS:
        return None
    found = weighted(op)
    what = "uint8 activations"
    if found is not None and found[2].quant is not None and found[2].quant.scale.size:
        what += f', weights "{short(found[2])}" with zero point {int(found[2].quant.zero_point[0])}'
    return Found(what, "convert it to int8")


RULE = Rule("legacy-uint8", "warning", (Scope.INTEGER,), Mend.LIFT, True, __doc__, find, right=True)
