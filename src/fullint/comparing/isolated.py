"""Every group as it is alone: all groups side by side in one model, each with inputs of its own.

    integer   x' --A--> a' --B--> b'        =>        x' --A--> a'      a' --B--> b'      (`model.operators_alone`)
                                                          (inputs: x' and a', from the float model, quantized)

The error of a group is then its own. Beside it, the float group is run on the same inputs after rounding, with its weights
rounded: the error that no such integer group avoids. What is cut off of an input is the fault of the group that made it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fullint.comparing.groups import OperatorGroup
from fullint.model.ir import Array, Op, Tensor, constant, twin
from fullint.model.operators_alone import Isolated, copied, joined
from fullint.model.weights import PerAxis, PerTensor, WeightSpec
from fullint.ops import ROWS


def isolated(groups: Sequence[OperatorGroup], version: int) -> Isolated:
    """The integer operators of some groups."""
    given: dict[Tensor, Tensor] = {}
    ops: list[Op] = []
    results: dict[Tensor, Tensor] = {}
    for group in groups:
        made = {t: given.setdefault(t, twin(t)) for t in group.takes}
        ops += [copied(op, made, {}) for op in group.ops]
        results |= {t: made[t] for t in group.gives}
    return joined(given, ops, results, version)


def rounded(groups: Sequence[OperatorGroup], exact: Mapping[Tensor, Tensor], version: int) -> Isolated:
    """The float operators of some closed groups, with rounded weights."""
    given: dict[Tensor, Tensor] = {}
    ops: list[Op] = []
    results: dict[Tensor, Tensor] = {}
    for group in groups:
        made: dict[Tensor, Tensor] = {}
        for t in group.takes:
            own = given.setdefault(t, twin(exact[t], t.name))
            made[exact[t]] = own
        maker = weighted(group.ops)
        weights = constant_weights(maker) if maker is not None else None
        ops += [copied(op, made, _rounded_weights(op, weights)) for op in group.exact]
        results |= {t: made[exact[t]] for t in group.gives}
    return joined(given, ops, results, version)


def weighted(ops: Sequence[Op]) -> Op | None:
    """The operator that has constant weights; None where there is none, or more than one."""
    found = [op for op in ops if constant_weights(op) is not None]
    return found[0] if len(found) == 1 else None


def constant_weights(op: Op) -> Tensor | None:
    """The constant that an operator with weights multiplies with; None where it has none."""
    row = ROWS.get(op.kind)
    w = op.input(row.weight) if row is not None and row.weight is not None else None
    return w if w is not None and w.buffer is not None else None


def _rounded_weights(op: Op, integer: Tensor | None) -> dict[Tensor, Tensor]:
    """The weights of a float operator rounded as coarsely as the integer ones: per channel or per tensor, to as many bits."""
    w = constant_weights(op)
    if w is None or integer is None or integer.quant is None or w.dtype != "float32" or not w.size:
        return {}
    axis = ROWS[op.kind].axis if integer.quant.per_channel else None
    bits = 4 if integer.dtype == "int4" else 8
    steps = WeightSpec(bits, PerTensor() if axis is None else PerAxis(axis)).scales(w.array)
    along = steps.reshape([-1 if i == axis else 1 for i in range(w.array.ndim)])
    values: Array = (np.rint(w.array / along) * along).astype(np.float32)
    return {w: constant(w.name, values)}
