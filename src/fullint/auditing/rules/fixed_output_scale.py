"""fixed-output-scale: The output's parameters are not those that the kernel computes with.

What it does:
    Finds LOGISTIC, TANH, SOFTMAX, LOG_SOFTMAX and L2_NORMALIZATION whose output does not have the scale and zero point
    that their int8 kernel requires: integer operators, and float ones followed by a QUANTIZE with other parameters.

Why it matters:
    These kernels have a fixed output scale and ignore the file's. LiteRT rejects some of the models when it prepares
    them; others produce results that are off by the ratio of the scales.

Seen in:
    Quantizers that calibrate every output alike; a softmax written as separate operators and fused afterwards.

Example:
    op 20 LOGISTIC "gate": its output has scale 0.0031 zero point -121; the kernel requires scale 0.00390625 zero point -128

Fix (unsafe):
    The output gets the kernel's parameters, with a requantize for readers that use others.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op
from fullint.ops import ROWS
from fullint.verification.operator_checks import Breach, demanded_scale, fixed_scale


def find(op: Op, facts: Facts) -> Found | None:
    """An output whose parameters differ from the kernel's fixed ones."""
    breach = fixed_scale(op) or _asked_for(op, facts)
    return Found.of(breach, "give it the kernel's parameters and requantize after it") if breach else None


def _asked_for(op: Op, facts: Facts) -> Breach | None:
    """The same for float outputs, judged by the QUANTIZE that follows them."""
    row = ROWS.get(op.kind)
    floats = [(i, t) for i, t in enumerate(op.outputs) if t.is_float] if row is not None else []
    found = (demanded_scale(op, row, i, facts.params(t)) for i, t in floats if row is not None)
    return next((breach for breach in found if breach is not None), None)


RULE = Rule("fixed-output-scale", "error", (Scope.FLOAT, Scope.INTEGER), Mend.LIFT, False, __doc__, find)
