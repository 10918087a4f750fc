"""Operators without an int16 kernel, written with operators that have one (for int16 activations only).

SQUARED_DIFFERENCE(a, b)      =>   d = SUB(a, b); MUL(d, d)
PRELU(x, alpha)               =>   ADD(RELU(x), MUL(MINIMUM(x, 0), alpha))
HARD_SWISH(x), ELU(x), …      =>   LOOKUP(x)                 a table of 65536 entries
"""

from __future__ import annotations

import numpy as np

from fullint.model.ir import Op, Uses, constant, twin
from fullint.model.subgraphs import LOOKUP
from fullint.ops import ROWS, traits_of
from fullint.ops.make import make_op
from fullint.passes.engine import Rewrite
from fullint.passes.lookup import as_lookup

COARSE = ("RSQRT", "LOG")
"""Operators whose int16 kernel is less accurate than a table."""


def difference_apart(op: Op, uses: Uses) -> Rewrite | None:
    """SQUARED_DIFFERENCE as SUB and MUL."""
    if op.kind != "SQUARED_DIFFERENCE" or not op.outputs[0].is_float:
        return None
    out = op.outputs[0]
    d = twin(out, f"{out.name}/difference")
    new = (make_op("SUB", op.inputs, [d]), make_op("MUL", [d, d], [out]))
    return Rewrite((op,), new, "SQUARED_DIFFERENCE has no int16 kernel: written as SUB, MUL")


def prelu_apart(op: Op, uses: Uses) -> Rewrite | None:
    """PRELU as RELU, MINIMUM, MUL and ADD."""
    x, alpha, out = op.input(0), op.input(1), op.outputs[0] if op.outputs else None
    if op.kind != "PRELU" or x is None or alpha is None or out is None or not out.is_float:
        return None
    above, below, part = (twin(out, f"{out.name}/{n}") for n in ("above", "below", "part"))
    zero = constant(f"{out.name}/zero", np.float32(0))
    new = (
        make_op("RELU", [x], [above]),
        make_op("MINIMUM", [x, zero], [below]),
        make_op("MUL", [below, alpha], [part]),
        make_op("ADD", [above, part], [out]),
    )
    return Rewrite((op,), new, "PRELU has no int16 kernel: written as RELU, MINIMUM, MUL, ADD")


def wide_lookup(op: Op, uses: Uses) -> Rewrite | None:
    """A function of one tensor without an accurate int16 kernel, as a look-up table."""
    if not traits_of(op.kind).unary or op.kind in (LOOKUP, "CAST") or not op.outputs[0].is_float:
        return None
    row = ROWS.get(op.kind)
    if row is None or (row.int16 and op.kind not in COARSE):
        return None
    return Rewrite((op,), (as_lookup([op]),), f"{op.kind} has no accurate int16 kernel: written as a look-up table")
