"""float-type: An activation is float16, float64, bfloat16 or complex.

What it does:
    Finds operators with activations of a floating-point type other than float32.

Why it matters:
    Quantizers handle float32 graphs only; an activation of another type never gets a scale, and its operator stays float.

Seen in:
    Models whose author cast to float16 inside the network; audio models that compute a spectrum.

Example:
    op 12 RFFT2D "spectrum": "spectrum" is complex64

Fix (safe):
    A spectrum that only REAL, IMAG or COMPLEX_ABS read becomes a product with cosines and sines. For other types, export
    the model with float32 activations.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op
from fullint.verification.operator_checks import short

_OTHER = ("float16", "float64", "bfloat16", "complex64", "complex128")


def find(op: Op, facts: Facts) -> Found | None:
    """An activation of a floating-point type other than float32."""
    for t in op.values():
        if t.dtype in _OTHER and not t.is_constant:
            return Found(f'"{short(t)}" is {t.dtype}', "export the model with float32 activations", {"dtype": t.dtype})
    return None


RULE = Rule("float-type", "error", (Scope.FLOAT,), Mend.QUANTIZE, True, __doc__, find)
