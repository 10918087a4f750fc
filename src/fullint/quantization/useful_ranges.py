"""Which part of a tensor's range makes a difference to those who read it.

    LOGISTIC(x)                  beyond [-7, 7] nothing changes by half a step
    SOFTMAX(x)                   what is 16 below the row's largest value has exp(-16) of its share: nothing
    SOFTMAX(s + mask)            so a mask of -1e38 may be -16 - max(s), and s keeps its steps
    a + b useful in [l, h]   =>  a useful in [l - max(b), h - min(b)]
    a * c useful in [l, h]   =>  a useful in [l, h] / c, of all constants c
    x > c1, c2                   x far beyond them is of no interest
    QUANTIZE(x)                  nor what its parameters cannot hold

Worked out from readers to producers; a tensor that several read keeps what any of them needs. (Smallest
rows' maxima of softmax inputs are measured where a model has masks.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from fullint.calibration.masks import MASK
from fullint.model.ir import Model, Op, Tensor, Uses
from fullint.model.numerics import as_activation, representable
from fullint.model.ranges import WHOLE, Range
from fullint.ops import ROWS, Role, Same, traits_of
from fullint.quantization.element_types import ElementTypes

SOFTMAX_DEPTH = 16.0
FACTOR_ROOM = 8.0
SMALLEST_FACTOR = 1e-30
COMPARISON_ROOM = 1 / 64
"""Of the range: four steps of 255."""


def useful(
    model: Model,
    ranges: Mapping[Tensor, Range],
    row_maxima: Mapping[Tensor, float],
    types: ElementTypes | None = None,
) -> dict[Tensor, Range]:
    """The useful part of each tensor's range, where it is not all of it.

    Args:
        model: prepared.
        ranges: measured, and of tensors that share parameters with a measured one.
        row_maxima: smallest maximum over the last axis, of softmax inputs.
        types: element types that operators compute in; int8 by default.
    """
    found: dict[Tensor, Range] = {}
    types = types or ElementTypes()
    for graph in model.graphs:
        uses = Uses(graph)
        for op in reversed(graph.ops):
            for t in op.outputs:
                if t.dtype == "float32" and t not in uses.outputs and (readers := uses.of(t)):
                    needs = [_need(reader, i, found, ranges, row_maxima, types.of(reader)) for reader, i in readers]
                    span = Range.union_of(needs)
                    if span != WHOLE and span.low < span.high:
                        found[t] = span
    return found


def mask_ranges(model: Model, found: Mapping[Tensor, Range], ranges: Mapping[Tensor, Range]) -> dict[tuple[Op, int], Range]:
    """The useful part of constants that look like masks, by (operator, operand).

    A factor is not cut as close as a term: half of it must still mask.
    """
    masks: dict[tuple[Op, int], Range] = {}
    for _, op in model.ops():
        out = found.get(op.outputs[0]) if op.outputs and _sums_or_scales(op) else None
        for i, t in enumerate(op.inputs if out is not None else ()):
            if out is None or t is None or t.buffer is None or t.dtype != "float32" or not t.size:
                continue
            if float(np.abs(t.array).max()) > MASK:
                if traits_of(op.kind).multiplies:
                    masks[op, i] = out.with_zero().scale(FACTOR_ROOM)
                else:
                    masks[op, i] = _term(op, i, out, found, ranges)
    return masks


def _sums_or_scales(op: Op) -> bool:
    traits = traits_of(op.kind)
    return traits.adds is not None or traits.multiplies


def _need(
    op: Op, index: int, found: Mapping[Tensor, Range], ranges: Mapping[Tensor, Range], maxima: Mapping[Tensor, float], kind: str
) -> Range:
    """What one reader, which computes in an element type, can tell apart."""
    row, t = ROWS.get(op.kind), op.inputs[index]
    if op.kind == "QUANTIZE":
        return representable(*given) if (given := as_activation(op.outputs[0])) is not None else WHOLE
    if row is None or t is None or op.keep_float:
        return WHOLE
    if row.traits.compares:
        return _compared(op.input(1 - index))
    most = row.saturates if kind == "int8" else row.int16_saturates
    if most is not None:
        return Range(-most, most)
    if row.traits.softmax:
        low = maxima.get(t)
        depth = SOFTMAX_DEPTH / max(op.options.get("beta", 1.0), 1e-6)
        return Range(low - depth, math.inf) if low is not None else WHOLE
    out = found.get(op.outputs[0], WHOLE) if len(op.outputs) == 1 else WHOLE
    if out == WHOLE or op.options.get("fused_activation_function"):
        return WHOLE
    if row.role(index) is Role.SAME and isinstance(row.output(0), Same):
        return WHOLE if row.traits.averages else out  # the average of saturated values is not the saturated average
    if row.traits.adds is not None and len(op.inputs) == 2:
        return _term(op, index, out, found, ranges)
    return _factor(op.input(1 - index), out) if row.traits.multiplies else WHOLE


def _factor(other: Tensor | None, out: Range) -> Range:
    """A factor beside a constant, given what is useful of the product."""
    if other is None or other.buffer is None or other.dtype != "float32" or not np.isfinite([*out]).all():
        return WHOLE
    values = other.array[np.abs(other.array) > SMALLEST_FACTOR]
    if not values.size:
        return WHOLE
    return Range.of(np.stack([out.low / values, out.high / values]))


def _compared(constants: Tensor | None) -> Range:
    """What a comparison with different constants tells apart: from the smallest to the largest, and a few steps beyond.

    Without these, what lies beyond would be cut off at the very code of the last constant, and be equal to it.
    """
    if constants is None or constants.buffer is None or constants.dtype != "float32" or not constants.size:
        return WHOLE
    span = Range.of(constants.array)
    room = span.with_zero().width * COMPARISON_ROOM
    return Range(span.low - room, span.high + room) if span.low < span.high else WHOLE


def _term(op: Op, index: int, out: Range, found: Mapping[Tensor, Range], ranges: Mapping[Tensor, Range]) -> Range:
    """A term of a sum or difference, given what is useful of the result."""
    other = op.inputs[1 - index]
    span = _span(other, found, ranges)
    if span is None:
        return WHOLE
    if traits_of(op.kind).adds == (1, 1):
        return Range(out.low - span.high, out.high - span.low)
    return Range(out.low + span.low, out.high + span.high) if index == 0 else Range(span.low - out.high, span.high - out.low)


def _span(t: Tensor | None, found: Mapping[Tensor, Range], ranges: Mapping[Tensor, Range]) -> Range | None:
    if t is not None and t.buffer is not None and t.size:
        return Range.of(t.array)
    return ranges.get(t) if t is not None else None
