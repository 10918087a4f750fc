"""A product with a constant matrix is a layer, whose weights have a scale per channel and whose results have a bias.

x [..., K] --BATCH_MATMUL, constant [K, N]--> y        =>        x --FULLY_CONNECTED, weights [N, K], keep_num_dims--> y
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fullint.model.ir import Op, Tensor, Uses, constant
from fullint.ops.make import make_op
from fullint.passes.engine import Rewrite


def matmuls_as_dense() -> Callable[[Op, Uses], Rewrite | None]:
    """The rule; products that share their matrix share the weights, too."""
    known: dict[tuple[Tensor, bool], Tensor] = {}

    def matmul_as_dense(op: Op, uses: Uses) -> Rewrite | None:
        return _as_layer(op, known)

    return matmul_as_dense


def _as_layer(op: Op, known: dict[tuple[Tensor, bool], Tensor]) -> Rewrite | None:
    """BATCH_MATMUL of one constant matrix as FULLY_CONNECTED."""
    x, w = op.input(0), op.input(1)
    if op.kind != "BATCH_MATMUL" or x is None or w is None or op.options.get("adj_x"):
        return None
    one = w.buffer is not None and w.dtype == "float32" and w.quant is None and w.size == int(np.prod(w.shape[-2:]))
    if not one or x.is_constant or not 2 <= len(w.shape) <= len(x.shape) or op.outputs[0].dtype != "float32":
        return None
    key = w, bool(op.options.get("adj_y"))
    if key not in known:
        matrix = w.array.reshape(w.shape[-2:])
        known[key] = constant(w.name, matrix if key[1] else np.ascontiguousarray(matrix.T))
    new = make_op("FULLY_CONNECTED", [x, known[key], None], [op.outputs[0]], keep_num_dims=True)
    return Rewrite((op,), (new,), "BATCH_MATMUL with a constant matrix written as FULLY_CONNECTED")
