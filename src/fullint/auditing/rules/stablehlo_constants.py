"""stablehlo-constants: The file marks its constants as StableHLO constants, so TensorFlow's quantizer ignored them.

What it does:
    Finds float operators with float constants in a file that TensorFlow quantized and that has the metadata entry
    `keep_stablehlo_constant`.

Why it matters:
    With this entry TensorFlow reads every constant as a StableHLO constant, which its quantizer does not recognise as
    weights or bias. Every convolution and every multiplication by a constant silently stays float, along with the
    operators next to them; operators without constants (TRANSPOSE, PAD) become integer. Without the entry, the same
    file becomes int8.

Seen in:
    PyTorch and JAX models that litert-torch converted, then quantized by TensorFlow's converter.

Example:
    op 3 CONV_2D "conv": the metadata keep_stablehlo_constant made the quantizer ignore its constant "weights"

Fix (safe):
    The constants are quantized. Alternatively, remove the metadata entry from the float file and quantize it again.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope, float_constants
from fullint.model.ir import Model, Op
from fullint.verification.operator_checks import short

STABLEHLO_KEY = "keep_stablehlo_constant"
"""compiler/mlir/lite/experimental/remat/metadata_util.h, kModelUseStablehloTensorKey."""


def find(op: Op, facts: Facts) -> Found | None:
    """A float constant that the quantizer ignored."""
    constants = float_constants(op)
    if not constants or not facts.quantized or facts.maker != "TensorFlow" or not marked(facts.model):
        return None
    index, t = constants[0]
    cause = f'the metadata keep_stablehlo_constant made the quantizer ignore its constant "{short(t)}"'
    return Found(cause, "quantize it with the constants in the file", {"metadata": STABLEHLO_KEY, "input": index})


def marked(model: Model) -> bool:
    """Whether the model's metadata has the entry `keep_stablehlo_constant` with the value "true"."""
    return any(
        name == STABLEHLO_KEY and b is not None and b.data.tobytes().rstrip(b"\0") == b"true" for name, b in model.metadata
    )


RULE = Rule("stablehlo-constants", "error", (Scope.FLOAT,), Mend.QUANTIZE, True, __doc__, find)
