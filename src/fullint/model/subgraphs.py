"""Graphs as functions: copying, inlining, and fullint's own operator LOOKUP.

    LOOKUP(x) -> y   with a graph x' -> y' among its options

stands for operators that together compute one function of x (see `passes.lookup`). It is never written to a file:
`expand_lookups` restores the operators wherever a float model is written and run, and `emit` turns it into a table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from fullint.model.ir import Graph, Model, Op, Signature, Tensor, twin

LOOKUP = "LOOKUP"
FUNCTION = "function"


def copy_ops(graph: Graph, known: Mapping[Tensor, Tensor], prefix: str = "") -> list[Op]:
    """Copy the operators of a graph, with new tensors; constants are shared.

    Args:
        graph: the graph to copy.
        known: tensors of the graph -> tensors to use in their place (arguments, results).
        prefix: prefix for the names of new tensors.
    """
    tensors = dict(known)

    def own(t: Tensor) -> Tensor:
        if t not in tensors:
            tensors[t] = t if t.is_constant else _named(t, prefix)
        return tensors[t]

    return [_copy_op(op, own, {}) for op in graph.ops]


def _named(t: Tensor, prefix: str) -> Tensor:
    new = twin(t, prefix + t.name)
    new.is_variable = t.is_variable
    return new


def copy_graph(graph: Graph) -> Graph:
    """Copy a graph, with new tensors; constants are shared."""
    known = {t: t if t.is_constant else _named(t, "") for t in graph.tensors}
    for t in (*graph.inputs, *graph.outputs):
        known.setdefault(t, t if t.is_constant else _named(t, ""))
    ops = copy_ops(graph, known)
    new = Graph(graph.name, [], [known[t] for t in graph.inputs], [known[t] for t in graph.outputs], ops, origin=graph.origin)
    new.sync_tensors()
    return new


def copy_model(model: Model) -> tuple[Model, dict[Tensor, Tensor]]:
    """Copy a model, so that changes to one do not affect the other.

    Buffers are shared with the original, and by the tensors that shared them.

    Returns:
        The copy, and original tensor -> its copy.
    """
    tensors: dict[Tensor, Tensor] = {}
    graphs = {
        g: Graph(g.name, debug_metadata_index=g.debug_metadata_index, origin=g.origin) for g in below(model.main, *model.graphs)
    }

    def own(t: Tensor) -> Tensor:
        if t not in tensors:
            tensors[t] = replace(t)
        return tensors[t]

    for old, new in graphs.items():
        new.tensors = [own(t) for t in old.tensors]
        new.inputs, new.outputs = [own(t) for t in old.inputs], [own(t) for t in old.outputs]
        new.ops = [_copy_op(op, own, graphs) for op in old.ops]
    signatures = [
        Signature(s.key, graphs[s.graph], [(n, own(t)) for n, t in s.inputs], [(n, own(t)) for n, t in s.outputs])
        for s in model.signatures
    ]
    copy = replace(model, graphs=[graphs[g] for g in model.graphs], signatures=signatures, metadata=list(model.metadata))
    return copy, tensors


def _copy_op(op: Op, own: Callable[[Tensor], Tensor], graphs: Mapping[Graph, Graph]) -> Op:
    return replace(
        op,
        inputs=[None if t is None else own(t) for t in op.inputs],
        outputs=[own(t) for t in op.outputs],
        options=point_to(op.options, graphs),
        extra=None if op.extra is None else (op.extra[0], point_to(op.extra[1], graphs)),
        intermediates=None if op.intermediates is None else [own(t) for t in op.intermediates],
    )


def lookup(x: Tensor, y: Tensor, function: Graph) -> Op:
    """A LOOKUP that computes `y` from `x` with the given function."""
    return Op(LOOKUP, [x], [y], {FUNCTION: function})


def call(op: Op, x: Tensor, y: Tensor, shape: Sequence[int]) -> list[Op]:
    """The operators that a LOOKUP stands for, applied to `x` of the given shape, with the result in `y`."""
    function: Graph = op.options[FUNCTION]
    ops = copy_ops(function, {function.inputs[0]: x, function.outputs[0]: y}, f"{op.outputs[0].name}/")
    for new in ops:
        for t in new.outputs:
            if t is not y:
                t.shape = tuple(shape)
    return ops


def expand_lookups(model: Model) -> Model:
    """The model with each LOOKUP replaced by the operators it stands for; the same object if there is none."""
    if not any(op.kind == LOOKUP for _, op in model.ops()):
        return model
    graphs: dict[Graph, Graph] = {g: _called(g) for g in model.graphs}
    for graph in graphs.values():
        graph.ops = [_pointing(op, graphs) for op in graph.ops]
        graph.sync_tensors()
    signatures = [replace(s, graph=graphs[s.graph]) for s in model.signatures]
    return replace(model, graphs=[graphs[g] for g in model.graphs], signatures=signatures)


def _called(graph: Graph) -> Graph:
    ops: list[Op] = []
    for op in graph.ops:
        x = op.inputs[0] if op.inputs else None
        if op.kind == LOOKUP and x is not None:
            ops += call(op, x, op.outputs[0], op.outputs[0].shape)
        else:
            ops.append(op)
    return replace(graph, tensors=list(graph.tensors), ops=ops)


def _pointing(op: Op, graphs: Mapping[Graph, Graph]) -> Op:
    """The operator with its subgraphs replaced according to `graphs`."""
    if not any(g in graphs for g in op.subgraphs()):
        return op
    return replace(op, options=point_to(op.options, graphs))


def point_to(options: Mapping[str, object], graphs: Mapping[Graph, Graph]) -> dict[str, object]:
    """Options with their subgraphs replaced according to `graphs`."""
    return {k: _point(v, graphs) for k, v in options.items()}


def _point(value: object, graphs: Mapping[Graph, Graph]) -> object:
    if isinstance(value, list):
        return [_point(v, graphs) for v in value]
    return graphs.get(value, value) if isinstance(value, Graph) else value


def reachable(model: Model) -> list[Graph]:
    """The graphs reachable from the main graph or a signature, in order of discovery."""
    return below(model.main, *(s.graph for s in model.signatures))


def below(*roots: Graph) -> list[Graph]:
    """The given graphs and all subgraphs reachable from them, in order of discovery."""
    found: dict[Graph, None] = {}
    waiting = [*reversed(roots)]
    while waiting:
        graph = waiting.pop()
        if graph in found:
            continue
        found[graph] = None
        waiting += [g for op in graph.ops if op.kind != LOOKUP for g in op.subgraphs()]
    return list(found)


def calling_itself(model: Model) -> Graph | None:
    """A graph that calls itself, directly or by way of others, so that it would never end; None if there is none."""
    ended: set[Graph] = set()
    for start in model.graphs:
        entered: list[Graph] = []
        waiting: list[tuple[Graph, bool]] = [(start, False)]
        while waiting:
            graph, done = waiting.pop()
            if done:
                entered.pop()
                ended.add(graph)
            elif graph in entered:
                return graph
            elif graph not in ended:
                entered.append(graph)
                waiting.append((graph, True))
                waiting += [(g, False) for op in graph.ops for g in op.subgraphs()]
    return None


def callees_first(ops: Sequence[Op], callees: Callable[[Op], Sequence[Graph]] = lambda op: [*op.subgraphs()]) -> list[Graph]:
    """All graphs that operators call, and those that these call: each behind the ones that it calls itself.

    Args:
        ops: the operators.
        callees: the graphs of an operator that count.
    """
    found: dict[Graph, None] = {}
    entered: set[Graph] = set()
    waiting: list[tuple[Graph, bool]] = [(g, False) for op in reversed(ops) for g in reversed(callees(op))]
    while waiting:
        graph, done = waiting.pop()
        if done:
            found[graph] = None
        elif graph not in entered:
            entered.add(graph)
            waiting.append((graph, True))
            waiting += [(g, False) for op in reversed(graph.ops) for g in reversed(callees(op)) if g not in entered]
    return list(found)
