"""Two layers whose results are added become one layer of both inputs, where these have ranges of about one size.

    ADD(FULLY_CONNECTED(x, W, b), FULLY_CONNECTED(h, U, c))    =>    FULLY_CONNECTED(CONCATENATION(x, h), [W U], b + c)

The sum is then made in 32 bits and rounded once, instead of three times, and that is what the gates of recurrent cells are made
of. x and h get one scale; where that would coarsen one of them much, they stay apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace

from fullint.calibration.masks import paddings
from fullint.model.ir import Model, Op, Tensor, Uses
from fullint.model.numerics import representable
from fullint.model.ranges import Range
from fullint.model.subgraphs import point_to
from fullint.ops import ROWS, Fixed
from fullint.ops.control_flow import ties
from fullint.passes.drop_unused import drop_unused
from fullint.passes.engine import Rewrite, sweep
from fullint.passes.joined_layers import added_layers, all_of, as_one_layer, one_join
from fullint.quantization.assign import spread
from fullint.reporting import Change

MOST_COARSER = 2.0
"""How much coarser one of the inputs may become: its own rounding then costs as much as what is saved."""


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
        pair = added_layers(op, uses)
        old = (*all_of(pair), op) if pair is not None else ()
        if pair is None or not named.isdisjoint(old) or not pinned.isdisjoint(t for o in old for t in o.outputs):
            return None
        found = [s for layer in pair if (s := _span(layer.read, spans, uses)) is not None]
        return as_one_layer(op, pair, joined) if len(found) == len(pair) and _alike(found) else None

    copy = replace(
        model,
        graphs=[graphs[g] for g in model.graphs],
        signatures=[replace(s, graph=graphs[s.graph]) for s in model.signatures],
    )
    changes = sweep(copy, layers_joined)
    if changes and sweep(copy, one_join):
        drop_unused(copy)
    for graph in copy.graphs:
        graph.sync_tensors()
    return (copy, changes) if changes else (model, [])


def _span(t: Tensor, spans: Mapping[Tensor, Range], uses: Uses) -> Range | None:
    """The range of a value, or what its kernel always gives it."""
    op = uses.producer.get(t)
    rule = ROWS[op.kind].output(op.outputs.index(t)) if op is not None and op.kind in ROWS else None
    return representable(rule.of_type("int8"), "int8") if isinstance(rule, Fixed) else spans.get(t)


def _alike(spans: list[Range]) -> bool:
    """Whether one scale for all makes none much coarser."""
    joint = Range.union_of([s.with_zero() for s in spans]).width
    return all(joint <= MOST_COARSER * s.with_zero().width for s in spans)
