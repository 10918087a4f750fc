"""stablehlo-constants: The file marks its constants as StableHLO's, and TensorFlow's quantizer passed them over.

What it does:
    Finds float operators with float constants in a file that TensorFlow quantized and that has the metadata
    `keep_stablehlo_constant`.

Why it matters:
    With that entry TensorFlow reads every constant as one of StableHLO, which its quantizer does not take for a weight or a
    bias. So every convolution and every multiplication by a constant stays float, in silence, with what stands beside
    them; what has no constants (TRANSPOSE, PAD) becomes integer. The same file without the entry becomes int8.

Seen in:
    PyTorch and JAX models that litert-torch converted, then quantized by TensorFlow's converter.

Example:
    op 3 CONV_2D "conv": the file asks that its constants stay StableHLO's, so the quantizer did not see "weights"

Fix (safe):
    Quantize it with the constants that are there; or take the metadata out of the float file and quantize again.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope, float_constants
from fullint.model.ir import Model, Op
from fullint.verification.operator_checks import short

STABLEHLO_KEY = "keep_stablehlo_constant"
"""compiler/mlir/lite/experimental/remat/metadata_util.h, kModelUseStablehloTensorKey."""


def find(op: Op, facts: Facts) -> Found | None:
    """A float constant that the quantizer passed over."""
    constants = float_constants(op)
    if not constants or not facts.quantized or facts.maker != "TensorFlow" or not marked(facts.model):
        return None
    index, t = constants[0]
    cause = f'the file asks that its constants stay StableHLO\'s, so the quantizer did not see "{short(t)}"'
    return Found(cause, "quantize it with the constants that are there", {"metadata": STABLEHLO_KEY, "input": index})


def marked(model: Model) -> bool:
    """Whether the metadata says so."""
    return any(
        name == STABLEHLO_KEY and b is not None and b.data.tobytes().rstrip(b"\0") == b"true" for name, b in model.metadata
    )


RULE = Rule("stablehlo-constants", "error", (Scope.FLOAT,), Mend.QUANTIZE, True, __doc__, find)
