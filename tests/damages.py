"""Damages to plant in an integer model, by which `compare` is judged: each to one operator with weights, the rest as it was."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from fullint.model.ir import Buffer, Model, Op, Tensor
from fullint.ops import ROWS

Damage = Callable[[Op, Model], None]


def weighted(model: Model) -> list[Op]:
    """Operators with weights, a bias and an activation, that only operators with weights read."""

    def has_weights(op: Op) -> bool:
        row = ROWS.get(op.kind)
        return row is not None and row.weight is not None

    found = [op for op in model.main.ops if has_weights(op) and op.options.get("fused_activation_function")]
    return [op for op in found if all(has_weights(r) for r in model.main.ops if op.outputs[0] in r.inputs)]


def steps_of_bias(op: Op) -> float:
    """Mean size of its bias, in steps of its result."""
    b, out = op.input(ROWS[op.kind].bias or 0), op.outputs[0].quant
    assert b is not None and b.quant is not None and out is not None
    return float(np.abs(b.array * b.quant.scale).mean()) / float(out.scale[0])


def weights(op: Op) -> Tensor:
    """The constant that it multiplies with."""
    w = op.inputs[ROWS[op.kind].weight or 0]
    assert w is not None
    return w


def half_scale(op: Op, model: Model) -> None:
    """The scale of its weights is halved."""
    w = weights(op)
    assert w.quant is not None
    w.quant = replace(w.quant, scale=w.quant.scale * np.float32(0.5))


def no_bias(op: Op, model: Model) -> None:
    """Its bias is zero."""
    b = op.inputs[ROWS[op.kind].bias or 0]
    assert b is not None
    b.buffer = Buffer.of(np.zeros_like(b.array))


def one_channel(op: Op, model: Model) -> None:
    """The weights of its largest channel are 0.3 times as large."""
    w = weights(op)
    codes, axis = w.array.copy(), ROWS[op.kind].axis or 0
    sizes = np.abs(codes.astype(int)).sum(axis=tuple(i for i in range(codes.ndim) if i != axis))
    at = tuple(int(sizes.argmax()) if i == axis else slice(None) for i in range(codes.ndim))
    codes[at] = np.rint(codes[at] * 0.3)
    w.buffer = Buffer.of(codes)


def shifted_zero(op: Op, model: Model) -> None:
    """The zero point of its result is shifted by 40 codes."""
    q = op.outputs[0].quant
    assert q is not None
    op.outputs[0].quant = replace(q, zero_point=q.zero_point + 40)


def clipped(op: Op, model: Model) -> None:
    """The scale of its result is 0.3 times as large, and the biases of those who read it are in its units again."""
    t = op.outputs[0]
    assert t.quant is not None
    t.quant = replace(t.quant, scale=t.quant.scale * np.float32(0.3))
    for reader in model.main.ops:
        row = ROWS.get(reader.kind)
        if row is not None and row.weight is not None and reader.input(row.data) is t:
            b = reader.input(row.bias or 0)
            if b is not None and b.quant is not None:
                b.buffer = Buffer.of(np.rint(b.array / 0.3).astype(np.int32))
                b.quant = replace(b.quant, scale=b.quant.scale * np.float32(0.3))


DAMAGES: tuple[Damage, ...] = (half_scale, no_bias, one_channel, shifted_zero, clipped)
