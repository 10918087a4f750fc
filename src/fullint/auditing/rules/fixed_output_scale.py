"""fixed-output-scale: The output has other parameters than the kernel works with.

What it does:
    Finds LOGISTIC, TANH, SOFTMAX, LOG_SOFTMAX and L2_NORMALIZATION whose output does not have the scale and zero point
    that their int8 kernel demands: in integers, or in float with a QUANTIZE behind that asks for others.

Why it matters:
    The kernels compute in these parameters whatever the file says: LiteRT refuses some when it prepares the model, and
    others come out wrong by the ratio of the scales.

Seen in:
    Quantizers that calibrate every output alike; softmax written in parts and fused afterwards.

Example:
    op 20 LOGISTIC "gate": its output has scale 0.0031 zero point -121, the kernel demands scale 0.00390625 zero point -128

Fix (unsafe):
    The output gets the kernel's parameters, and a requantize where its readers want others.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope, integer_row, plain, show
from fullint.model.ir import Op
from fullint.ops import ROWS, Fixed


def find(op: Op, facts: Facts) -> Found | None:
    """An output of fixed parameters that has others."""
    row = ROWS.get(op.kind)
    for i, t in enumerate(op.outputs if row is not None else ()):
        rule = row.output(i) if row is not None else None
        x = op.input(0)
        if not isinstance(rule, Fixed) or not (t.is_float or integer_row(op)) or (x is not None and x.dtype != t.dtype):
            continue
        given = facts.params(t) if t.is_float else plain(t)
        demanded = rule.of_type("int16" if t.dtype == "int16" else "int8")
        if given is not None and not given.same_as(demanded):
            cause = f"its output has {given}, the kernel demands {demanded}"
            evidence = {"given": show(given), "demanded": show(demanded)}
            return Found(cause, "give it the kernel's parameters and requantize behind it", evidence)
    return None


RULE = Rule("fixed-output-scale", "error", (Scope.FLOAT, Scope.INTEGER), Mend.LIFT, False, __doc__, find)
