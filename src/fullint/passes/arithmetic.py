"""Operators without a right int8 kernel that another operator equals exactly.

NEG(x)            =>   MUL(x, -1)
SUM(x, axes)      =>   MUL(MEAN(x, axes), N)          N = product of the reduced dimensions
"""

from __future__ import annotations

import numpy as np

from fullint.build import make_op
from fullint.ir import Op, Uses, constant, twin
from fullint.rewrite import No, Rewrite


def neg_as_mul(op: Op, uses: Uses) -> Rewrite | No | None:
    """NEG has an int8 kernel that ignores scales; a product with -1 has a right one everywhere."""
    if op.kind != "NEG" or not op.outputs[0].is_float:
        return None
    minus = constant(f"{op.outputs[0].name}/minus_one", np.float32(-1))
    return Rewrite((op,), (make_op("MUL", [op.inputs[0], minus], op.outputs),), "NEG written as MUL by -1")


def sum_as_mean(op: Op, uses: Uses) -> Rewrite | No | None:
    """The reference kernel of int8 SUM is wrong; MEAN is right on every kernel set."""
    x, axes = op.input(0), op.input(1)
    if op.kind != "SUM" or x is None or axes is None or not op.outputs[0].is_float:
        return None
    if axes.buffer is None or not x.shape:
        return No("its axes are computed at run time, empty, or of a scalar")
    count = int(np.prod([x.shape[int(a)] for a in np.unique(axes.array.reshape(-1) % max(len(x.shape), 1))]))
    out = op.outputs[0]
    mean = twin(out, f"{out.name}/mean")
    factor = constant(f"{out.name}/count", np.float32(count))
    new = (
        make_op("MEAN", op.inputs, [mean], keep_dims=op.options.get("keep_dims", False)),
        make_op("MUL", [mean, factor], [out]),
    )
    return Rewrite((op,), new, f"SUM written as MEAN times {count}")
