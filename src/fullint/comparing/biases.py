"""The biases of both models: what an operator adds with all that its group adds, and whether that was lost.

float     x --CONV_2D(b)--> . --ADD(c)--> y         bias b + c
integer   x'--CONV_2D(codes 0)----------> y'        lost: no quantizer rounds all of it away, and corrections never make it zero
          x'--CONV_2D(2^31 - 1)---------> y'        lost in this channel: cut off, since its scale is too small, as tools choose
                                                    it where all weights of a channel are zero
"""

from __future__ import annotations

import numpy as np

from fullint.comparing.groups import OperatorGroup
from fullint.comparing.isolated import weighted
from fullint.model.ir import Array, Op
from fullint.model.numerics import saturated
from fullint.ops import ROWS
from fullint.ops.traits import traits_of

CERTAIN_STEPS = 8.0
"""Of the bias: a value of so many steps is not rounded to zero."""
MUCH = 2.0
"""Times as large as what is left of it."""


def bias_of(op: Op, group: OperatorGroup) -> Array | None:
    """The bias of an operator, with the constants that its group adds; None where it has none, or something else is done."""
    row = ROWS[op.kind]
    total = np.zeros(op.outputs[0].shape[-1])
    given = [op.input(row.bias)] if row.bias is not None else []
    for other in group.exact:
        constants = [t for t in other.inputs if t is not None and t.is_constant]
        if other is not op and traits_of(other.kind).adds == (1, 1):
            given += constants
        elif other is not op and not traits_of(other.kind).homogeneous:
            return None
    for t in given:
        if t is not None:
            if t.buffer is None or t.dtype != "float32" or t.size not in (1, total.size):
                return None
            total = total + t.array.reshape(-1)
    return total if total.any() else None


def lost_bias(group: OperatorGroup) -> tuple[int, ...]:
    """Channels whose bias is cut off at an end of int32; all, where it is zero and that of the float model is not."""
    op, integer = weighted(group.exact), weighted(group.ops)
    place = ROWS[integer.kind].bias if integer is not None else None
    b = integer.input(place) if integer is not None and place is not None else None
    wanted = bias_of(op, group) if op is not None else None
    if b is None or wanted is None or b.buffer is None or b.quant is None or b.size != wanted.size:
        return ()
    found, codes = b.quant.scale * b.array.reshape(-1), b.array.reshape(-1)
    steps = np.abs(wanted) / np.maximum(np.broadcast_to(b.quant.scale, wanted.shape), 1e-30)
    if not codes.any():
        return tuple(range(codes.size)) if (steps > CERTAIN_STEPS).any() else ()
    cut_off = saturated(codes) & (np.abs(wanted) > MUCH * np.abs(found))
    return tuple(map(int, np.flatnonzero(cut_off)))
