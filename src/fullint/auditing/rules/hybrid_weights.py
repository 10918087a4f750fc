"""hybrid-weights: The weights are stored in fewer bits, but the operator computes in float.

What it does:
    Finds float operators whose weights are int8, int4 or float16 constants, read directly (dynamic-range quantization)
    or through a DEQUANTIZE, and those DEQUANTIZE operators.

Why it matters:
    The file is small and looks quantized, but the activations are float, so nothing runs on an integer accelerator.
    Microcontroller runtimes reject hybrid operators.

Seen in:
    Models converted with optimizations but without a representative dataset; MediaPipe's float16 models.

Example:
    op 4 FULLY_CONNECTED "logits": its constant "kernel" is int8, but it computes in float32

Fix (safe):
    The activations are quantized too; int8 weights keep their values. `repair` needs samples (-c) if the file does not
    contain the ranges of the activations; where none are quantized, it does what `quantize` does.
"""

from __future__ import annotations

from fullint.auditing.rules.base import QUANTIZE_IT, Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op, Tensor
from fullint.ops.base import codes
from fullint.verification.operator_checks import short

_STORED = ("float16", "bfloat16")


def find(op: Op, facts: Facts) -> Found | None:
    """Weights in fewer bits under a float operator, or the DEQUANTIZE that expands them."""
    if op.kind == "DEQUANTIZE":
        x = op.input(0)
        if x is None or not x.is_constant:
            return None
        cause = f'it expands the {x.dtype} constant "{short(x)}" to float32'
        return Found(cause, _fix(facts, "quantize the operators that read it"), {"dtype": x.dtype})
    if op.kind == "QUANTIZE" or not any(t.is_float and not t.is_constant for t in op.values()):
        return None
    for i, t in enumerate(op.inputs):
        stored = _stored(t, facts) if t is not None else None
        if stored is not None:
            made = op.outputs[0].dtype if op.outputs else "float32"
            cause = f'its constant "{short(stored)}" is {stored.dtype}, but it computes in {made}'
            return Found(
                cause, _fix(facts, "quantize its activations too"), {"input": i, "weights": stored.dtype, "computes": made}
            )
    return None


def _fix(facts: Facts, otherwise: str) -> str:
    """What to do: a file without quantized activations is quantized like the float model that it is."""
    return otherwise if facts.quantized else QUANTIZE_IT


def _stored(t: Tensor, facts: Facts) -> Tensor | None:
    if t.is_constant:
        return t if codes(t) or t.dtype in _STORED else None
    made = facts.uses.producer.get(t)
    source = made.input(0) if made is not None and made.kind == "DEQUANTIZE" else None
    return source if source is not None and source.is_constant else None


RULE = Rule("hybrid-weights", "error", (Scope.FLOAT, Scope.BORDER), Mend.QUANTIZE, True, __doc__, find)
