"""A constant that a stream adds goes into the biases of the layers that read the stream.

    FULLY_CONNECTED(ADD(x, s), W, b)              =>    FULLY_CONNECTED(x, W, b + W s)
    ADD(ADD(x, s), FULLY_CONNECTED(h, W, b))      =>    ADD(x, FULLY_CONNECTED(h, W, b + s))

Adding a constant to each row is the slowest of all int16 kernels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from fullint.model.ir import Array, Op, Tensor, Uses, constant, twin
from fullint.model.ranges import Range
from fullint.ops import ROWS, traits_of
from fullint.passes.fold_affine import is_dense

MOST_WIDER = 1.1
"""How much wider the range of a layer's result may become, which has 8 bits."""


@dataclass(frozen=True, eq=False)
class Shifted:
    """Readers of a stream without a constant.

    Attributes:
        instead: operator -> what it becomes.
        ranges: of results that have become others.
    """

    instead: Mapping[Op, Op]
    ranges: Mapping[Tensor, Range]


def shift_into_layers(t: Tensor, bare: Tensor, shift: Tensor, uses: Uses, ranges: Mapping[Tensor, Range]) -> Shifted | None:
    """All readers of a tensor, reading it without the constant; None where one of them cannot.

    Args:
        t: the tensor.
        bare: the same without the constant.
        shift: the constant.
        uses: of the graph.
        ranges: measured.
    """
    value = shift.array.reshape(-1)
    if t in uses.outputs or value.size not in (1, t.shape[-1]) or (shift.shape and shift.shape[-1] != value.size):
        return None
    value = np.broadcast_to(value, (t.shape[-1],)).astype(np.float32)
    instead: dict[Op, Op] = {}
    spans: dict[Tensor, Range] = {}
    waiting = [(t, bare)]
    while waiting:
        t, bare = waiting.pop()
        for reader, i in uses.of(t):
            way = _other_layer(reader, i, uses)
            if _keeps_rows(reader) and reader.outputs[0] not in uses.outputs:
                instead[reader] = _reading(reader, {t: bare}, [twin(reader.outputs[0])])
                waiting.append((reader.outputs[0], instead[reader].outputs[0]))
            elif _has_bias(reader) and i == ROWS[reader.kind].data:
                instead[reader] = _reading(_with_more_bias(reader, _weights(reader) @ value), {t: bare}, reader.outputs)
            elif way is not None and instead.keys().isdisjoint(way):
                made = way[0].outputs[0]
                span = _wider(ranges.get(made), value)
                if span is None:
                    return None
                others = {op.outputs[0]: twin(op.outputs[0]) for op in way}
                spans[others[made]] = span
                for op in way:
                    first = _with_more_bias(op, value) if op is way[0] else op
                    instead[op] = _reading(first, others, [others[op.outputs[0]]])
                instead[reader] = _reading(reader, {t: bare, **others}, reader.outputs)
            else:
                return None
    return Shifted(instead, spans)


def _reading(op: Op, others: Mapping[Tensor, Tensor], outputs: list[Tensor]) -> Op:
    inputs = [others.get(x, x) if x is not None else None for x in op.inputs]
    return replace(op, inputs=inputs, outputs=outputs)


def _keeps_rows(op: Op) -> bool:
    """Whether an operator only moves values, each in its channel."""
    traits, x = traits_of(op.kind), op.input(0)
    plain = traits.moves and traits.passes_means and not op.keep_float and x is not None and bool(x.shape)
    if not plain or x is None or traits.keeps_channels is None or not traits.keeps_channels(op):
        return False
    return x.shape[-1] == op.outputs[0].shape[-1]


def _has_bias(op: Op) -> bool:
    """Whether an operator multiplies each row with one matrix, and adds a constant."""
    return is_dense(op) and op.input(ROWS[op.kind].bias or 0) is not None


def _weights(op: Op) -> Array:
    w = op.inputs[ROWS[op.kind].weight or 0]
    assert w is not None
    return w.array


def _other_layer(op: Op, i: int, uses: Uses) -> list[Op] | None:
    """The layer whose result a sum adds to one of its operands, and the moves behind it, where only the sum reads it."""
    t = op.inputs[1 - i] if traits_of(op.kind).adds == (1, 1) else None
    way: list[Op] = []
    while t is not None and uses.only_reader(t) is not None and (made := uses.producer.get(t)) is not None:
        if t.size != op.outputs[0].size or t.shape[-1:] != op.outputs[0].shape[-1:]:
            return None
        way.insert(0, made)
        if _has_bias(made):
            return way if not made.options.get("fused_activation_function") else None
        t = made.inputs[0] if _keeps_rows(made) else None
    return None


def _wider(span: Range | None, shift: Array) -> Range | None:
    if span is None:
        return None
    wider = Range(span.low + min(float(shift.min()), 0.0), span.high + max(float(shift.max()), 0.0))
    return wider if wider.width <= MOST_WIDER * span.width else None


def _with_more_bias(op: Op, more: Array) -> Op:
    index = ROWS[op.kind].bias or 0
    bias = op.inputs[index]
    assert bias is not None
    inputs = list(op.inputs)
    inputs[index] = constant(bias.name, (bias.array.reshape(-1) + more).astype(np.float32))
    return replace(op, inputs=inputs)
