"""Remove tests for NaN, which integers never are.

SELECT_V2(any(x != x), NaN, y)      =>    y
"""

from __future__ import annotations

import numpy as np

from fullint.model.ir import Op, Tensor, Uses
from fullint.ops.make import make_reshape
from fullint.passes.engine import Rewrite

_PASSING = ("REDUCE_ANY", "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "LOGICAL_OR", "TRANSPOSE")
_DEPTH = 8


def nan_branch(op: Op, uses: Uses) -> Rewrite | None:
    """Remove a SELECT that returns NaN if any input is NaN."""
    if op.kind not in ("SELECT", "SELECT_V2") or not op.outputs[0].is_float:
        return None
    condition, yes, y = op.inputs
    nothing = yes is not None and yes.buffer is not None and yes.dtype == "float32" and np.isnan(yes.array).all()
    if y is None or condition is None or not nothing or not _is_nan(condition, uses, _DEPTH) or y.shape != op.outputs[0].shape:
        return None
    return Rewrite((op,), (make_reshape(y, op.outputs[0]),), "an integer is never NaN")


def _is_nan(t: Tensor, uses: Uses, depth: int) -> bool:
    op = uses.producer.get(t)
    if op is None or depth == 0:
        return False
    if op.kind == "NOT_EQUAL":
        return op.inputs[0] is op.inputs[1]
    bools = [x for x in op.inputs if x is not None and x.dtype == "bool"]
    return op.kind in _PASSING and bool(bools) and all(_is_nan(x, uses, depth - 1) for x in bools)
