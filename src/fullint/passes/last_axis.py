"""Apply an operator that works along the last axis only to any axis.

f(x, axis)    =>    TRANSPOSE, f along the last axis, TRANSPOSE back
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fullint.model.ir import Op, Tensor, constant, twin
from fullint.ops.make import make_op


def along(x: Tensor, out: Tensor, axis: int, last: Callable[[Tensor, Tensor], list[Op]]) -> list[Op]:
    """Operators that apply `last` along `axis`, with a TRANSPOSE before and after if that is not the last axis.

    Args:
        x, out: input and output tensors of the same rank.
        axis: the axis, not negative.
        last: (input, output) -> operators that work along the last axis.
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
