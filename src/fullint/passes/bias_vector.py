"""Give each convolution a constant bias with one value per output channel.

bias [1, 1, 1, C] or [1]      =>   bias [C]
CONV_2D(x, w)                 =>   CONV_2D(x, w, zeros[C])      (XNNPACK requires a bias)
CONV_2D(x, w, b)              =>   ADD(CONV_2D(x, w), b)        b computed at run time
"""

from __future__ import annotations

import numpy as np

from fullint.model.ir import Op, Tensor, Uses, constant, twin
from fullint.ops import ROWS
from fullint.ops.make import make_op
from fullint.passes.engine import No, Rewrite


def bias_vector(op: Op, uses: Uses) -> Rewrite | No | None:
    """Give a float convolution a bias of shape [channels]."""
    row = ROWS.get(op.kind)
    if row is None or row.bias is None or row.weight is None or not op.outputs[0].is_float:
        return None
    weights, bias = op.input(row.weight), op.input(row.bias)
    if weights is None or row.axis is None or len(weights.shape) <= row.axis:
        return None
    channels = weights.shape[row.axis]
    if bias is None:
        value, why = np.zeros(channels, np.float32), "a bias of zeros added"
    elif bias.shape == (channels,) or bias.buffer is None or bias.dtype != "float32":
        return None
    elif bias.size in (1, channels):
        value, why = np.broadcast_to(bias.array.reshape(-1), (channels,)), "bias reshaped to a vector"
    else:
        return No(f"its bias has {bias.size} values for {channels} channels")
    inputs: list[Tensor | None] = [*op.inputs, *[None] * (row.bias + 1 - len(op.inputs))]
    name = bias.name if bias is not None else f"{op.outputs[0].name}/bias"
    inputs[row.bias] = constant(name, value)
    return Rewrite((op,), (Op(op.kind, inputs, op.outputs, op.options, op.options_type, version=op.version),), why)


def bias_apart(op: Op, uses: Uses) -> Rewrite | None:
    """Add a bias computed at run time with an ADD: it has its own scale and zero point, so the kernel cannot use it."""
    row = ROWS.get(op.kind)
    if row is None or row.bias is None or not op.outputs[0].is_float or not row.weight:
        return None
    bias, out = op.input(row.bias), op.outputs[0]
    if bias is None or bias.is_constant:
        return None
    product = twin(out, f"{out.name}/product")
    inputs = [t if i != row.bias else None for i, t in enumerate(op.inputs)]
    options = {**op.options, "fused_activation_function": 0}
    fused = op.options.get("fused_activation_function", 0)
    new = Op(op.kind, inputs, [product], options, op.options_type, version=op.version)
    add = make_op("ADD", [product, bias], [out], fused_activation_function=fused)
    return Rewrite((op,), (new, add), "a bias computed at run time is added by an ADD")
