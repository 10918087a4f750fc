"""What an operator with weights reads for each of its results, as tables of indices.

    y[p, o] = b[o] + sum over taps k, channels c of  W[o, k, c] * x[rows[p, k], c]

For a convolution, a tap is a place of its window; where it lies in the padding, the index is -1. Rows and columns of a picture
are separate, so that the tables stay small:

    y[r, s, o] = b[o] + sum over k, l, c of  W[o, k, l, c] * x[down[r, k], across[s, l], c]
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fullint.model.ir import Array, Op, Tensor


@dataclass(frozen=True, eq=False)
class Taps:
    """The tables of one operator.

    Attributes:
        batch: pictures in its input.
        size: rows and columns of its input.
        channels: of its input.
        down, across: row, and column, that each tap reads, int32 [rows of the result, taps] and [columns of the result, taps].
    """

    batch: int
    size: tuple[int, int]
    channels: int
    down: Array
    across: Array

    @property
    def window(self) -> int:
        """Taps in all."""
        return int(self.down.shape[1] * self.across.shape[1])

    @property
    def places(self) -> int:
        """Results of each channel."""
        return self.batch * len(self.down) * len(self.across)


def conv_taps(op: Op) -> Taps | None:
    """Of CONV_2D and DEPTHWISE_CONV_2D."""
    x, w, y = op.input(0), op.input(1), op.outputs[0]
    if x is None or w is None or len(x.shape) != 4 or 0 in x.shape:
        return None
    o = op.options
    down = _window(x.shape[1], y.shape[1], w.shape[1], o["stride_h"], o.get("dilation_h_factor", 1), o["padding"])
    across = _window(x.shape[2], y.shape[2], w.shape[2], o["stride_w"], o.get("dilation_w_factor", 1), o["padding"])
    return Taps(x.shape[0], (x.shape[1], x.shape[2]), x.shape[3], down, across)


def _window(size: int, results: int, taps: int, stride: int, dilation: int, padding: int) -> Array:
    """The index that each tap of each result reads; kernels/padding.h, ComputePaddingWithOffset."""
    reach = (taps - 1) * dilation + 1
    before = max((results - 1) * stride + reach - size, 0) // 2 if padding == 0 else 0
    found = np.arange(results)[:, None] * stride - before + np.arange(taps)[None] * dilation
    return np.where((found >= 0) & (found < size), found, -1).astype(np.int32)


def transpose_conv_taps(op: Op) -> Taps | None:
    """Of TRANSPOSE_CONV: result r has what tap k makes of row (r + before - k) / stride, where that is whole."""
    x, w, y = op.input(2), op.input(1), op.outputs[0]
    if x is None or w is None or len(x.shape) != 4 or len(y.shape) != 4 or 0 in x.shape:
        return None
    o = op.options
    down = _spread(x.shape[1], y.shape[1], w.shape[1], o["stride_h"], o["padding"])
    across = _spread(x.shape[2], y.shape[2], w.shape[2], o["stride_w"], o["padding"])
    return Taps(x.shape[0], (x.shape[1], x.shape[2]), x.shape[3], down, across)


def _spread(size: int, results: int, taps: int, stride: int, padding: int) -> Array:
    """The padding is that of the convolution from the result's size to the input's."""
    forward = -(-results // stride) if padding == 0 else (results - taps) // stride + 1
    before = max((forward - 1) * stride + taps - results, 0) // 2 if padding == 0 else 0
    at = np.arange(results)[:, None] + before - np.arange(taps)[None]
    whole = (at % stride == 0) & (at >= 0) & (at < size * stride)
    return np.where(whole, at // stride, -1).astype(np.int32)


def dense_taps(op: Op) -> Taps | None:
    """Of FULLY_CONNECTED: each row of the input gives one result."""
    x, w = op.input(0), op.input(1)
    if x is None or w is None or 0 in x.shape or not _divides(x, w):
        return None
    rows = x.size // w.shape[-1]
    return Taps(1, (rows, 1), w.shape[-1], np.arange(rows, dtype=np.int32)[:, None], np.zeros((1, 1), np.int32))


def _divides(x: Tensor, w: Tensor) -> bool:
    return len(w.shape) == 2 and w.shape[1] > 0 and x.size % w.shape[1] == 0
