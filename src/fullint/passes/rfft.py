"""RFFT2D of constant length written as products with cosines and sines.

    REAL(RFFT2D(x))          =>    x . C            C[n, k] =  cos(2 pi n k / N)
    IMAG(RFFT2D(x))          =>    x . S            S[n, k] = -sin(2 pi n k / N)
    COMPLEX_ABS(RFFT2D(x))   =>    SQRT((x . C)^2 + (x . S)^2)

No complex value is left. Only one-dimensional transforms, as in audio front ends, are supported.
"""

from __future__ import annotations

import numpy as np

from fullint.model.ir import Array, Op, Tensor, Uses, constant, twin
from fullint.ops.make import make_op, make_reshape
from fullint.passes.engine import No, Rewrite

MOST_POINTS = 4096


def rfft_as_dense(op: Op, uses: Uses) -> Rewrite | No | None:
    """Rewrite the readers of a spectrum; the RFFT2D itself is dropped once it has no readers."""
    if op.kind not in ("REAL", "IMAG", "COMPLEX_ABS") or not op.outputs[0].is_float:
        return None
    fft = _transform(op.inputs[0], uses)
    if fft is None:
        return None
    x, length, out = fft.inputs[0], fft.inputs[1], op.outputs[0]
    assert x is not None
    if length is None or length.buffer is None or length.array.reshape(-1)[0] != 1 or x.shape[-2] != 1:
        return No("its transform is two-dimensional, or has a length computed at run time")
    n = int(length.array.reshape(-1)[1])
    if n != x.shape[-1] or n > MOST_POINTS:
        return No(f"its transform of {x.shape[-1]} values has length {n}; both must be equal and at most 4096")
    angle = 2 * np.pi * np.outer(np.arange(n // 2 + 1), np.arange(n)) / n
    cosines, sines = (np.where(np.abs(w) < 1e-12, 0, w).astype(np.float32) for w in (np.cos(angle), -np.sin(angle)))
    if op.kind != "COMPLEX_ABS":
        matrix = cosines if op.kind == "REAL" else sines
        return Rewrite((op,), tuple(_dense(x, out, matrix)), f"{op.kind} of an RFFT2D of {n} values written as FULLY_CONNECTED")
    parts = [twin(out, f"{out.name}/{name}") for name in ("real", "imaginary")]
    squares = [twin(out, f"{p.name}/square") for p in parts]
    total = twin(out, f"{out.name}/energy")
    new = [*_dense(x, parts[0], cosines), *_dense(x, parts[1], sines)]
    new += [make_op("MUL", [p, p], [s]) for p, s in zip(parts, squares, strict=True)]
    new += [make_op("ADD", squares, [total]), make_op("SQRT", [total], [out])]
    return Rewrite((op,), tuple(new), f"COMPLEX_ABS of an RFFT2D of {n} values written with FULLY_CONNECTED and SQRT")


def _transform(t: Tensor | None, uses: Uses) -> Op | None:
    """The RFFT2D that produced a spectrum, looking through reshapes; None if there is none."""
    op = uses.producer.get(t) if t is not None else None
    while op is not None and op.kind in ("RESHAPE", "SQUEEZE", "EXPAND_DIMS"):
        t = op.inputs[0]
        op = uses.producer.get(t) if t is not None else None
    return op if op is not None and op.kind == "RFFT2D" else None


def _dense(x: Tensor, out: Tensor, matrix: Array) -> list[Op]:
    """The product with `matrix` over the last axis, in the shape of `out`."""
    sums = Tensor(f"{out.name}/sums", (*x.shape[:-1], matrix.shape[0]), "float32")
    weights = constant(f"{out.name}/waves", np.ascontiguousarray(matrix))
    return [
        make_op("FULLY_CONNECTED", [x, weights, None], [sums], keep_num_dims=True),
        make_reshape(sums, out),
    ]
