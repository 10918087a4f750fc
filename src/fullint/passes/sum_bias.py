"""A constant behind a sum goes into the bias of an operand that only the sum reads.

    ADD(ADD(FULLY_CONNECTED(x, W), h), c)    =>   ADD(FULLY_CONNECTED(x, W, c), h)
    SUB(SUB(h, CONV_2D(x, W, b)), c)         =>   SUB(h, CONV_2D(x, W, b + c))

So exporters write the gates of recurrent cells: W x + U h + b. In integers the sum is rounded once instead of twice. Between
operand and sum, and between two sums, there may be moves that keep channels in place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fullint.model.ir import Array, Op, Tensor, Uses, constant, twin
from fullint.ops import ROWS, traits_of
from fullint.passes.engine import Rewrite
from fullint.passes.fold_affine import has_constant_weights, per_channel, with_constant, with_weights


@dataclass(frozen=True, eq=False)
class _Way:
    """From an operator with a bias to the sum in front of a constant.

    Attributes:
        ops: the operators, the sum last.
        sign: of the first one's result in the sum.
    """

    ops: tuple[Op, ...]
    sign: int


def constant_into_bias(op: Op, uses: Uses) -> Rewrite | None:
    """A constant added to, or subtracted from, a sum."""
    signs = traits_of(op.kind).adds
    match = with_constant(op)
    if signs is None or match is None:
        return None
    x, c, swapped = match
    if signs[1 if swapped else 0] < 0 or x.shape != op.outputs[0].shape:
        return None
    vector = per_channel(c.array, x.shape, x.shape[-1]) if x.shape else None
    way = _way_to(x, uses) if vector is not None else None
    if vector is None or way is None or len(way.ops) == 1:
        return None
    new = _moved(way, op, vector * (signs[0 if swapped else 1] * way.sign))
    return Rewrite((*way.ops, op), new, f"{op.kind} of a constant behind a sum folded into the {way.ops[0].kind} in front of it")


def _way_to(t: Tensor, uses: Uses) -> _Way | None:
    """The way to a sum from an operator with a bias, where nothing else reads what is made on it; from one without bias first."""
    waiting: list[tuple[Tensor, int, tuple[Op, ...]]] = [(t, 1, ())]
    found: list[_Way] = []
    while waiting:
        t, sign, behind = waiting.pop()
        op = uses.producer.get(t)
        if op is None or uses.only_reader(t) is None or op.options.get("fused_activation_function"):
            continue
        row, traits, ops = ROWS.get(op.kind), traits_of(op.kind), (op, *behind)
        if row is not None and row.weight is not None:
            found += [_Way(ops, sign)] if row.bias is not None and has_constant_weights(op) else []
            continue
        operands = [x for x in op.inputs if x is not None and x.shape[-1:] == t.shape[-1:]]
        if traits.adds is not None:
            waiting += [(x, sign * s, ops) for x, s in zip(op.inputs, traits.adds, strict=True) if x in operands]
        elif behind and traits.moves and traits.passes_means and traits.keeps_channels is not None and traits.keeps_channels(op):
            waiting += [(x, sign, ops) for x in operands[:1]]
    return min(found, key=_has_bias, default=None)


def _has_bias(way: _Way) -> bool:
    first = way.ops[0]
    return first.input(ROWS[first.kind].bias or 0) is not None


def _moved(way: _Way, last: Op, vector: Array) -> tuple[Op, ...]:
    """The operators on a way with the constant in the bias of the first; what they make has other values, in new tensors."""
    first = way.ops[0]
    row, made = ROWS[first.kind], first.outputs[0]
    weights, bias = first.inputs[row.weight or 0], first.input(row.bias or 0)
    assert weights is not None
    before = bias.array.reshape(-1) if bias is not None else np.float32(0)
    value = np.broadcast_to(before + vector, (made.shape[-1],)).astype(np.float32)
    ops = [with_weights(first, weights, constant(f"{made.name}/bias", value))]
    instead: dict[Tensor, Tensor] = {}
    for op in way.ops:
        t = op.outputs[0]
        instead[t] = last.outputs[0] if op is way.ops[-1] else twin(t)
    ops[0].outputs = [instead[made]]
    for op in way.ops[1:]:
        inputs = [instead.get(t, t) if t is not None else None for t in op.inputs]
        ops.append(Op(op.kind, inputs, [instead[op.outputs[0]]], {**op.options}, op.options_type, version=op.version))
    ops[-1].options["fused_activation_function"] = last.options.get("fused_activation_function", 0)
    return tuple(ops)
