"""Sums over windows written as products with a constant matrix of ones.

    CUMSUM(x, axis)                       =>   x . T            T[j, i] = 1 where element j is part of sum i
    LOCAL_RESPONSE_NORMALIZATION(x)       =>   x * (bias + alpha * (x^2 . B))^-beta
                                               B[j, i] = 1 where |i - j| <= radius

Ones are exact in int8 and the sums are computed in int32, so only the result is rounded. (A sum along an axis other than
the last is transposed there and back.)
"""

from __future__ import annotations

import numpy as np

from fullint.model.ir import Array, Op, Tensor, Uses, constant, twin
from fullint.ops.make import make_op, make_reshape
from fullint.passes.engine import No, Rewrite
from fullint.passes.last_axis import along

MOST_TERMS = 4096
"""Longest axis: the matrix takes its square in bytes."""


def cumsum_as_dense(op: Op, uses: Uses) -> Rewrite | No | None:
    """CUMSUM as FULLY_CONNECTED: it has no int8 kernel."""
    x, axis = op.input(0), op.input(1)
    if op.kind != "CUMSUM" or x is None or axis is None or not op.outputs[0].is_float:
        return None
    if axis.buffer is None or not x.shape:
        return No("its axis is computed at run time")
    at = int(axis.array.reshape(-1)[0]) % len(x.shape)
    n = x.shape[at]
    if n > MOST_TERMS:
        return No(f"it sums {n} elements; at most {MOST_TERMS} can be written as a matrix product")
    ones = np.tril(np.ones((n, n), np.float32), -1 if op.options.get("exclusive") else 0)
    if op.options.get("reverse"):
        ones = ones[::-1, ::-1]
    flat = len(x.shape) > 4 or at != len(x.shape) - 1
    new = along(x, op.outputs[0], at, lambda a, b: _sums(a, b, ones, flat=flat))
    return Rewrite((op,), tuple(new), f"CUMSUM written as a product with a triangle of {n} x {n} ones")


def _sums(x: Tensor, out: Tensor, matrix: Array, *, flat: bool) -> list[Op]:
    """FULLY_CONNECTED along the last axis; `flat`: reshaped to a matrix, since XNNPACK supports at most four dimensions."""
    weights, n = constant(f"{out.name}/ones", np.ascontiguousarray(matrix)), x.shape[-1]
    if not flat:
        return [make_op("FULLY_CONNECTED", [x, weights, None], [out], keep_num_dims=len(x.shape) != 2)]
    rows, sums = (Tensor(f"{out.name}/{name}", (x.size // n, n), "float32") for name in ("flat", "sums"))
    return [make_reshape(x, rows), make_op("FULLY_CONNECTED", [rows, weights, None], [sums]), make_reshape(sums, out)]


def lrn_as_product(op: Op, uses: Uses) -> Rewrite | No | None:
    """LOCAL_RESPONSE_NORMALIZATION as CONV_2D, POW and MUL: it has no int8 kernel."""
    x = op.input(0)
    if op.kind != "LOCAL_RESPONSE_NORMALIZATION" or x is None or not op.outputs[0].is_float:
        return None
    out, n = op.outputs[0], x.shape[-1]
    if n > MOST_TERMS:
        return No(f"it has {n} channels; at most {MOST_TERMS} can be written as a matrix product")
    o = op.options
    apart = np.abs(np.arange(n)[:, None] - np.arange(n)[None, :])
    band = (apart <= o.get("radius", 0)).astype(np.float32) * np.float32(o.get("alpha", 0.0))
    square, total, share = (twin(x, f"{out.name}/{s}") for s in ("square", "sum", "share"))
    weights = constant(f"{out.name}/band", band.reshape(n, 1, 1, n))
    bias = constant(f"{out.name}/bias", np.full(n, o.get("bias", 0.0), np.float32))
    exponent = constant(f"{out.name}/exponent", np.float32(-o.get("beta", 0.0)))
    new = (
        make_op("MUL", [x, x], [square]),
        make_op("CONV_2D", [square, weights, bias], [total], stride_w=1, stride_h=1, dilation_w_factor=1, dilation_h_factor=1),
        make_op("POW", [total, exponent], [share]),
        make_op("MUL", [x, share], [out]),
    )
    return Rewrite((op,), new, "LOCAL_RESPONSE_NORMALIZATION written as MUL, CONV_2D, POW, MUL")
