"""MediaPipe's custom operators, written with TFLite builtins.

    Convolution2DTransposeBias(x, w, b)       =>   TRANSPOSE_CONV(shape, w, x, b)

    MaxPoolingWithArgmax2D(x) -> p, where     =>   p = MAX_POOL_2D(x)       with windows that do not overlap
    MaxUnpooling2D(y, where)                  =>   x_k = STRIDED_SLICE(x)   value k of each window
                                                   first_k = x_k == p and none before it
                                                   DEPTH_TO_SPACE(CONCATENATION over k of SELECT_V2(first_k, y, 0))

Sizes and padding are MediaPipe's (mediapipe/util/tflite/operations), whose options are C structures of int32:
TfLiteTransposeConvParams is padding, stride width, stride height; TfLitePoolParams padding, stride width, stride height,
filter width, filter height, activation. Padding is 1 for SAME, 2 for VALID.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fullint.model.ir import Op, Tensor, Uses, constant
from fullint.ops.make import PADDING, make_op
from fullint.passes.engine import No, Rewrite

TRANSPOSED, POOLED, UNPOOLED = "Convolution2DTransposeBias", "MaxPoolingWithArgmax2D", "MaxUnpooling2D"
FROM_MEDIAPIPE = frozenset({TRANSPOSED, POOLED, UNPOOLED})
"""Operators that can be written with builtins."""
_PADDINGS = {1: "SAME", 2: "VALID"}
_NO_OPTIONS = "its options cannot be read"


def transpose_conv_with_bias(op: Op, uses: Uses) -> Rewrite | No | None:
    """Rewrite a transposed convolution with a bias."""
    if op.custom_code != TRANSPOSED:
        return None
    said = _integers(op, 3)
    x, w, b = (op.input(i) for i in range(3))
    if said is None or x is None or w is None or b is None or said[0] not in _PADDINGS or min(said[1:]) < 1:
        return No(_NO_OPTIONS)
    if len(x.shape) != 4 or len(w.shape) != 4 or min(x.shape) < 1:
        return No("its input or weights do not have four known dimensions")
    padding, strides, out = _PADDINGS[said[0]], (said[2], said[1]), op.outputs[0]
    high, wide = (_transposed(x.shape[i], w.shape[i], s, padding) for i, s in ((1, strides[0]), (2, strides[1])))
    shaped = replace(out, shape=(x.shape[0], high, wide, w.shape[0]))
    size = constant(f"{out.name}/shape", np.asarray(shaped.shape, np.int32))
    new = make_op("TRANSPOSE_CONV", [size, w, x, b], [out], padding=PADDING[padding], stride_h=strides[0], stride_w=strides[1])
    return Rewrite((op,), (new,), f"{TRANSPOSED} written as TRANSPOSE_CONV", {out: shaped})


def _transposed(size: int, taps: int, stride: int, padding: str) -> int:
    """Length of what a transposed convolution makes of `size` values."""
    cut = max(0, taps - (size - 1) % stride - 1) if padding == "SAME" else 0
    return stride * (size - 1) + taps - cut


def pool_without_indices(op: Op, uses: Uses) -> Rewrite | No | None:
    """Rewrite a pooling whose indices nobody reads, or nobody any longer."""
    if op.custom_code != POOLED:
        return None
    windows, x = _Windows.of(op), op.input(0)
    if windows is None or x is None:
        return No("its windows overlap, or do not divide its input")
    if op.outputs[1] in uses.outputs or uses.of(op.outputs[1]):
        return No(f"something else than {UNPOOLED} with the same windows reads its indices")
    small = replace(op.outputs[0], shape=windows.pooled(x))
    sizes = {"filter_height": windows.high, "filter_width": windows.wide, "stride_h": windows.high, "stride_w": windows.wide}
    new = make_op("MAX_POOL_2D", [x], [op.outputs[0]], padding=PADDING["VALID"], **sizes)
    return Rewrite((op,), (new,), f"{POOLED} written as MAX_POOL_2D", {op.outputs[0]: small})


def unpool(op: Op, uses: Uses) -> Rewrite | No | None:
    """Rewrite an unpooling that puts values back where a pooling found its own."""
    if op.custom_code != UNPOOLED:
        return None
    y, where = op.input(0), op.input(1)
    pool = uses.producer.get(where) if where is not None else None
    if pool is None or pool.custom_code != POOLED or y is None:
        return No(f"its indices do not come from {POOLED}")
    x, windows = pool.input(0), _Windows.of(pool)
    if x is None or windows is None or _Windows.of(op, pool) != windows or y.shape != windows.pooled(x):
        return No("its windows overlap, do not divide the image, or are not those of the pooling")
    return _unpooled(op, y, x, pool.outputs[0], windows)


def _unpooled(op: Op, y: Tensor, x: Tensor, p: Tensor, windows: _Windows) -> Rewrite:
    """Values `y` where `x` has the first value of each window that equals the pooled `p`, and zeros elsewhere."""
    out, ops = op.outputs[0], list[Op]()

    def made(kind: str, inputs: Sequence[Tensor], name: str, dtype: str) -> Tensor:
        t = Tensor(f"{out.name}/{name}", y.shape, dtype)
        ops.append(make_op(kind, inputs, [t]))
        return t

    zero = constant(f"{out.name}/zero", np.zeros((1,) * 4, np.float32))
    parts, taken = list[Tensor](), None
    for k in range(windows.high * windows.wide):
        value = made("STRIDED_SLICE", [x, *windows.slice(k, x, out.name)], f"value{k}", x.dtype)
        here = made("EQUAL", [value, p], f"equal{k}", "bool")
        first = here
        if taken is not None:
            first = made("LOGICAL_AND", [here, made("LOGICAL_NOT", [taken], f"free{k}", "bool")], f"first{k}", "bool")
        taken = here if taken is None else made("LOGICAL_OR", [taken, here], f"taken{k}", "bool")
        parts.append(made("SELECT_V2", [first, y, zero], f"part{k}", y.dtype))
    joined = Tensor(f"{out.name}/parts", (*y.shape[:3], y.shape[3] * len(parts)), y.dtype)
    ops.append(make_op("CONCATENATION", parts, [joined], axis=3))
    ops.append(make_op("DEPTH_TO_SPACE", [joined], [out], block_size=windows.high))
    return Rewrite((op,), tuple(ops), f"{UNPOOLED} written with builtins", {out: replace(out, shape=x.shape)})


@dataclass(frozen=True)
class _Windows:
    """Windows that lie side by side and fill the image."""

    high: int
    wide: int

    @classmethod
    def of(cls, op: Op, pool: Op | None = None) -> _Windows | None:
        """Those of an operator; None where they overlap, or do not fill the image that `pool` reads."""
        said, x = _integers(op, 6), (pool or op).input(0)
        if said is None or x is None or len(x.shape) != 4:
            return None
        _, stride_w, stride_h, wide, high, activation = said
        square = wide == high and (stride_w, stride_h) == (wide, high) and wide > 1
        fills = square and x.shape[1] % high == 0 and x.shape[2] % wide == 0
        return cls(high, wide) if fills and activation == 0 else None

    def pooled(self, x: Tensor) -> tuple[int, ...]:
        """Shape of an image with a value for each window."""
        return (x.shape[0], x.shape[1] // self.high, x.shape[2] // self.wide, x.shape[3])

    def slice(self, k: int, x: Tensor, name: str) -> list[Tensor]:
        """Begin, end and strides of a STRIDED_SLICE that takes value k of each window."""
        begin, strides = (0, k // self.wide, k % self.wide, 0), (1, self.high, self.wide, 1)
        limits = {"begin": begin, "end": x.shape, "strides": strides}
        return [constant(f"{name}/{what}{k}", np.asarray(v, np.int32)) for what, v in limits.items()]


def _integers(op: Op, count: int) -> tuple[int, ...] | None:
    """The first options of an operator, as int32; None where there are fewer."""
    data = op.custom_options.tobytes() if op.custom_options is not None else b""
    return tuple(map(int, np.frombuffer(data, "<i4", count))) if len(data) >= 4 * count else None
