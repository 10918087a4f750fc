"""converter-float-only: LiteRT takes this operator in int8, the converter never writes it so.

What it does:
    Finds float operators whose int8 kernel is sound, of a kind that the quantizer which made the file never quantizes.

Why it matters:
    It is not the runtime that keeps them float, but the tool: another tool, or repair, makes them integer without
    any change to the network.

Seen in:
    ELU and CAST after TensorFlow's converter; LEAKY_RELU, PRELU, EXP, MINIMUM, L2_NORMALIZATION after ai-edge-quantizer.

Example:
    op 3 LEAKY_RELU "leaky": LiteRT's kernel takes int8, ai-edge-quantizer does not quantize it

Fix (safe):
    Quantize the operator: its kernel is there.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op
from fullint.ops import ROWS, Role
from fullint.ops.other_quantizers import leaves_float


def find(op: Op, facts: Facts) -> Found | None:
    """An operator of the table that the maker of the file never quantizes."""
    row = ROWS.get(op.kind)
    if row is None or not facts.quantized or not leaves_float(facts.maker, op.kind):
        return None
    maker = facts.maker or "TensorFlow's converter"
    cause = f"LiteRT's kernel takes integers ({row.source}), {maker} does not quantize it"
    level = "warning" if row.inputs[0] is Role.ANY else None  # it reads a shape, and computes nothing
    return Found(cause, "quantize it", {"maker": facts.maker, "kernel": row.source}, level)


RULE = Rule("converter-float-only", "error", (Scope.FLOAT,), Mend.QUANTIZE, True, __doc__, find)
