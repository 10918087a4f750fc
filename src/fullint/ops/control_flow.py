"""Values shared between graphs: control flow and variables.

    WHILE(x) -> y, body x' -> y', cond x'' -> continue?    x', x'', y are the same value; x and y' flow into it
    IF(c, x) -> y, branches x' -> y', x'' -> y''           x', x'' are the same value, x flows into it; y', y'' flow into y
    ASSIGN_VARIABLE(v, x)   READ_VARIABLE(v) -> y          all y are the same value, every x flows into it

A `Tie` describes one such value: the tensors that are this value (hard: they must have the same parameters), and the edges
that flow into it (soft: a requantize can be inserted there).
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field

from fullint.model.ir import Graph, Model, Op, Tensor
from fullint.printable import escaped

BODY, COND = "body_subgraph_index", "cond_subgraph_index"
THEN, ELSE = "then_subgraph_index", "else_subgraph_index"


@dataclass
class Tie:
    """A value shared between graphs.

    Attributes:
        anchor: one of the tensors that are this value.
        hard: the others, which must have the same parameters.
        soft: (operator, input position, tensor) of each edge that flows into it.
    """

    anchor: Tensor
    hard: list[Tensor] = field(default_factory=list)
    soft: list[tuple[Op, int, Tensor]] = field(default_factory=list)


def ties(model: Model, returns: MutableMapping[Graph, Op]) -> list[Tie]:
    """The ties of all shared float values; `returns` is filled with subgraph -> its RETURN pseudo-operator."""
    entries = model.entries
    for graph in model.graphs:
        if graph not in entries:
            returns.setdefault(graph, Op(RETURN, list(graph.outputs), []))
    found: list[Tie] = []
    for _, op in model.ops():
        if op.kind == "WHILE":
            found += _loop(op, returns)
        elif op.kind == "IF":
            found += _branches(op, returns)
    return found + list(_variables(model).values())


def _loop(op: Op, returns: MutableMapping[Graph, Op]) -> list[Tie]:
    body, cond = op.options[BODY], op.options[COND]
    found = []
    for i, (before, inside) in enumerate(zip(op.inputs, body.inputs, strict=True)):
        if inside.dtype != "float32" or before is None:
            continue
        tie = Tie(inside, [cond.inputs[i], op.outputs[i]], [(op, i, before)])
        if body.outputs[i] is not inside:
            tie.soft.append((returns[body], i, body.outputs[i]))
        found.append(tie)
    return found


def _branches(op: Op, returns: MutableMapping[Graph, Op]) -> list[Tie]:
    graphs: list[Graph] = [op.options[THEN], op.options[ELSE]]
    found = []
    for i, t in enumerate(op.inputs[1:]):
        if t is not None and t.dtype == "float32":
            found.append(Tie(graphs[0].inputs[i], [graphs[1].inputs[i]], [(op, i + 1, t)]))
    for i, t in enumerate(op.outputs):
        if t.dtype == "float32":
            found.append(Tie(t, [], [(returns[g], i, g.outputs[i]) for g in graphs]))
    return found


def call_problems(op: Op) -> Iterator[str]:
    """Where the operands of an IF or WHILE do not go with those of its graphs, as sentences."""
    pairs: list[tuple[Sequence[Tensor | None], Sequence[Tensor]]]
    if op.kind == "WHILE":
        body, cond = op.options[BODY], op.options[COND]
        pairs = [(op.inputs, body.inputs), (op.inputs, cond.inputs), (op.outputs, body.outputs)]
    elif op.kind == "IF":
        branches = (op.options[THEN], op.options[ELSE])
        pairs = [*((op.inputs[1:], g.inputs) for g in branches), *((op.outputs, g.outputs) for g in branches)]
    else:
        return
    for own, others in pairs:
        if len(own) != len(others):
            yield f"has {len(own)} operands where its graph has {len(others)}"
            continue
        for a, b in zip(own, others, strict=True):
            if a is not None and a.dtype != b.dtype:
                yield f'"{a.name}" is {a.dtype}, but in its graph "{b.name}" is {b.dtype}'


def variable_keys(model: Model) -> dict[Tensor, tuple[object, object]]:
    """Resource tensor -> (container, name) of the variable it is a handle for."""
    keys: dict[Tensor, tuple[object, object]] = {}
    for _, op in model.ops():
        if op.kind == "VAR_HANDLE":
            keys[op.outputs[0]] = (op.options.get("container"), op.options.get("shared_name"))
    return keys


def reads_without_value(model: Model) -> list[tuple[int, Op, str]]:
    """(graph, operator, variable) where a variable is read that nothing in the model ever gives a value.

    What the runtime reads there differs from run to run.
    """
    keys = variable_keys(model)
    given = {keys.get(handle) for _, op in model.ops() if op.kind == "ASSIGN_VARIABLE" and (handle := op.input(0)) is not None}
    if None in given:  # a handle that comes from elsewhere may be that of any variable
        return []
    reads = [(number, op, keys.get(op.inputs[0])) for number, op in model.ops() if op.kind == "READ_VARIABLE" and op.inputs[0]]
    return [(number, op, _text(key[1])) for number, op, key in reads if key is not None and key not in given]


def _text(name: object) -> str:
    return escaped(name.decode(errors="surrogateescape")) if isinstance(name, bytes) else str(name or "")


def _variables(model: Model) -> dict[object, Tie]:
    keys = variable_keys(model)
    found: dict[object, Tie] = {}
    for _, op in model.ops():
        handle = op.input(0)
        key = keys.get(handle) if handle is not None else None
        if op.kind == "READ_VARIABLE" and op.outputs[0].dtype == "float32":
            tie = found.setdefault(key, Tie(op.outputs[0]))
            if tie.anchor is not op.outputs[0]:
                tie.hard.append(op.outputs[0])
    for _, op in model.ops():
        handle, value = op.input(0), op.input(1)
        key = keys.get(handle) if handle is not None else None
        if op.kind == "ASSIGN_VARIABLE" and value is not None and value.dtype == "float32" and key in found:
            found[key].soft.append((op, 1, value))
    return found


RETURN = "RETURN"
"""Type of the pseudo-operator that reads a subgraph's outputs and returns them to the caller."""
