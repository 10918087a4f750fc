"""A graph cut before some of its operators, so that it can be run piece by piece.

    x --A--> a --B--> b --C--> y, cut before B and C        =>        x --A--> a  |  a --B--> b  |  b --C--> y

State does not cross a cut: between the first and the last operator that reads or writes one variable, there is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from fullint.model.ir import Graph, Model, Op, Tensor
from fullint.model.subgraphs import below

RESOURCE = "resource"
_NAMES = ("shared_name", "table_id")
"""Options that name a variable, or a table of values."""


@dataclass(frozen=True, eq=False)
class GraphPiece:
    """Some operators of a graph that follow one another.

    Attributes:
        ops: they.
        takes: values that they read and that are computed before.
        gives: values that they compute and that are read later.
        drops: values that nothing reads after them.
    """

    ops: tuple[Op, ...]
    takes: tuple[Tensor, ...]
    gives: tuple[Tensor, ...]
    drops: tuple[Tensor, ...]

    def model(self, version: int) -> Model:
        """The piece as a model of its own."""
        graph = Graph("piece", [], list(self.takes), list(self.gives), list(self.ops))
        graph.sync_tensors()
        return Model(below(graph), version=version)


def without_state(graph: Graph, cuts: Sequence[Op]) -> list[Op]:
    """Those of the cuts that part no variable's operators from each other."""
    place = {op: i for i, op in enumerate(graph.ops)}
    spans: dict[str, tuple[int, int]] = {}
    for i, op in enumerate(graph.ops):
        for name in _variables(op):
            spans[name] = (spans.get(name, (i, i))[0], i)
    return [op for op in cuts if not any(first < place[op] <= last for first, last in spans.values())]


def _variables(op: Op) -> Iterator[str]:
    """Names of the variables that an operator, or a graph that it runs, deals with."""
    for one in (op, *(inner for graph in below(*op.subgraphs()) for inner in graph.ops)):
        yield from (f"{key} {one.options[key]}" for key in _NAMES if key in one.options)
    for t in op.values():
        if t.dtype == RESOURCE or t.is_variable:
            yield f"tensor {id(t)}"


def cut(graph: Graph, cuts: Sequence[Op], wanted: AbstractSet[Tensor]) -> list[GraphPiece]:
    """The pieces that end before each of some operators, in their order; what comes after the last is left out.

    Args:
        graph: of a model.
        cuts: operators of it, in order.
        wanted: values that are looked at after the piece that computes them, besides those that later pieces read.
    """
    ends = [graph.ops.index(op) for op in cuts]
    stretches = [tuple(graph.ops[a:b]) for a, b in zip([0, *ends[:-1]], ends, strict=True)]
    last: dict[Tensor, int] = {}
    for number, ops in enumerate(stretches):
        last.update((t, number) for op in ops for t in _read(op))
    made: set[Tensor] = set(graph.inputs)
    pieces = []
    for number, ops in enumerate(stretches):
        own = dict.fromkeys(t for op in ops for t in op.outputs)
        takes = tuple(dict.fromkeys(t for op in ops for t in _read(op) if t in made and t not in own))
        gives = tuple(t for t in own if last.get(t, -1) > number or t in wanted)
        made |= {*gives}
        drops = tuple(t for t in made if last.get(t, -1) <= number and t not in wanted)
        made -= {*drops}
        pieces.append(GraphPiece(ops, takes, gives, drops))
    return pieces


def _read(op: Op) -> Iterator[Tensor]:
    """Values that an operator reads, not constants and not variables."""
    yield from (t for t in op.inputs if t is not None and not t.is_constant and not t.is_variable and t.dtype != RESOURCE)
