"""float-type: A value is float16, float64, bfloat16 or complex.

What it does:
    Finds operators whose activations are of a floating point type other than float32.

Why it matters:
    Quantizers read float32 graphs; a value of another type never gets a scale, and its operator stays as it is.

Seen in:
    Models whose author cast to float16 inside the network; audio models that keep a spectrum.

Example:
    op 12 RFFT2D "spectrum": its result is complex64

Fix (safe):
    A spectrum that is only read by REAL, IMAG or COMPLEX_ABS becomes a product with waves. For other types, export
    the model with float32 activations.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op
from fullint.verification.operator_checks import short

_OTHER = ("float16", "float64", "bfloat16", "complex64", "complex128")


def find(op: Op, facts: Facts) -> Found | None:
    """An activation of another floating point type."""
    for t in op.values():
        if t.dtype in _OTHER and not t.is_constant:
            return Found(f'"{short(t)}" is {t.dtype}', "export the model with float32 activations", {"dtype": t.dtype})
    return None


RULE = Rule("float-type", "error", (Scope.FLOAT,), Mend.QUANTIZE, True, __doc__, find)
