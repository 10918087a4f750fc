"""Composites and calls replaced by their decomposition; each IF and WHILE gets its own copy of its subgraphs, within limits.

    STABLEHLO_COMPOSITE(x) -> y with a decomposition        =>    the operators of the decomposition
    IF(c, x, const) with branches                           =>    IF(c, x), the constant inside the branches
    WHILE(x, const), the body returns the constant          =>    WHILE(x), the constant inside

A constant that is passed to a subgraph as an argument is not a constant there, so a convolution that uses it has weights
computed at run time. Moved into the subgraph, it is a constant again. Copies have scales of their own; but branches that nest
would be copied 2^depth times, so that callers share a copy where the model has become many times as large.
"""

from __future__ import annotations

from dataclasses import replace

from fullint.model.ir import Graph, Model, Op, Tensor, Uses
from fullint.model.subgraphs import copy_graph, copy_ops, reachable
from fullint.ops.control_flow import BODY, COND, ELSE, THEN
from fullint.ops.make import make_reshape
from fullint.passes.engine import No, Rewrite
from fullint.printable import escaped
from fullint.reporting import Change


def inline_composite(op: Op, uses: Uses) -> Rewrite | No | None:
    """Replace STABLEHLO_COMPOSITE and CALL by the operators of the graph they call."""
    if op.kind not in ("STABLEHLO_COMPOSITE", "CALL"):
        return None
    graph = next(op.subgraphs(), None)
    if graph is None:
        return No("it has no decomposition")
    known = {**dict(zip(graph.inputs, (t for t in op.inputs if t is not None), strict=True))}
    ops: list[Op] = []
    for inner, out in zip(graph.outputs, op.outputs, strict=True):
        if inner in known or inner.is_constant:  # passed through unchanged: the output still needs its own name
            ops.append(make_reshape(known.get(inner, inner), out))
        else:
            known[inner] = out
    ops = copy_ops(graph, known, f"{op.outputs[0].name}/") + ops
    for new in ops:
        new.origin = op.origin
    name = (op.extra[1].get("name") if op.extra else None) or graph.name or ""
    text = escaped(name.decode(errors="surrogateescape")) if isinstance(name, bytes) else name
    return Rewrite((op,), tuple(ops), f'replaced by its decomposition "{text}"')


MOST_COPIES = 8
"""Times the operators of the model, in copies of subgraphs that others have a copy of, too."""


class _Copies:
    """Copies of subgraphs, with constant arguments inside; shared where there are too many."""

    def __init__(self, model: Model) -> None:
        self.left = MOST_COPIES * sum(1 for _ in model.ops())
        self.made: dict[tuple[Graph, tuple[tuple[int, Tensor | None], ...]], Graph] = {}

    def of(self, graph: Graph, values: dict[int, Tensor | None]) -> Graph:
        """A copy of a graph, of its own or shared."""
        key = (graph, tuple(values.items()))
        if key not in self.made:
            self.made[key] = graph = copy_graph(graph)
        elif self.left <= 0:
            return self.made[key]
        else:
            self.left -= len(graph.ops) + 1
            graph = copy_graph(graph)
        _put_inside(graph, values)
        return graph


def own_subgraphs(model: Model) -> list[Change]:
    """Give every IF and WHILE its own subgraphs, with constant arguments moved inside, in place."""
    changes: list[Change] = []
    copies = _Copies(model)
    waiting = model.entries  # what these call are copies by then
    looked_at: set[Graph] = set()
    while waiting:
        graph = waiting.pop()
        if graph in looked_at:
            continue
        looked_at.add(graph)
        for at, op in enumerate(graph.ops):
            if op.kind == "IF":
                graph.ops[at], inlined = _own_branches(op, copies)
            elif op.kind == "WHILE":
                graph.ops[at], inlined = _own_loop(op, graph, copies)
            else:
                continue
            waiting += graph.ops[at].subgraphs()
            if inlined:
                why = f"{inlined} constant arguments moved inside"
                changes.append(Change("own_subgraphs", op.origin, op.kind, op.output_name, why))
    model.graphs = reachable(model)
    for graph in model.graphs:
        graph.sync_tensors()
    return changes


def _own_branches(op: Op, copies: _Copies) -> tuple[Op, int]:
    gone = [i for i, t in enumerate(op.inputs[1:]) if t is not None and t.is_constant and t.buffer is not None]
    options = {**op.options}
    values = {i: op.inputs[i + 1] for i in gone}
    options[THEN] = copies.of(op.options[THEN], values)
    options[ELSE] = options[THEN] if op.options[ELSE] is op.options[THEN] else copies.of(op.options[ELSE], values)
    kept = [t for i, t in enumerate(op.inputs) if i - 1 not in gone]
    return replace(op, inputs=kept, options=options), len(gone)


def _own_loop(op: Op, outer: Graph, copies: _Copies) -> tuple[Op, int]:
    body: Graph = op.options[BODY]
    gone = [
        i
        for i, t in enumerate(op.inputs)
        if t is not None and t.buffer is not None and body.outputs[i] is body.inputs[i] and op.outputs[i] not in outer.outputs
    ]
    values = {i: op.inputs[i] for i in gone}
    for other in outer.ops:
        if other is not op:
            other.inputs = [_swap(t, op, values) for t in other.inputs]
    own, results = copies.of(body, values), len(body.outputs) - len(gone)
    if len(own.outputs) > results:  # not a copy that another loop has, too
        own.outputs = [t for i, t in enumerate(own.outputs) if i not in gone]
    new = replace(
        op,
        inputs=[t for i, t in enumerate(op.inputs) if i not in gone],
        outputs=[t for i, t in enumerate(op.outputs) if i not in gone],
        options={**op.options, BODY: own, COND: copies.of(op.options[COND], values)},
    )
    return new, len(gone)


def _swap(t: Tensor | None, loop: Op, values: dict[int, Tensor | None]) -> Tensor | None:
    """The constant in place of a loop's result that passes it through; any other tensor unchanged."""
    found = next((i for i in values if loop.outputs[i] is t), None)
    return t if found is None else values[found]


def _put_inside(graph: Graph, values: dict[int, Tensor | None]) -> None:
    """Turn arguments of a graph into constants inside it, in place."""
    if not values:
        return
    swap = {graph.inputs[i]: v for i, v in values.items()}
    for op in graph.ops:
        op.inputs = [swap.get(t, t) if t is not None else None for t in op.inputs]
    graph.outputs = [swap.get(t, t) or t for t in graph.outputs]
    graph.inputs = [t for i, t in enumerate(graph.inputs) if i not in values]
    graph.sync_tensors()
