"""Correct what a file says of integer tensors, without touching a value.

    vector, scales along axis 3             =>    along axis 0, the only one it has
    bias, stale scale, same codes           =>    scale s_in * s_w, same codes
    CONV_2D --> i8 (no scale) --> POOL      =>    i8 (the pool's scale)

Integer kernels compute with codes; the runtime reads none of these scales, or refuses the file for them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from fullint.model.ir import Op, Quant, Tensor, twin
from fullint.model.numerics import bias_scales
from fullint.ops.operands import plain, weighted


def stamp_axes(ops: Collection[Op]) -> None:
    """Set the quantization axis of vectors to 0, the only one they have, in place."""
    for op in ops:
        for t in op.inputs:
            if t is not None and t.quant is not None and t.quant.scale.size in (1, *t.shape) and len(t.shape) <= 1:
                t.quant = replace(t.quant, axis=0)


def stamp_bias_scales(ops: Collection[Op]) -> None:
    """Give each of these operators a bias of the same codes with scale s_in * s_w, in place; others keep a shared one."""
    for op in ops:
        found = weighted(op)
        if found is None or found[3] is None or found[0].bias is None:
            continue
        row, x, w, b = found
        data = plain(x)
        if data is None or w.quant is None or b is None or row.bias is None:
            continue
        own = twin(b)
        own.buffer, own.quant = b.buffer, Quant.of(bias_scales(float(data.scale[0]), w.quant.scale))
        op.inputs[row.bias] = own


def stamp_parameters(lost: Mapping[Tensor, Quant]) -> None:
    """Give tensors the parameters that they lost, in place."""
    for t, quant in lost.items():
        t.quant = quant
