"""Float inputs that carry ids become int32 inputs.

    x float32 --CAST--> int32 --GATHER--> rows                        =>   x int32 --GATHER--> rows
    x float32 --RESHAPE--> r float32 --CAST--> int64                  =>   x int32 --RESHAPE--> r int32 --CAST--> int64
    x float32 --NOT_EQUAL(0.0)--> mask, beside such a CAST            =>   x int32 --NOT_EQUAL(0)--> mask

Some exporters make every input float, token ids too. An int8 code stands for one of 256 values, so ten thousand ids would
become those of their neighbours. Where nothing but a CAST to integers makes use of the values, an int32 input loses nothing:
the CAST drops fractions, and so does whoever calls the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from fullint.model.ir import Graph, Model, Op, Tensor, Uses, constant
from fullint.ops import ROWS, Role, traits_of
from fullint.ops.make import make_cast, make_reshape
from fullint.reporting import Change

IDS = ("int32", "int64", "uint32")
"""What ids are cast to. A CAST to fewer bits has at most as many results as an int8 or int16 input has values."""
CARRIED = "int32"


@dataclass(frozen=True, eq=False)
class Ids:
    """The values of a graph that carry ids.

    Attributes:
        inputs: those of the graph.
        moved: all float values that pass them on, the inputs too.
        casts: the operators that make integers of them.
        constants: (operator, position) of whole numbers that they are compared with, or put beside.
    """

    inputs: tuple[Tensor, ...]
    moved: frozenset[Tensor]
    casts: tuple[Op, ...]
    constants: tuple[tuple[Op, int], ...]


def ids_as_integers(model: Model) -> list[Change]:
    """Make integers of the inputs that carry ids, in place, in all graphs that an application runs."""
    called = {below for _, op in model.ops() for below in op.subgraphs()}
    changes: list[Change] = []
    for graph in model.entries:
        found = find_ids(graph) if graph not in called else None
        if found is not None:
            _apply(graph, found)
            changes += [Change("ids_as_integers", -1, "INPUT", t.name, f"carries ids: {CARRIED}") for t in found.inputs]
    return changes


def find_ids(graph: Graph) -> Ids | None:
    """The values of a graph that carry ids; None if none do."""
    uses = Uses(graph)
    found = {t for t in graph.inputs if t.quant is None}
    found |= {t for op in graph.ops if _moves(op) for t in op.outputs}
    found = {t for t in found if t.dtype == "float32" and t not in uses.outputs and not t.is_variable}
    while True:
        kept = {t for t in found if _carries(t, found, uses)}
        if kept == found:
            break
        found = kept
    inputs = tuple(t for t in graph.inputs if t in found)
    if not inputs:
        return None
    readers = dict.fromkeys(op for t in (*inputs, *uses.producer) if t in found for op, _ in uses.of(t))
    casts = tuple(op for op in readers if _casts(op))
    constants = tuple((op, i) for op in readers for i in _float_operands(op) if _whole(op.inputs[i]))
    return Ids(inputs, frozenset(found), casts, constants)


def _carries(t: Tensor, found: set[Tensor], uses: Uses) -> bool:
    """Whether a value can be an id, as far as the others in `found` are."""
    made = uses.producer.get(t)
    if made is None:
        return _is_cast(t, found, uses) and all(_reads(op, found) for op, _ in uses.of(t))
    return _reads(made, found) and all(_reads(op, found) for op, _ in uses.of(t))


def _is_cast(t: Tensor, found: set[Tensor], uses: Uses) -> bool:
    """Whether integers are made of a value, or of what it is moved to."""
    waiting, seen = [t], {t}
    while waiting:
        for op, _ in uses.of(waiting.pop()):
            if _casts(op):
                return True
            more = [y for y in op.outputs if y in found and y not in seen]
            waiting += more
            seen.update(more)
    return False


def _reads(op: Op, found: set[Tensor]) -> bool:
    """Whether an operator does the same with ids in integers."""
    if op.keep_float or not (_casts(op) or _moves(op) or _compares(op)):
        return False
    operands = [op.inputs[i] for i in _float_operands(op)]
    outputs = [t for t in op.outputs if t.is_float]
    return all(t in found or _whole(t) for t in operands) and all(t in found for t in outputs)


def _casts(op: Op) -> bool:
    return op.kind == "CAST" and op.outputs[0].dtype in IDS


def _moves(op: Op) -> bool:
    row = ROWS.get(op.kind)
    return row is not None and row.int32 and row.traits.moves and all(row.role(i) is Role.SAME for i in _float_operands(op))


def _compares(op: Op) -> bool:
    row = ROWS.get(op.kind)
    return row is not None and row.int32 and traits_of(op.kind).compares


def _float_operands(op: Op) -> Iterator[int]:
    return (i for i, t in enumerate(op.inputs) if t is not None and t.is_float)


def _whole(t: Tensor | None) -> bool:
    """Whether a tensor is a constant of whole numbers that int32 holds."""
    if t is None or t.buffer is None or t.dtype != "float32":
        return False
    return bool((np.abs(t.array) < 2**31).all() and (t.array == np.trunc(t.array)).all())


def _apply(graph: Graph, found: Ids) -> None:
    for op, i in found.constants:
        given = op.inputs[i]
        assert given is not None
        op.inputs[i] = constant(given.name, given.array.astype(np.int32))
    for t in found.moved:
        t.dtype = CARRIED
    for op in found.casts:
        _without_cast(graph, op)
    graph.sync_tensors()


def _without_cast(graph: Graph, cast: Op) -> None:
    """Take a CAST away where it has nothing left to do, in place."""
    x, y = cast.inputs[0], cast.outputs[0]
    assert x is not None
    if y.dtype != CARRIED:
        cast.options = make_cast(x, y).options
        return
    if y in graph.outputs:
        graph.ops[graph.ops.index(cast)] = replace(make_reshape(x, y), origin=cast.origin)
        return
    graph.ops.remove(cast)
    for op in graph.ops:
        op.inputs = [x if t is y else t for t in op.inputs]
