"""Operators that only work along the last axis, along any.

f(x, axis)    =>    TRANSPOSE, f along the last axis, TRANSPOSE back
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fullint.model.ir import Op, Tensor, constant, twin
from fullint.ops.make import make_op


def along(x: Tensor, out: Tensor, axis: int, last: Callable[[Tensor, Tensor], list[Op]]) -> list[Op]:
    """The operators of `last`, which work from one tensor to another along the last axis, with that axis brought there.

    Args:
        x, out: of the same rank.
        axis: not negative.
        last: makes the operators.
    """
    rank = len(x.shape)
    if axis == rank - 1:
        return last(x, out)
    order = [i for i in range(rank) if i != axis] + [axis]
    there, turned = twin(x, f"{out.name}/transposed"), twin(out, f"{out.name}/turned")
    there.shape = turned.shape = tuple(x.shape[i] for i in order)
    back = constant(f"{out.name}/back", np.argsort(order).astype(np.int32))
    return [
        make_op("TRANSPOSE", [x, constant(f"{out.name}/order", np.asarray(order, np.int32))], [there]),
        *last(there, turned),
        make_op("TRANSPOSE", [turned, back], [out]),
    ]
