"""Recognise a SOFTMAX that was written with several operators.

    e = EXP(SUB(x, REDUCE_MAX(x, axis)));  DIV(e, SUM(e, axis))          =>    SOFTMAX(x)
    e = EXP(x);                            DIV(e, SUM(e, axis))          =>    SOFTMAX(x)

One kernel with a fixed output scale replaces five operators whose intermediate values each need a range. An axis other
than the last is transposed there and back. Reductions may drop their axis, and a RESHAPE bring it back (JAX, ONNX).
"""

from __future__ import annotations

import numpy as np

from fullint.model.ir import Op, Tensor, Uses
from fullint.ops.make import make_op
from fullint.passes.engine import Rewrite, private
from fullint.passes.last_axis import along

MINUS_INFINITY = np.finfo(np.float32).min
"""Minus infinity, or what stands for it."""


def softmax_as_itself(op: Op, uses: Uses) -> Rewrite | None:
    """Recognise the pattern at its DIV."""
    e, total = op.input(0), op.input(1)
    if (
        op.kind != "DIV"
        or e is None
        or total is None
        or not op.outputs[0].is_float
        or op.options.get("fused_activation_function")
    ):
        return None
    exp, (summed, behind) = uses.producer.get(e), _reduction(total, uses)
    if exp is None or summed is None or exp.kind != "EXP" or summed.kind != "SUM" or summed.inputs[0] is not e:
        return None
    axis = _axis(summed, e)
    shifted = exp.inputs[0]
    if axis is None or shifted is None or not _spreads(total, e, axis):
        return None
    x, before = _unshifted(shifted, axis, uses)
    gone = private(op, [*behind, summed, exp, *before], uses)
    new = along(x, op.outputs[0], axis, lambda a, b: [make_op("SOFTMAX", [a], [b], beta=1.0)])
    return Rewrite((*gone, op), tuple(new), "EXP, SUM, DIV recognised as SOFTMAX")


def _axis(reduction: Op, x: Tensor) -> int | None:
    axes = reduction.input(1)
    if axes is None or axes.buffer is None or axes.size != 1:
        return None
    return int(axes.array.reshape(-1)[0]) % len(x.shape)


def _unshifted(t: Tensor, axis: int, uses: Uses) -> tuple[Tensor, list[Op]]:
    """The input before its maximum was subtracted, and the operators that subtract it."""
    sub = uses.producer.get(t)
    if sub is None or sub.kind != "SUB" or sub.options.get("fused_activation_function"):
        return t, []
    x, top = sub.input(0), sub.input(1)
    if x is None or top is None:
        return t, []
    largest, behind = _reduction(top, uses)
    if largest is None or largest.kind != "REDUCE_MAX" or largest.inputs[0] is not x:
        return t, []
    if _axis(largest, x) != axis or not _spreads(top, x, axis):
        return t, []
    return x, [sub, *behind, largest]


def _reduction(t: Tensor, uses: Uses) -> tuple[Op | None, list[Op]]:
    """What reduces, and the operators behind it that keep its values: a RESHAPE, a MAXIMUM with minus infinity."""
    behind: list[Op] = []
    op = uses.producer.get(t)
    while op is not None and op.kind in ("RESHAPE", "MAXIMUM"):
        data = [x for x in op.inputs if x is not None and not x.is_constant]
        lowest = all((x.array <= MINUS_INFINITY).all() for x in op.inputs if x is not None and x.buffer is not None)
        if len(data) != 1 or (op.kind == "MAXIMUM" and not lowest):
            break
        behind.append(op)
        op = uses.producer.get(data[0])
    return op, behind


def _spreads(reduced: Tensor, x: Tensor, axis: int) -> bool:
    """Whether a reduced tensor has its axis still, with size 1, so that it spreads over it."""
    return reduced.shape == (*x.shape[:axis], 1, *x.shape[axis + 1 :])
