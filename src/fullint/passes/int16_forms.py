"""Operators without an int16 kernel, written with operators that have one (for int16 activations only).

SQUARED_DIFFERENCE(a, b)      =>   d = SUB(a, b); MUL(d, d)
PRELU(x, alpha)               =>   ADD(RELU(x), MUL(MINIMUM(x, 0), alpha))
HARD_SWISH(x), ELU(x), …      =>   LOOKUP(x)                 a table of 65536 entries

and one with a slow int16 kernel (6 ns a value) with one that has a fast one (0.4 ns)

MEAN(x, last axis)            =>   RESHAPE(AVERAGE_POOL_2D(RESHAPE(x)))
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from fullint.model.ir import Op, Tensor, Uses, constant, twin
from fullint.model.subgraphs import LOOKUP
from fullint.ops import ROWS, traits_of
from fullint.ops.make import PADDING, make_op, make_reshape
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
    return _looked_up(op, COARSE)


def wide_lookup_lacking(op: Op, uses: Uses) -> Rewrite | None:
    """A function of one tensor without an int16 kernel, as a look-up table: for targets that run none."""
    return _looked_up(op, ())


def _looked_up(op: Op, coarse: Collection[str]) -> Rewrite | None:
    if not traits_of(op.kind).unary or op.kind in (LOOKUP, "CAST") or not op.outputs[0].is_float:
        return None
    row = ROWS.get(op.kind)
    if row is None or (row.int16 and op.kind not in coarse):
        return None
    return Rewrite((op,), (as_lookup([op]),), f"{op.kind} has no accurate int16 kernel: written as a look-up table")


def mean_as_pool(op: Op, uses: Uses) -> Rewrite | None:
    """MEAN over the last axis as a pool; mean and values then have one scale."""
    x, axes, out = op.input(0), op.input(1), op.outputs[0]
    if op.kind != "MEAN" or x is None or axes is None or axes.buffer is None or not out.is_float or not all(x.shape):
        return None
    if [int(a) % len(x.shape) for a in axes.array.reshape(-1)] != [len(x.shape) - 1]:
        return None
    size = x.shape[-1]
    rows = Tensor(f"{out.name}/rows", (1, x.size // size, size, 1), "float32")
    means = Tensor(f"{out.name}/means", (1, x.size // size, 1, 1), "float32")
    window = {"filter_height": 1, "filter_width": size, "stride_h": 1, "stride_w": 1, "padding": PADDING["VALID"]}
    new = (make_reshape(x, rows), make_op("AVERAGE_POOL_2D", [rows], [means], **window), make_reshape(means, out))
    return Rewrite((op,), new, "MEAN has a slow int16 kernel: written as AVERAGE_POOL_2D")
