"""converter-float-only: LiteRT has an int8 kernel for this operator, but the converter never uses it.

What it does:
    Finds float operators with a correct int8 kernel, of a type that the tool that quantized the file never quantizes.

Why it matters:
    The tool keeps them in float, not the runtime: another tool, or `fullint repair`, makes them integer without any
    change to the network.

Seen in:
    ELU and CAST after TensorFlow's converter; LEAKY_RELU, PRELU, EXP, MINIMUM, L2_NORMALIZATION after ai-edge-quantizer.

Example:
    op 3 LEAKY_RELU "leaky": LiteRT has an int8 kernel (kernels/activations.cc), but ai-edge-quantizer does not quantize it

Fix (safe):
    The operator is quantized.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op
from fullint.ops import ROWS, Role
from fullint.ops.other_quantizers import leaves_float


def find(op: Op, facts: Facts) -> Found | None:
    """An operator of the op table that the tool that made the file never quantizes."""
    row = ROWS.get(op.kind)
    if row is None or not facts.quantized or not leaves_float(facts.maker, op.kind):
        return None
    maker = facts.maker or "TensorFlow's converter"
    cause = f"LiteRT has an int8 kernel ({row.source}), but {maker} does not quantize it"
    level = "warning" if row.inputs[0] is Role.ANY else None  # it only reads a shape
    return Found(cause, "quantize it", {"maker": facts.maker, "kernel": row.source}, level)


RULE = Rule("converter-float-only", "error", (Scope.FLOAT,), Mend.QUANTIZE, True, __doc__, find)
