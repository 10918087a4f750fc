"""Variants of a run: some operators of the main graph in int16, or in float, and the ranges as they are.

Calibrated --in_int16({5, 6})--> Calibrated'        as --int16 5,6 asks for
Calibrated --in_float({op})----> Calibrated'        as --keep-float asks for, of operators in the form that passes gave them
"""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Set as AbstractSet
from dataclasses import replace

from fullint.calibration.masks import paddings
from fullint.model.ir import Graph, Op
from fullint.ops import has_int16, traits_of
from fullint.ops.control_flow import ties
from fullint.quantization.assign import spread
from fullint.quantization.stage_values import Assigned, Calibrated


def in_int16(calibrated: Calibrated, origins: Collection[int]) -> Calibrated:
    """The same with operators of the main graph, by index in the given file, chosen to compute in int16.

    So it is in the forms that the run may go back to. No narrower ranges are tried for them, as where they are named.
    """
    if not origins:
        return calibrated
    made = {t for op in calibrated.model.main.ops if op.origin in origins for t in op.outputs}
    prepared = replace(calibrated.prepared, wide=calibrated.prepared.wide | {(0, i) for i in origins})

    def wider(other: Calibrated | None) -> Calibrated | None:
        return in_int16(other, origins) if other is not None else None

    return replace(
        calibrated,
        prepared=prepared,
        could_be={t: n for t, n in calibrated.could_be.items() if t not in made},
        before=wider(calibrated.before),
        plain=wider(calibrated.plain),
        rest=wider(calibrated.rest),
    )


def in_float(calibrated: Calibrated, ops: AbstractSet[Op]) -> Calibrated:
    """The same with operators of the main graph kept in float, in the form that passes gave them.

    What they only pass on, or a kernel would demand the scale of, was not measured; its range follows from what was.
    """
    model, graph = calibrated.model, calibrated.model.main
    known = spread(model, calibrated.ranges, ties(model, {}), paddings(model))
    made = {t: known[t] for op in ops for t in op.outputs if t not in calibrated.ranges and t in known}
    measured = replace(calibrated.measured, ranges={**calibrated.ranges, **made})
    kept = [replace(op, keep_float=True) if op in ops else op for op in graph.ops]
    return with_main(replace(calibrated, measured=measured), replace(graph, ops=kept))


def with_main(calibrated: Calibrated, graph: Graph) -> Calibrated:
    """The same ranges for another main graph of the same tensors."""
    model = calibrated.model
    signatures = [replace(s, graph=graph, outputs=[]) for s in model.signatures if s.graph is model.main]
    others = [s for s in model.signatures if s.graph is not model.main]
    graphs = [graph, *(g for g in model.graphs if g is not model.main)]
    return replace(calibrated, model=replace(model, graphs=graphs, signatures=[*others, *signatures]))


def could_be_int16(assigned: Assigned) -> list[Op]:
    """Operators of the main graph that compute in int8, and could in int16."""
    calibrated = assigned.calibrated
    return [
        op
        for op in calibrated.model.main.ops
        if has_int16(op)
        and not traits_of(op.kind).effects
        and not op.keep_float
        and op.origin >= 0
        and calibrated.prepared.asked(0, op).int16 is None
        and calibrated.narrowed.keys().isdisjoint(op.outputs)  # their ranges were made for 8 bits
        and any((e := assigned.assignment.encodings.get(t)) is not None and e.dtype == "int8" for t in op.outputs)
    ]


def could_be_float(calibrated: Calibrated) -> list[Op]:
    """Operators of the main graph that compute in integers, and could in float."""
    return [
        op
        for op in calibrated.model.main.ops
        if op.origin >= 0 and not op.keep_float and not traits_of(op.kind).effects and any(t.is_float for t in op.outputs)
    ]
