"""A model's main graph as a block of a document.

CONV_2D int8[1, 8, 8, 3], int8[16, 3, 3, 3], int32[16] -> int8[1, 8, 8, 16]   =>   GraphNode("CONV_2D", "int", "int8", …)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fullint.documents import size
from fullint.documents.graph import GraphBlock, GraphEdge, GraphHistogram, GraphMeasure, GraphNode
from fullint.model.census import is_float_op
from fullint.model.ir import Model, Op, Quant, Tensor
from fullint.model.numerics import representable
from fullint.ops import traits_of
from fullint.ops.kernel_times import operator_us
from fullint.ops.macs import macs

_MOST_NAME = 400
"""Characters of a name: names of merged operators are long, and hostile ones longer."""
_MOST_PARTS = 6
_WRAPPERS = ("StatefulPartitionedCall", "PartitionedCall")


@dataclass(frozen=True)
class Overlay:
    """What a report says of the operators of one model, by their index in the file.

    Attributes:
        facts: (label, text) of operators.
        marks: a word or two of operators that should catch the eye.
        pieces: the partitions that operators are in; empty where nothing is partitioned.
        measures: (name, unit, whether small numbers are bad, numbers).
        twins: indices of the operators of the other model that do the same.
    """

    facts: Mapping[int, Sequence[tuple[str, str]]] = field(default_factory=dict)
    marks: Mapping[int, Sequence[str]] = field(default_factory=dict)
    pieces: Mapping[int, int] = field(default_factory=dict)
    measures: Sequence[tuple[str, str, bool, Mapping[int, float]]] = ()
    twins: Mapping[int, Sequence[int]] = field(default_factory=dict)


NOTHING_ELSE = Overlay()


def graph_of(
    model: Model, title: str, overlay: Overlay = NOTHING_ELSE, histograms: Mapping[Tensor, GraphHistogram] | None = None
) -> GraphBlock:
    """The main graph of a model.

    Args:
        model: as it is in its file.
        title: above the picture.
        overlay: what is said of its operators.
        histograms: of the values of its tensors.
    """
    ops = model.main.ops
    made = {t: i for i, op in enumerate(ops) for t in op.outputs}
    nodes = tuple(_node(i, op, overlay, histograms or {}) for i, op in enumerate(ops))
    edges = dict.fromkeys(
        (made.get(t, -1), i) for i, op in enumerate(ops) for t in op.inputs if t is not None and not t.is_constant
    )
    measures = tuple(
        GraphMeasure(name, unit, tuple(values.get(i) for i in range(len(ops))), low_is_bad)
        for name, unit, low_is_bad, values in (*overlay.measures, *_estimates(ops))
        if values
    )
    return GraphBlock(title, nodes, tuple(GraphEdge(a, b) for a, b in edges if a != b), measures)


def _estimates(ops: Sequence[Op]) -> list[tuple[str, str, bool, dict[int, float]]]:
    """Multiply-accumulates; and of an integer model the time by a table."""
    work = {i: n / 1e6 for i, op in enumerate(ops) if (n := macs(op))}
    if any(_type(op) == "float" for op in ops):
        return [("multiply-accumulates", "M", False, work)]
    times = {i: operator_us(op) for i, op in enumerate(ops)}
    return [("multiply-accumulates", "M", False, work), ("time on one core, estimated by a table", "us", False, times)]


def _node(index: int, op: Op, overlay: Overlay, histograms: Mapping[Tensor, GraphHistogram]) -> GraphNode:
    out = op.outputs[0] if op.outputs else None
    return GraphNode(
        index=index,
        kind=op.custom_code or op.kind,
        name=op.output_name[:_MOST_NAME],
        layer=_layer(op.output_name),
        type=_type(op),
        badge=out.dtype if out is not None else "",
        facts=(*_facts(op), *overlay.facts.get(index, ())),
        marks=(*overlay.marks.get(index, ()), *(["requantize"] * _requantizes(op))),
        piece=overlay.pieces.get(index, -1) if overlay.pieces else None,
        histogram=histograms.get(out) if out is not None else None,
        twins=tuple(overlay.twins.get(index, ())),
    )


def _requantizes(op: Op) -> bool:
    """Whether it only changes how values are encoded."""
    return traits_of(op.kind).recodes and _type(op) == "int"


def _type(op: Op) -> str:
    if is_float_op(op):
        return "float"
    return "int" if any(t.dtype in ("int8", "uint8", "int16", "int4") for t in op.values()) else "other"


def _layer(name: str) -> str:
    parts = [p for p in name[:_MOST_NAME].split(";")[0].split("/") if p and p not in _WRAPPERS]
    return "/".join(parts[: max(1, min(len(parts) - 1, _MOST_PARTS))])


def _facts(op: Op) -> list[tuple[str, str]]:
    shown = [_typed(t) if t is not None else "none" for t in op.inputs]
    found = [("types", f"{', '.join(shown)} -> {', '.join(_typed(t) for t in op.outputs)}")]
    found += [("range", text) for t in op.outputs[:1] if (text := _range(t))]
    weights = next((t for t in op.inputs if t is not None and t.is_constant and t.quant is not None and t.dtype == "int8"), None)
    if weights is not None and weights.quant is not None:
        count = weights.quant.scale.size
        found.append(("weights", f"{count} scales, one per channel" if count > 1 else f"one scale, {weights.quant.scale[0]:.6g}"))
    held = sum(t.nbytes for t in op.inputs if t is not None and t.is_constant)
    found += [("constants", size(held))] * bool(held)
    found += [("MACs", f"{macs(op):,}")] * bool(macs(op))
    return [*found, ("version", str(op.version))]


def _typed(t: Tensor) -> str:
    return f"{t.dtype}[{', '.join(map(str, t.shape))}]"


def _range(t: Tensor) -> str:
    ends = range_of(t)
    if ends is None or t.quant is None:
        return ""
    low, high = ends
    return f"{low:.4g} to {high:.4g} (scale {float(t.quant.scale[0]):.6g}, zero point {int(t.quant.zero_point[0])})"


def range_of(t: Tensor) -> tuple[float, float] | None:
    """The smallest and largest number that a tensor's codes can mean; None where it has no codes of one scale."""
    quant: Quant | None = t.quant
    if quant is None or quant.scale.size != 1 or t.dtype not in ("int8", "uint8", "int16"):
        return None
    span = representable(quant, t.dtype)
    return float(span.low), float(span.high)
