"""Which scale and zero point each tensor gets, as a value that can be printed and tested.

    float model + measured ranges + options  ->  Assignment

Order: element types, then activations to a fixpoint (`scale_sharing`), then weights, then biases, since a bias's
scale is s_in * s_w. Each step reads the ones before and returns what it decides.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fullint.calibration.masks import Padding, paddings
from fullint.calibration.observed import demanded_ranges
from fullint.calibration.statistics import Measured
from fullint.model.ir import Array, Graph, Model, Op, Quant, Tensor
from fullint.model.numerics import BIAS_MAX, WIDE_BIAS_MAX, bias_scales, representable, scales_for_bias
from fullint.model.ranges import Range
from fullint.model.weights import WeightSpec
from fullint.ops import ROWS, Given, OpRow, Role
from fullint.ops.control_flow import Tie, ties
from fullint.quantization.assignment import Assignment, Encoding, Granularity, Operand
from fullint.quantization.element_types import ElementTypes, element_types
from fullint.quantization.scale_sharing import share_scales
from fullint.quantization.useful_ranges import mask_ranges, useful


def assign(
    model: Model,
    measured: Measured,
    granularity: Granularity | None = None,
    types: Mapping[Op, str] | None = None,
    inputs: str = "int8",
    pinned: Mapping[Tensor, tuple[Quant, str]] | None = None,
    symmetric: Collection[Tensor] = (),
) -> Assignment:
    """Decide all parameters of a model.

    Args:
        model: prepared, with no blockers.
        measured: by calibration.
        granularity: per channel unless it says otherwise.
        types: element type of operators that do not compute in `inputs`.
        inputs: element type of the model's inputs and of all other operators.
        pinned: parameters, with their type, that some tensors are to have.
        symmetric: activations that get zero point 0 where nothing demands another one.
    """
    returns: dict[Graph, Op] = {}
    tied = ties(model, returns)
    kinds = element_types(model, types or {}, inputs)
    pads = paddings(model)
    spans = spread(model, measured.ranges, tied, pads)
    crossing = {t: spans[t] for tie in tied for t in (tie.anchor, *tie.hard) if t in spans}
    needed = useful(model, spans, measured.row_maxima, kinds)
    masks = mask_ranges(model, needed, spans)
    masks |= _of_paddings(pads, spans)
    shared = share_scales(model, {**measured.ranges, **crossing}, needed, masks, tied, kinds, pinned or {}, symmetric)
    activations = Assignment(_one_map(shared.tensors, shared.operands))
    weights, notes = _weights(model, activations, granularity or Granularity(), kinds)
    derived, intermediates = _derived(model, activations, measured.state)
    encodings = _one_map(activations.encodings, weights, derived)
    return Assignment(encodings, inputs, intermediates, returns, cuts=shared.cuts, notes=(*shared.notes, *notes))


def _of_paddings(pads: Mapping[Operand, Padding], spans: Mapping[Tensor, Range]) -> dict[Operand, Range]:
    """The useful part of constants that are padding in front of a maximum."""
    found: dict[Operand, Range] = {}
    for (op, i), pad in pads.items():
        t = op.inputs[i]
        span = pad.needed(Range.of(t.array), spans) if t is not None else None
        if span is not None:
            found[op, i] = span
    return found


def _one_map(*parts: Mapping[Any, Encoding]) -> dict[Tensor | Operand, Encoding]:
    return {key: encoding for part in parts for key, encoding in part.items()}


def spread(model: Model, ranges: Mapping[Tensor, Range], tied: Sequence[Tie], pads: Collection[Operand]) -> dict[Tensor, Range]:
    """Ranges of tensors that only pass measured values on, too: moved ones (but for padding), and values that cross graphs.

    What a loop carries depends on what its body makes of it: ranges only grow, until they stay.
    """
    ranges = {**demanded_ranges(model), **ranges}
    spans: dict[Tensor, Range] = {}
    ops, tied = [op for _, op in model.ops()], [*tied]
    while True:
        before = dict(spans)
        for op in ops:
            row = ROWS.get(op.kind)
            read = [(i, t) for i, t in enumerate(op.inputs) if t is not None and (op, i) not in pads]
            same = [t for i, t in read if row is not None and row.role(i) is Role.SAME]
            known = [_known(t, ranges, spans) for t in same]
            if known and all(known):
                _grow(spans, [t for t in op.outputs if t.dtype == "float32" and t not in ranges], known)
        for tie in tied:
            _grow(spans, [tie.anchor, *tie.hard], [_known(t, ranges, spans) for _, _, t in tie.soft])
        if spans == before:
            return {**spans, **ranges}
        ops.reverse()  # what comes out of graphs in graphs goes the other way
        tied.reverse()


def _known(t: Tensor, ranges: Mapping[Tensor, Range], spans: Mapping[Tensor, Range]) -> Range | None:
    if t.is_constant and t.dtype == "float32":
        return Range.of(t.array).with_zero()
    return ranges.get(t) or spans.get(t)


def _grow(spans: dict[Tensor, Range], tensors: Sequence[Tensor], known: Sequence[Range | None]) -> None:
    found = [k for k in known if k is not None]
    for t in tensors if found else ():
        spans[t] = Range.union_of([spans.get(t, found[0]), *found])


def _integer_operators(model: Model) -> Iterator[tuple[OpRow, Op]]:
    """Operators with a row that are to be integer."""
    for _, op in model.ops():
        row = ROWS.get(op.kind)
        if row is not None and not op.keep_float and op.outputs and op.outputs[0].is_float:
            yield row, op


def _weights(
    model: Model, activations: Assignment, granularity: Granularity, kinds: ElementTypes
) -> tuple[dict[Operand, Encoding], tuple[str, ...]]:
    """Encodings of weights and biases, and what had to be done to them, in sentences."""
    found: dict[Operand, Encoding] = {}
    notes: list[str] = []
    for row, op in _integer_operators(model):
        if row.weight is None:
            continue
        x, w, b = activations.of(op, row.data), op.input(row.weight), op.input(row.bias) if row.bias is not None else None
        assert x is not None and w is not None
        spec = granularity.spec(row, op, constant=w.is_constant)
        scales = _grid(w, spec) if w.is_constant else _symmetric(activations.of(op, row.weight), spec)
        s_in, kind = float(x.quant.scale[0]), kinds.of(op)
        if b is not None:
            raised = scales_for_bias(scales, s_in, b.array, WIDE_BIAS_MAX if kind == "int16" else BIAS_MAX)
            if count := int((raised > scales).sum()):
                room = "40 bits" if kind == "int16" else "int32"
                notes.append(f'{op.kind} "{op.outputs[0].name}": {count} weight scales raised so that the bias fits {room}')
            scales = raised
        found[op, row.weight] = Encoding(spec.dtype, spec.quant(scales), narrow=True)
        if row.bias is not None and b is not None:
            with np.errstate(over="ignore", under="ignore"):
                quant = Quant.of(bias_scales(s_in, scales), 0, 0)
            found[op, row.bias] = Encoding("int64" if kind == "int16" else "int32", quant)
    return found, tuple(notes)


def _symmetric(read: Encoding | None, spec: WeightSpec) -> Array:
    """The one scale of weights computed at run time, which get zero point 0."""
    assert read is not None
    return np.array([representable(read.quant, read.dtype).largest / spec.most], np.float32)


def _grid(w: Tensor, spec: WeightSpec) -> Array:
    """Scales of constant weights: those that came with them, where granularity allows and they hold them; else their own."""
    if w.quant is None or (w.quant.zero_point != 0).any() or (w.quant.per_channel and w.quant.axis != spec.axis):
        return spec.scales(w.array)
    others = tuple(i for i in range(w.array.ndim) if not w.quant.per_channel or i != w.quant.axis)
    codes = np.abs(w.array).max(axis=others, initial=0.0) / w.quant.scale
    if (codes > spec.most + 0.5).any():
        return spec.scales(w.array)
    count = w.shape[spec.axis] if spec.axis is not None else 1
    scales: Array = np.broadcast_to(w.quant.scale, (count,)).copy()
    return scales


def _derived(
    model: Model, activations: Assignment, state: Mapping[Tensor, float]
) -> tuple[dict[Operand, Encoding], dict[Op, tuple[Encoding, ...]]]:
    """Operands, and intermediate tensors, whose encodings a row works out itself."""
    found: dict[Operand, Encoding] = {}
    intermediates: dict[Op, tuple[Encoding, ...]] = {}
    for row, op in _integer_operators(model):
        if row.derive is None:
            continue
        inputs = {i: e.quant for i in range(len(op.inputs)) if (e := activations.of(op, i)) is not None}
        states = {i: state[t] for i, t in enumerate(op.inputs) if t is not None and t in state}
        derived = row.derive(op, Given(inputs, activations.encodings[op.outputs[0]].quant, states))
        for i, (dtype, quant) in derived.operands.items():
            found[op, i] = Encoding(dtype, quant, narrow=dtype == "int8")
        intermediates[op] = tuple(Encoding(dtype, quant) for dtype, quant in derived.intermediates)
    return found, intermediates
