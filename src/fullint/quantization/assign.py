"""Which scale and zero point each tensor gets, as a value that can be printed and tested.

    float model + measured ranges + options  ->  Assignment

Order: element types, then activations to a fixpoint (`scale_sharing`), then weights, then biases, since a bias's
scale is s_in * s_w.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fullint.calibration.observed import given_params
from fullint.calibration.statistics import Measured, Range
from fullint.model.ir import Array, Graph, Model, Op, Quant, Tensor
from fullint.model.numerics import BIAS_MAX, WEIGHT_MAX, WIDE_BIAS_MAX, bias_scales, representable, scales_for_bias, weight_scales
from fullint.ops import ROWS, Fixed, Given, OpRow, Role
from fullint.ops.control_flow import Tie, ties
from fullint.quantization.assignment import Assignment, Granularity
from fullint.quantization.scale_sharing import ScaleSharing
from fullint.quantization.useful_ranges import mask_ranges, useful


def assign(
    model: Model,
    measured: Measured,
    granularity: Granularity | None = None,
    types: Mapping[Op, str] | None = None,
    inputs: str = "int8",
    pinned: Mapping[Tensor, tuple[Quant, str]] | None = None,
) -> Assignment:
    """Decide all parameters of a model.

    Args:
        model: prepared, with no blockers.
        measured: by calibration.
        granularity: per channel unless it says otherwise.
        types: element type of operators that do not compute in `inputs`.
        inputs: element type of the model's inputs and of all other operators.
        pinned: parameters, with their type, that some tensors are to have.
    """
    result = Assignment(default_type=inputs)
    _set_types(model, types or {}, inputs, result)
    tied = ties(model, result.returns)
    spans = _spread(model, measured.ranges, tied)
    crossing = {t: spans[t] for tie in tied for t in (tie.anchor, *tie.hard) if t in spans}
    needed = useful(model, spans, measured.row_maxima)
    sharing = ScaleSharing(
        model, {**measured.ranges, **crossing}, needed, mask_ranges(model, needed, spans), tied, result, pinned
    )
    sharing.solve()
    for graph in model.graphs:
        _weights_and_biases(graph, result, granularity or Granularity())
        _derived(graph, result, measured.state)
    return result


def _set_types(model: Model, types: Mapping[Op, str], default: str, result: Assignment) -> None:
    for graph in model.graphs:
        if default != "int8":
            result.types.update((t, default) for t in graph.inputs if t.dtype == "float32")
        for op in graph.ops:
            kind = types.get(op, default)
            if kind != "int8":
                result.op_types[op] = kind
                result.types.update((t, kind) for t in op.outputs if t.dtype == "float32")
            if (given := given_params(op)) is not None:
                result.types[op.outputs[0]] = given[1]


def _spread(model: Model, ranges: Mapping[Tensor, Range], tied: Sequence[Tie]) -> dict[Tensor, Range]:
    """Ranges of tensors that only pass measured values on, too: moved ones, and values that cross graphs.

    What a loop carries depends on what its body makes of it: ranges only grow, until they stay.
    """
    ranges = {**_demanded(model), **ranges}
    spans: dict[Tensor, Range] = {}
    while True:
        before = dict(spans)
        for _, op in model.ops():
            row = ROWS.get(op.kind)
            same = [t for i, t in enumerate(op.inputs) if t is not None and row is not None and row.role(i) is Role.SAME]
            known = [_known(t, ranges, spans) for t in same]
            if known and all(known):
                _grow(spans, [t for t in op.outputs if t.dtype == "float32" and t not in ranges], known)
        for tie in tied:
            _grow(spans, [tie.anchor, *tie.hard], [_known(t, ranges, spans) for _, _, t in tie.soft])
        if spans == before:
            return {**spans, **ranges}


def _demanded(model: Model) -> dict[Tensor, Range]:
    """What outputs of fixed parameters can hold."""
    found = {}
    for _, op in model.ops():
        row = ROWS.get(op.kind)
        for i, t in enumerate(op.outputs):
            rule = row.output(i) if row else None
            given = given_params(op) or ((rule.quant, "int8") if isinstance(rule, Fixed) else None)
            if t.dtype == "float32" and given is not None:
                found[t] = representable(*given)
    return found


def _known(t: Tensor, ranges: Mapping[Tensor, Range], spans: Mapping[Tensor, Range]) -> Range | None:
    if t.is_constant and t.dtype == "float32":
        return float(t.array.min(initial=0.0)), float(t.array.max(initial=0.0))
    return ranges.get(t) or spans.get(t)


def _grow(spans: dict[Tensor, Range], tensors: Sequence[Tensor], known: Sequence[Range | None]) -> None:
    found = [k for k in known if k is not None]
    for t in tensors if found else ():
        own = spans.get(t, found[0])
        spans[t] = min(own[0], *(k[0] for k in found)), max(own[1], *(k[1] for k in found))


def _weights_and_biases(graph: Graph, result: Assignment, granularity: Granularity) -> None:
    for op in graph.ops:
        row = ROWS.get(op.kind)
        if row is None or row.weight is None or op.keep_float or not op.outputs[0].is_float:
            continue
        _weighted(op, row, result, granularity)


def _weighted(op: Op, row: OpRow, result: Assignment, granularity: Granularity) -> None:
    x, w = result.of(op, row.data), op.input(row.weight or 0)
    b = op.input(row.bias) if row.bias is not None else None
    assert x is not None and w is not None and row.weight is not None
    axis = granularity.axis(row) if w.is_constant else None
    if not w.is_constant:
        scales = _symmetric(result.of(op, row.weight), result.type_of(w))
    elif w.quant is not None:
        scales = _grid(w, axis)
    else:
        scales = weight_scales(w.array, axis)
    s_in = float(x.scale[0])
    if b is not None:
        wide = result.op_type(op) == "int16"
        raised = scales_for_bias(scales, s_in, b.array, WIDE_BIAS_MAX if wide else BIAS_MAX)
        count = int((raised > scales).sum())
        if count:
            kind = "40 bits" if wide else "int32"
            result.notes.append(f'{op.kind} "{op.outputs[0].name}": {count} weight scales raised so that the bias fits {kind}')
        scales = raised
    result.operand[op, row.weight] = Quant.of(scales, 0, axis or 0)
    if row.bias is not None and b is not None:
        with np.errstate(over="ignore", under="ignore"):
            result.operand[op, row.bias] = Quant.of(bias_scales(s_in, scales), 0, 0)


def _symmetric(quant: Quant | None, dtype: str) -> Array:
    """The one scale of weights computed at run time: zero point 0, codes in [-127, 127]."""
    assert quant is not None
    low, high = representable(quant, dtype)
    return np.array([max(-low, high) / WEIGHT_MAX], np.float32)


def _derived(graph: Graph, result: Assignment, state: Mapping[Tensor, float]) -> None:
    """Operands whose parameters a row works out itself."""
    for op in graph.ops:
        row = ROWS.get(op.kind)
        if row is None or row.derive is None or op.keep_float or not op.outputs[0].is_float:
            continue
        inputs = {i: q for i in range(len(op.inputs)) if (q := result.of(op, i)) is not None}
        states = {i: state[t] for i, t in enumerate(op.inputs) if t is not None and t in state}
        derived = row.derive(op, Given(inputs, result.params[op.outputs[0]], states))
        for i, (dtype, quant) in derived.operands.items():
            result.operand[op, i] = quant
            result.operand_types[op, i] = dtype
        result.intermediates[op] = list(derived.intermediates)


def _grid(w: Tensor, axis: int | None) -> Array:
    """Scales of weights that came as int8: the ones they came with, where granularity allows."""
    assert w.quant is not None
    if (w.quant.zero_point != 0).any() or (w.quant.per_channel and w.quant.axis != axis):
        return weight_scales(w.array, axis)
    codes = np.abs(w.array).max(initial=0.0) / float(w.quant.scale.min())
    if not w.quant.per_channel and codes > 127.5:
        return weight_scales(w.array, axis)
    count = w.shape[axis] if axis is not None else 1
    scales: Array = np.broadcast_to(w.quant.scale, (count,)).copy()
    return scales
