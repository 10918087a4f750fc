"""Values that cross from graph to graph: control flow and variables.

    WHILE(x) -> y, body x' -> y', cond x'' -> go on?      x', x'', y are one value in turn; x and y' flow into it
    IF(c, x) -> y, branches x' -> y', x'' -> y''          x', x'' are one value that x flows into; y' and y'' flow into y
    ASSIGN_VARIABLE(v, x)   READ_VARIABLE(v) -> y          all y are one value that every x flows into

A `Tie` says it for one value: tensors that are it (hard: they cannot have other parameters), and edges
that flow into it (soft: a requantize fits there).
"""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass, field

from fullint.model.ir import Graph, Model, Op, Tensor

BODY, COND = "body_subgraph_index", "cond_subgraph_index"
THEN, ELSE = "then_subgraph_index", "else_subgraph_index"


@dataclass
class Tie:
    """One value that several graphs see."""

    anchor: Tensor
    hard: list[Tensor] = field(default_factory=list)
    soft: list[tuple[Op, int, Tensor]] = field(default_factory=list)


def ties(model: Model, returns: MutableMapping[Graph, Op]) -> list[Tie]:
    """Every float value that crosses; `returns` gets the RETURN of each subgraph."""
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


def variable_keys(model: Model) -> dict[Tensor, tuple[object, object]]:
    """Resource tensor -> the variable it is a handle of."""
    keys: dict[Tensor, tuple[object, object]] = {}
    for _, op in model.ops():
        if op.kind == "VAR_HANDLE":
            keys[op.outputs[0]] = (op.options.get("container"), op.options.get("shared_name"))
    return keys


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
"""Kind of the pseudo-operator that reads a subgraph's outputs and hands them to the caller."""
