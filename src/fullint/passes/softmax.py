"""Recognise a SOFTMAX that was written with several operators.

    e = EXP(SUB(x, REDUCE_MAX(x, axis)));  DIV(e, SUM(e, axis))          =>    SOFTMAX(x)
    e = EXP(x);                            DIV(e, SUM(e, axis))          =>    SOFTMAX(x)

One kernel with a fixed output scale replaces five operators whose intermediate values each need a range. An axis other
than the last is transposed there and back.
"""

from __future__ import annotations

from fullint.model.ir import Op, Tensor, Uses
from fullint.ops.make import make_op
from fullint.passes.engine import Rewrite, private
from fullint.passes.last_axis import along


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
    exp, summed = uses.producer.get(e), uses.producer.get(total)
    if exp is None or summed is None or exp.kind != "EXP" or summed.kind != "SUM" or summed.inputs[0] is not e:
        return None
    axis = _axis(summed, e)
    shifted = exp.inputs[0]
    if axis is None or shifted is None or not summed.options.get("keep_dims"):
        return None
    x, before = _unshifted(shifted, axis, uses)
    gone = private(op, [summed, exp, *before], uses)
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
    largest = uses.producer.get(top) if top is not None else None
    if x is None or top is None or largest is None or largest.kind != "REDUCE_MAX" or largest.inputs[0] is not x:
        return t, []
    if _axis(largest, x) != axis or not largest.options.get("keep_dims"):
        return t, []
    return x, [sub, largest]
