"""3D convolutions written as 2D convolutions.

x [N, D, H, W, C], w [kd, kh, kw, C, F]
GATHER depth windows     [N, D', kd, H, W, C]
TRANSPOSE, RESHAPE       [N D', H, W, kd C]        the planes of a window become channels
CONV_2D with [F, kh, kw, kd C]                     =>    y [N, D', H', W', F]

CONV_3D_TRANSPOSE works the same way: plane d' of the result is computed from the planes i with d' = stride i + k - pad,
one for each k, or from a plane of zeros if there is none; then TRANSPOSE_CONV.
"""

from __future__ import annotations

import numpy as np

from fullint.model.ir import Array, Op, Tensor, Uses, constant
from fullint.ops.make import PADDING, make_op, make_reshape
from fullint.passes.engine import No, Rewrite


def conv_3d_as_2d(op: Op, uses: Uses) -> Rewrite | No | None:
    """CONV_3D as CONV_2D: it has no int8 kernel."""
    x, w = op.input(0), op.input(1)
    if op.kind != "CONV_3D" or x is None or w is None or not op.outputs[0].is_float:
        return None
    if w.buffer is None or w.dtype != "float32" or w.shape[3] != x.shape[4]:
        return No("its weights are computed at run time, or it is a grouped convolution")
    o, out = op.options, op.outputs[0]
    before, after = _depth_padding(op, x.shape[1], w.shape[0], out.shape[1])
    starts = np.arange(out.shape[1]) * o["stride_d"]
    windows = starts[:, None] + np.arange(w.shape[0])[None, :] * o["dilation_d_factor"]
    ops: list[Op] = []
    volume = _padded(x, before, after, ops)
    n, _, h, wide, c = x.shape
    image = _windows(volume, windows, out, (n, h, wide, c), ops)
    flat = _tensor(out, "flat", (n * out.shape[1], *out.shape[2:]))
    ops.append(_conv(op, image, w, flat))
    ops.append(make_reshape(flat, out))
    return Rewrite((op,), tuple(ops), f"CONV_3D written as a CONV_2D over windows of {w.shape[0]} planes")


def conv_3d_transpose_as_2d(op: Op, uses: Uses) -> Rewrite | No | None:
    """CONV_3D_TRANSPOSE as TRANSPOSE_CONV: it has no int8 kernel."""
    if op.kind != "CONV_3D_TRANSPOSE" or len(op.inputs) < 3 or not op.outputs[0].is_float:
        return None
    w, x, o, out = op.inputs[1], op.inputs[2], op.options, op.outputs[0]
    if w is None or x is None or w.buffer is None or w.dtype != "float32" or any(n < 1 for n in out.shape):
        return No("its weights or its output size are computed at run time")
    if o["dilation_h_factor"] != 1 or o["dilation_w_factor"] != 1:
        return No("it has a dilation, which TRANSPOSE_CONV does not support")
    depth, (n, _, h, wide, c), kd = x.shape[1], x.shape, w.shape[0]
    reach = (kd - 1) * o["dilation_d_factor"] + 1
    same = o.get("padding") != PADDING["VALID"]
    pad = max((depth - 1) * o["stride_d"] + reach - out.shape[1], 0) // 2 if same else 0
    at = np.arange(out.shape[1])[:, None] + pad - np.arange(kd)[None, :] * o["dilation_d_factor"]
    inside = (at % o["stride_d"] == 0) & (at >= 0) & (at // o["stride_d"] < depth)
    windows = np.where(inside, at // o["stride_d"], depth)
    ops: list[Op] = []
    volume = _padded(x, 0, 1, ops)
    image = _windows(volume, windows, out, (n, h, wide, c), ops)
    flat = _tensor(out, "flat", (n * out.shape[1], *out.shape[2:]))
    weights = np.ascontiguousarray(w.array.transpose(3, 1, 2, 0, 4).reshape(w.shape[3], *w.shape[1:3], kd * c))
    sizes = constant(f"{out.name}/sizes", np.asarray(flat.shape, np.int32))
    bias = op.input(3) or constant(f"{out.name}/bias", np.zeros(w.shape[3], np.float32))
    ops.append(
        make_op(
            "TRANSPOSE_CONV",
            [sizes, constant(w.name, weights), image, bias],
            [flat],
            padding=o.get("padding", 0),
            stride_h=o["stride_h"],
            stride_w=o["stride_w"],
            fused_activation_function=o.get("fused_activation_function", 0),
        )
    )
    ops[-1].version = 4 if o.get("fused_activation_function") else 3
    ops.append(make_reshape(flat, out))
    return Rewrite((op,), tuple(ops), f"CONV_3D_TRANSPOSE written as a TRANSPOSE_CONV over windows of {kd} planes")


def _windows(volume: Tensor, windows: Array, out: Tensor, sizes: tuple[int, int, int, int], ops: list[Op]) -> Tensor:
    """The planes of each window as channels: [N D', H, W, kd C]."""
    n, h, wide, c = sizes
    planes = (n, *windows.shape, h, wide, c)
    picked = _tensor(out, "windows", planes)
    ops.append(make_op("GATHER", [volume, constant("windows", windows.astype(np.int32))], [picked], axis=1))
    turned = _tensor(out, "planes", tuple(planes[i] for i in (0, 1, 3, 4, 2, 5)))
    ops.append(make_op("TRANSPOSE", [picked, constant("order", np.array([0, 1, 3, 4, 2, 5], np.int32))], [turned]))
    image = _tensor(out, "image", (n * windows.shape[0], h, wide, windows.shape[1] * c))
    ops.append(make_reshape(turned, image))
    return image


def _depth_padding(op: Op, depth: int, kernel: int, result: int) -> tuple[int, int]:
    """Number of planes of zeros before and after, as in SAME padding."""
    if op.options.get("padding") == PADDING["VALID"]:
        return 0, 0
    reach = (kernel - 1) * op.options["dilation_d_factor"] + 1
    total = max((result - 1) * op.options["stride_d"] + reach - depth, 0)
    return total // 2, total - total // 2


def _padded(x: Tensor, before: int, after: int, ops: list[Op]) -> Tensor:
    if not before and not after:
        return x
    pads = np.zeros((5, 2), np.int32)
    pads[1] = before, after
    out = _tensor(x, "padded", (x.shape[0], x.shape[1] + before + after, *x.shape[2:]))
    ops.append(make_op("PAD", [x, constant("pads", pads)], [out]))
    return out


def _conv(op: Op, image: Tensor, w: Tensor, out: Tensor) -> Op:
    kd, kh, kw, c, f = w.shape
    weights = np.ascontiguousarray(w.array.transpose(4, 1, 2, 0, 3).reshape(f, kh, kw, kd * c))
    o, bias = op.options, op.input(2) or constant(f"{out.name}/bias", np.zeros(f, np.float32))
    return make_op(
        "CONV_2D",
        [image, constant(w.name, weights), bias],
        [out],
        padding=o.get("padding", 0),
        stride_h=o["stride_h"],
        stride_w=o["stride_w"],
        dilation_h_factor=o["dilation_h_factor"],
        dilation_w_factor=o["dilation_w_factor"],
        fused_activation_function=o.get("fused_activation_function", 0),
    )


def _tensor(like: Tensor, name: str, shape: tuple[int, ...]) -> Tensor:
    return Tensor(f"{like.name}/{name}", shape, "float32")
