"""Conditions that samples never meet, and sums written so that they lose their digits.

    SELECT_V2(any(x != x), NaN, y)                        =>    y           x is a number, or nothing is
    ADD(MUL(x, a), SUB(b, MUL(m, a)))                     =>    ADD(MUL(SUB(x, m), a), b)

The second is how normalisations are written: x a - m a + b. In integers the two products are rounded apart
and then nearly cancel; (x - m) is small to begin with.
"""

from __future__ import annotations

import numpy as np

from fullint.build import make_op
from fullint.ir import Op, Tensor, Uses, constant, twin
from fullint.rewrite import Rewrite

_PASSING = ("REDUCE_ANY", "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "LOGICAL_OR", "TRANSPOSE")
_DEPTH = 8


def nan_branch(op: Op, uses: Uses) -> Rewrite | None:
    """SELECT of NaN where something is not a number."""
    if op.kind not in ("SELECT", "SELECT_V2") or not op.outputs[0].is_float:
        return None
    condition, yes, y = op.inputs
    nothing = yes is not None and yes.buffer is not None and yes.dtype == "float32" and np.isnan(yes.array).all()
    if y is None or condition is None or not nothing or not _is_nan(condition, uses, _DEPTH) or y.shape != op.outputs[0].shape:
        return None
    out = op.outputs[0]
    shape = constant(f"{out.name}/shape", np.asarray(out.shape, np.int32))
    return Rewrite((op,), (make_op("RESHAPE", [y, shape], [out], new_shape=list(out.shape)),), "an integer is never NaN")


def _is_nan(t: Tensor, uses: Uses, depth: int) -> bool:
    op = uses.producer.get(t)
    if op is None or depth == 0:
        return False
    if op.kind == "NOT_EQUAL":
        return op.inputs[0] is op.inputs[1]
    bools = [x for x in op.inputs if x is not None and x.dtype == "bool"]
    return op.kind in _PASSING and bool(bools) and all(_is_nan(x, uses, depth - 1) for x in bools)


def centre(op: Op, uses: Uses) -> Rewrite | None:
    """Recognise the pattern at its ADD."""
    if op.kind != "ADD" or not op.outputs[0].is_float:
        return None
    for one, other in (op.inputs, op.inputs[::-1]):
        scaled, rest = (uses.producer.get(t) if t is not None else None for t in (one, other))
        if scaled is None or rest is None or scaled.kind != "MUL" or rest.kind != "SUB" or _fused(scaled) or _fused(rest):
            continue
        b, minus = rest.inputs
        product = uses.producer.get(minus) if minus is not None else None
        if product is None or product.kind != "MUL" or _fused(product) or b is None or b.buffer is None:
            continue
        match = _match(scaled, product)
        if match is None or uses.only_reader(scaled.outputs[0]) is not op or uses.only_reader(rest.outputs[0]) is not op:
            continue
        x, a, m = match
        if x.shape != op.outputs[0].shape or uses.only_reader(product.outputs[0]) is not rest:
            continue
        d, y = twin(x, f"{op.outputs[0].name}/centred"), twin(op.outputs[0], f"{op.outputs[0].name}/scaled")
        new = (
            make_op("SUB", [x, m], [d]),
            make_op("MUL", [d, a], [y]),
            make_op("ADD", [y, b], op.outputs, fused_activation_function=op.options.get("fused_activation_function", 0)),
        )
        return Rewrite((scaled, product, rest, op), new, "x a - m a + b written as (x - m) a + b")
    return None


def _fused(op: Op) -> bool:
    return bool(op.options.get("fused_activation_function"))


def _match(scaled: Op, product: Op) -> tuple[Tensor, Tensor, Tensor] | None:
    """(x, a, m) of x a and m a, where the factor is computed at run time."""
    for x, a in (scaled.inputs, scaled.inputs[::-1]):
        for m, other in (product.inputs, product.inputs[::-1]):
            if a is other and a is not None and x is not None and m is not None and a.buffer is None:
                return x, a, m
    return None
