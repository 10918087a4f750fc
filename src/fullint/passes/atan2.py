"""ATAN2 of two tensors, written with functions of one tensor.

t = y / (sqrt(x^2 + y^2) + |x|)                 the tangent of half the angle to the nearer end of the x axis
a = 2 ATAN2(t, 1)                               in [-pi/2, pi/2]; a function of one tensor: a look-up
ATAN2(y, x)    =>    SELECT(x < 0, sign(y) pi - a, a)
"""

from __future__ import annotations

import math

import numpy as np

from fullint.model.ir import Op, Tensor, Uses, constant, twin
from fullint.ops.make import make_op
from fullint.passes.engine import Rewrite

_SMALLEST = 1e-6


def atan2_apart(op: Op, uses: Uses) -> Rewrite | None:
    """ATAN2 with look-ups: it has no int8 kernel."""
    y, x = (op.input(0), op.input(1)) if op.kind == "ATAN2" else (None, None)
    if y is None or x is None or not op.outputs[0].is_float or x.buffer is not None or y.buffer is not None:
        return None
    if _is_one(x, y, uses):
        return None
    out = op.outputs[0]
    ops: list[Op] = []

    def made(kind: str, *inputs: Tensor, dtype: str = "float32") -> Tensor:
        t = twin(out, f"{out.name}/{kind.lower()}{len(ops)}")
        t.dtype = dtype
        t.shape = np.broadcast_shapes(*(i.shape for i in inputs))
        ops.append(make_op(kind, list(inputs), [t]))
        return t

    def number(value: float) -> Tensor:
        return constant(f"{out.name}/{value:.3g}", np.float32(value))

    length = made("SQRT", made("ADD", made("MUL", x, x), made("MUL", y, y)))
    below = made("MAXIMUM", made("ADD", length, made("ABS", x)), number(_SMALLEST))
    tangent = made("MUL", y, made("DIV", number(1.0), below))
    one = made("ADD", made("MUL", tangent, number(0.0)), number(1.0))  # in the shape of t: the kernel does not broadcast
    angle = made("MUL", made("ATAN2", tangent, one), number(2.0))
    other = made("SUB", made("MUL", made("SIGN", y), number(math.pi)), angle)
    behind = made("LESS", x, number(0.0), dtype="bool")
    ops.append(make_op("SELECT_V2", [behind, other, angle], [out]))
    return Rewrite((op,), tuple(ops), "ATAN2 written with functions of one tensor each")


def _is_one(x: Tensor, y: Tensor, uses: Uses) -> bool:
    """Whether x is y * 0 + 1, as this pass itself writes it."""
    add = uses.producer.get(x)
    product = uses.producer.get(add.inputs[0]) if add is not None and add.kind == "ADD" and add.inputs[0] is not None else None
    return product is not None and product.kind == "MUL" and product.inputs[0] is y
