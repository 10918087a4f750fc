"""Remove operators and tensors that no output depends on.

    x -> CONV_2D -> y (not read, not an output)      =>      (nothing)

Operators with side effects (variables, hash tables, control flow, custom code) stay.
"""

from __future__ import annotations

from fullint.model.ir import Model, Op
from fullint.ops import traits_of
from fullint.reporting import Change


def drop_unused(model: Model) -> list[Change]:
    """Remove operators without effect on any output, and unreferenced tensors, in place."""
    changes: list[Change] = []
    for graph in model.graphs:
        needed = set(graph.outputs)
        kept: list[Op] = []
        for op in reversed(graph.ops):
            live = traits_of(op.kind).effects or any(t.is_variable for t in op.operands())
            if live or not needed.isdisjoint(op.outputs):
                needed.update(t for t in op.inputs if t is not None)
                kept.append(op)
            else:
                output = op.output_name
                changes.append(Change("drop_unused", op.origin, op.kind, output, "no output depends on it"))
        graph.ops = kept[::-1]
        graph.sync_tensors()
    return changes
