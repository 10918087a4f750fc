"""An average over the whole picture gets steps of its own.

x [N,H,W,C] --AVERAGE_POOL_2D, H x W--> y [N,1,1,C]        =>        x --MEAN, axes 1 and 2, keep_dims--> y

The kernels of AVERAGE_POOL_2D do not rescale, so its result has the steps of what it averages, although its range is much
narrower. MEAN rescales. Every target that takes the one takes the other (`delegates`; Vela and the Edge TPU
compiler document MEAN over height and width).
"""

from __future__ import annotations

import numpy as np

from fullint.model.ir import Op, Uses, constant
from fullint.ops.make import ACTIVATIONS, make_op
from fullint.passes.engine import No, Rewrite


def whole_pool_as_mean(op: Op, uses: Uses) -> Rewrite | No | None:
    """AVERAGE_POOL_2D of the whole picture as MEAN."""
    x, y = op.input(0), op.outputs[0] if op.outputs else None
    if op.kind != "AVERAGE_POOL_2D" or x is None or y is None or y.dtype != "float32" or len(x.shape) != 4:
        return None
    whole = op.options["filter_height"] >= x.shape[1] and op.options["filter_width"] >= x.shape[2] and y.shape[1:3] == (1, 1)
    if not whole or x.shape[1:3] == (1, 1):
        return None
    if op.options.get("fused_activation_function", ACTIVATIONS["NONE"]) != ACTIVATIONS["NONE"]:
        return No("MEAN has no fused activation")
    axes = constant(f"{y.name}/axes", np.array([1, 2], np.int32))
    return Rewrite(
        (op,), (make_op("MEAN", [x, axes], [y], keep_dims=True),), "average of the whole picture, with steps of its own"
    )
