"""Fold multiplications and additions of constants into the convolution before or after them.

    y = conv(x, W) + b                W: [out, ...] (DEPTHWISE: [..., out]), b: [out]

after:    m * y + a   =  conv(x, W * m) + (b * m + a)        m, a: per output channel, or scalar
before:   conv(x * m) =  conv(x, W * m)                      m: per input channel, or scalar

This removes batch normalization that the exporter left as MUL and ADD. m = 1 / c for a DIV.
"""

from __future__ import annotations

import numpy as np

from fullint.model.ir import Array, Op, Tensor, Uses, constant
from fullint.ops import ROWS
from fullint.passes.engine import No, Rewrite

CONVS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")


def fold_affine_after(op: Op, uses: Uses) -> Rewrite | No | None:
    """MUL, DIV, ADD or SUB of a constant after a convolution."""
    match = with_constant(op)
    if match is None:
        return None
    x, c, swapped = match
    conv = uses.producer.get(x)
    if conv is None or conv.kind not in CONVS or conv.options.get("fused_activation_function"):
        return None
    if uses.only_reader(x) is not op:
        return No("the convolution's output has other readers")
    if (op.kind == "DIV" and swapped) or not has_constant_weights(conv):
        return None
    if op.outputs[0].shape != x.shape:
        return No("the constant broadcasts the convolution's output to another shape")
    channels = op.outputs[0].shape[-1]
    vector = per_channel(c.array, x.shape, channels)
    if vector is None:
        return No(f"the constant of shape {list(c.shape)} is not one value per channel")
    mul, add = _affine(op.kind, vector, swapped)
    if not np.isfinite(mul).all():
        return No("the factor is not finite")
    row = ROWS[conv.kind]
    weights, bias = conv.inputs[row.weight or 0], conv.input(row.bias or 0)
    assert weights is not None
    w = weights.array * _along(mul, weights, row.axis or 0)
    b = (bias.array.reshape(-1) if bias is not None else np.float32(0)) * mul + add
    new = with_weights(
        conv, _keeping_grid(weights, w, mul), constant(f"{x.name}/bias", np.broadcast_to(b, (channels,)).astype(np.float32))
    )
    new.outputs = list(op.outputs)
    new.options["fused_activation_function"] = op.options.get("fused_activation_function", 0)
    return Rewrite((conv, op), (new,), f"{op.kind} of a constant folded into the {conv.kind} before it")


def fold_mul_before(op: Op, uses: Uses) -> Rewrite | No | None:
    """MUL or DIV of a constant before a convolution."""
    if op.kind not in CONVS or not has_constant_weights(op):
        return None
    row = ROWS[op.kind]
    x, weights = op.inputs[row.data], op.inputs[row.weight or 0]
    mul = uses.producer.get(x) if x is not None else None
    if x is None or weights is None or mul is None or mul.kind not in ("MUL", "DIV"):
        return None
    match = with_constant(mul)
    if match is None or (mul.kind == "DIV" and match[2]) or mul.options.get("fused_activation_function"):
        return None
    source, c, _ = match
    if uses.only_reader(x) is not op:
        return No("the product has other readers")
    if source.shape != x.shape or (op.kind == "TRANSPOSE_CONV" and x.shape[-1] != weights.shape[-1]):
        return No("the multiplication broadcasts its input to another shape")
    vector = per_channel(c.array, x.shape, x.shape[-1])
    if vector is None:
        return No(f"the constant of shape {list(c.shape)} is not one value per channel")
    factor = 1 / vector if mul.kind == "DIV" else vector
    if not np.isfinite(factor).all():
        return No("the factor is not finite")
    scaled = _scale_inputs(op, weights, factor)
    if scaled is None:
        return No("it is a grouped convolution, whose groups have separate input channels")
    new = with_weights(op, constant(weights.name, scaled.astype(np.float32)), op.input(row.bias or 0))
    new.inputs[row.data] = source
    return Rewrite((mul, op), (new,), f"{mul.kind} of a constant folded into the {op.kind} after it")


def _scale_inputs(op: Op, weights: Tensor, factor: Array) -> Array | None:
    """The weights, each multiplied by the factor of its input channel; None for a grouped convolution."""
    w = weights.array
    if op.kind == "DEPTHWISE_CONV_2D":
        return w * np.repeat(factor, w.shape[3] // factor.size) if factor.size > 1 else w * factor
    if factor.size > 1 and factor.size != w.shape[-1]:
        return None
    return w * factor


def with_constant(op: Op) -> tuple[Tensor, Tensor, bool] | None:
    """(data, constant, whether the constant is the first operand) of a binary operator with one float constant."""
    if op.kind not in ("ADD", "SUB", "MUL", "DIV") or len(op.inputs) != 2:
        return None
    a, b = op.inputs
    if a is None or b is None or a.dtype != "float32" or b.dtype != "float32":
        return None
    if b.buffer is not None and not a.is_constant:
        return a, b, False
    if a.buffer is not None and not b.is_constant:
        return b, a, True
    return None


def _affine(kind: str, c: Array, swapped: bool) -> tuple[Array, Array]:
    """(m, a) with result = m * y + a."""
    one, zero = np.ones_like(c), np.zeros_like(c)
    if kind == "MUL":
        return c, zero
    if kind == "DIV":
        with np.errstate(divide="ignore"):
            return 1 / c, zero
    if kind == "ADD":
        return one, c
    return (-one, c) if swapped else (one, -c)


def per_channel(c: Array, shape: tuple[int, ...], channels: int) -> Array | None:
    """The constant as a vector of 1 or `channels` values, or None if it varies along another axis."""
    if c.size == 1:
        return c.reshape(1)
    if c.size == channels and c.shape[-1] == channels and c.ndim <= len(shape):
        return c.reshape(-1)
    return None


def _along(vector: Array, weights: Tensor, axis: int) -> Array:
    if vector.size == 1:
        return vector.reshape(())
    shape = [1] * len(weights.shape)
    shape[axis] = -1
    return vector.reshape(shape)


def has_constant_weights(conv: Op) -> bool:
    """Whether weights and bias are float32 constants."""
    row = ROWS[conv.kind]
    weights, bias = conv.input(row.weight or 0), conv.input(row.bias or 0)
    return (
        weights is not None
        and weights.buffer is not None
        and weights.dtype == "float32"
        and (bias is None or (bias.buffer is not None and bias.dtype == "float32"))
    )


def is_dense(op: Op) -> bool:
    """Whether an operator multiplies each row with one constant matrix, and can add a constant."""
    row = ROWS.get(op.kind)
    w = op.input(row.weight) if row is not None and row.weight is not None and row.bias is not None else None
    return w is not None and len(w.shape) == 2 and not op.keep_float and has_constant_weights(op)


def _keeping_grid(weights: Tensor, w: Array, mul: Array) -> Tensor:
    """The new weights, which keep their int8 parameters if all factors are 1."""
    return constant(weights.name, w.astype(np.float32), weights.quant if (mul == 1).all() else None)


def with_weights(conv: Op, weights: Tensor, bias: Tensor | None) -> Op:
    """The convolution with other weights and another bias."""
    row = ROWS[conv.kind]
    inputs: list[Tensor | None] = list(conv.inputs)
    inputs += [None] * ((row.bias or 0) + 1 - len(inputs))
    inputs[row.weight or 0], inputs[row.bias or 0] = weights, bias
    return Op(conv.kind, inputs, list(conv.outputs), {**conv.options}, conv.options_type, version=conv.version)
