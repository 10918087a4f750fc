"""Two layers whose results are added become one layer of both inputs, where these have ranges of about one size.

    ADD(FULLY_CONNECTED(x, W, b), FULLY_CONNECTED(h, U, c))    =>    FULLY_CONNECTED(CONCATENATION(x, h), [W U], b + c)

The sum is then made in 32 bits and rounded once, instead of three times, and that is what the gates of recurrent cells are made
of. x and h get one scale; where that would coarsen one of them much, they stay apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

import numpy as np

from fullint.calibration.masks import paddings
from fullint.model.ir import Model, Op, Tensor, Uses, constant
from fullint.model.numerics import representable
from fullint.model.ranges import Range
from fullint.model.subgraphs import point_to
from fullint.ops import ROWS, Fixed, traits_of
from fullint.ops.control_flow import ties
from fullint.ops.make import make_op
from fullint.passes.engine import Rewrite, sweep
from fullint.passes.fold_affine import has_constant_weights, with_weights
from fullint.quantization.assign import spread
from fullint.reporting import Change

MOST_COARSER = 2.0
"""How much coarser one of the inputs may become: its own rounding then costs as much as what is saved."""


@dataclass(frozen=True, eq=False)
class _Layer:
    """A layer in front of a sum, with the moves between.

    Attributes:
        op: the layer.
        behind: the moves.
    """

    op: Op
    behind: tuple[Op, ...]

    @property
    def read(self) -> Tensor:
        """What it multiplies."""
        t = self.op.inputs[ROWS[self.op.kind].data]
        assert t is not None
        return t

    @property
    def weights(self) -> Tensor:
        """What it multiplies with."""
        t = self.op.inputs[ROWS[self.op.kind].weight or 0]
        assert t is not None
        return t


def join_layers(
    model: Model,
    ranges: Mapping[Tensor, Range],
    pinned: AbstractSet[Tensor] = frozenset(),
    named: AbstractSet[Op] = frozenset(),
) -> tuple[Model, list[Change]]:
    """The model with layers joined, and what was done; the given one is not changed.

    Args:
        model: prepared.
        ranges: measured.
        pinned: tensors that are to keep their parameters.
        named: operators that the user has plans with.
    """
    graphs = {g: replace(g, tensors=list(g.tensors)) for g in model.graphs}
    for old, new in graphs.items():
        new.ops = [replace(op, options=point_to(op.options, graphs)) if any(op.subgraphs()) else op for op in old.ops]
    joined: dict[tuple[Tensor, Tensor], Tensor] = {}
    spans = spread(model, ranges, ties(model, {}), paddings(model))

    def layers_joined(op: Op, uses: Uses) -> Rewrite | None:
        pair = _layers(op, uses)
        old = (*_all(pair), op) if pair is not None else ()
        if pair is None or not named.isdisjoint(old) or not pinned.isdisjoint(t for o in old for t in o.outputs):
            return None
        found = [s for layer in pair if (s := _span(layer.read, spans, uses)) is not None]
        return _one(op, pair, joined) if len(found) == len(pair) and _alike(found) else None

    copy = replace(
        model,
        graphs=[graphs[g] for g in model.graphs],
        signatures=[replace(s, graph=graphs[s.graph]) for s in model.signatures],
    )
    changes = sweep(copy, layers_joined)
    for graph in copy.graphs:
        graph.sync_tensors()
    return (copy, changes) if changes else (model, [])


def _all(pair: tuple[_Layer, _Layer]) -> list[Op]:
    return [op for layer in pair for op in (layer.op, *layer.behind)]


def _layers(op: Op, uses: Uses) -> tuple[_Layer, _Layer] | None:
    """The two layers that a sum adds, first the one whose result has the shape of the sum."""
    if traits_of(op.kind).adds != (1, 1) or len(op.inputs) != 2:
        return None
    a, b = (_layer(t, uses) for t in op.inputs)
    if a is None or b is None:
        return None
    shape = op.outputs[0].shape
    first, second = (a, b) if a.op.outputs[0].shape == shape else (b, a)
    outputs = [layer.op.outputs[0] for layer in (first, second)]
    rows = {layer.read.shape[:-1] for layer in (first, second)}
    fits = outputs[0].shape == shape and outputs[1].size == outputs[0].size and rows == {shape[:-1]}
    apart = first.read is not second.read and all(layer.weights.quant is None for layer in (first, second))
    return (first, second) if fits and apart else None


def _layer(t: Tensor | None, uses: Uses) -> _Layer | None:
    """The layer behind moves that keep channels in place, where nothing else reads what is made between."""
    behind: tuple[Op, ...] = ()
    while t is not None and uses.only_reader(t) is not None:
        op = uses.producer.get(t)
        if op is None or op.keep_float or op.options.get("fused_activation_function"):
            return None
        row, traits = ROWS.get(op.kind), traits_of(op.kind)
        if row is not None and row.weight is not None:
            weights = op.input(row.weight)
            dense = weights is not None and len(weights.shape) == 2 and row.bias is not None and has_constant_weights(op)
            return _Layer(op, behind) if dense else None
        if not (traits.moves and traits.passes_small and traits.keeps_channels is not None and traits.keeps_channels(op)):
            return None
        if op.inputs[0] is None or op.inputs[0].shape[-1:] != t.shape[-1:]:
            return None
        t, behind = op.inputs[0], (op, *behind)
    return None


def _span(t: Tensor, spans: Mapping[Tensor, Range], uses: Uses) -> Range | None:
    """The range of a value, or what its kernel always gives it."""
    op = uses.producer.get(t)
    rule = ROWS[op.kind].output(op.outputs.index(t)) if op is not None and op.kind in ROWS else None
    return representable(rule.of_type("int8"), "int8") if isinstance(rule, Fixed) else spans.get(t)


def _alike(spans: list[Range]) -> bool:
    """Whether one scale for all makes none much coarser."""
    joint = Range.union_of([s.with_zero() for s in spans]).width
    return all(joint <= MOST_COARSER * s.with_zero().width for s in spans)


def _one(op: Op, pair: tuple[_Layer, _Layer], joined: dict[tuple[Tensor, Tensor], Tensor]) -> Rewrite:
    """Layers that share their weights share them joined as well."""
    (first, second), out = pair, op.outputs[0]
    key = (first.weights, second.weights)
    if key not in joined:
        joined[key] = constant(f"{first.weights.name}/joined", np.concatenate([w.array for w in key], axis=1))
    index = ROWS[first.op.kind].bias or 0
    biases = [b.array.reshape(-1) for layer in pair if (b := layer.op.input(index)) is not None]
    bias = np.broadcast_to(sum(biases, np.zeros(1, np.float32)), (out.shape[-1],)).astype(np.float32)
    width = sum(layer.read.shape[-1] for layer in pair)
    both = Tensor(f"{out.name}/both", (*out.shape[:-1], width), "float32")
    join = make_op("CONCATENATION", [layer.read for layer in pair], [both], axis=len(both.shape) - 1)
    new = with_weights(first.op, joined[key], constant(f"{out.name}/bias", bias))
    new.inputs[ROWS[new.kind].data], new.outputs = both, [out]
    new.options["fused_activation_function"] = op.options.get("fused_activation_function", 0)
    why = f"two {new.kind} whose results are added written as one of both inputs: rounded once"
    return Rewrite((*_all(pair), op), (join, new), why)
