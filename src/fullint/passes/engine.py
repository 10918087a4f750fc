"""The rewrite engine: rules decide, the engine applies.

A rule looks at one operator and returns
    None      the pattern does not match,
    No        the pattern matches, but must not be rewritten here, and why (for the report),
    Rewrite   the operators to remove, those to insert, and why.

New operators write the tensors that the old ones wrote and others still read, so nothing else has to change. A tensor that
becomes a constant, or gets another shape, is part of the rewrite, so a rule whose rewrite is refused, or overlaps with
another one, has changed nothing. The engine applies all rewrites of a sweep that do not overlap, and sweeps again until no
rule fires.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fullint.model.ir import Array, Graph, Model, Op, Tensor, Uses
from fullint.reporting import Change

MAX_SWEEPS = 1000


@dataclass(frozen=True)
class Rewrite:
    """A change to a graph, as a value.

    Attributes:
        old: operators to remove.
        new: operators to insert in their place.
        why: the reason, for the report.
        becomes: tensor -> the tensor whose buffer, parameters and shape it takes over.
    """

    old: tuple[Op, ...]
    new: tuple[Op, ...]
    why: str
    becomes: Mapping[Tensor, Tensor] = field(default_factory=dict)

    @property
    def origins(self) -> tuple[int, ...]:
        """Indices in the input file of the operators whose work the new ones do."""
        return tuple(dict.fromkeys(i for op in self.old for i in op.origins if i >= 0))


@dataclass(frozen=True)
class No:
    """A pattern that matches but is not rewritten; `why` is the reason, for the report."""

    why: str


def private(end: Op, ops: Iterable[Op], uses: Uses) -> list[Op]:
    """The operators whose results are read only by `end` and by each other; `ops` must list readers first."""
    gone = {end}
    found = []
    for op in ops:
        out = op.outputs[0]
        if out not in uses.outputs and all(reader in gone for reader, _ in uses.of(out)):
            gone.add(op)
            found.append(op)
    return found


RewriteRule = Callable[[Op, Uses], Rewrite | No | None]
Evaluate = Callable[[Model], list[Array]]
"""Runs a model without inputs in the runtime, and returns its outputs."""


def sweep(model: Model, rule: RewriteRule, known: dict[Graph, Uses] | None = None) -> list[Change]:
    """Apply one rule to all graphs until it no longer fires.

    Args:
        model: changed in place.
        rule: decides.
        known: uses of graphs as they are, kept from rule to rule while nothing changes.
    """
    changes: list[Change] = []
    for graph in model.graphs:
        changes += _sweep_graph(graph, rule, {} if known is None else known)
    return changes


def _sweep_graph(graph: Graph, rule: RewriteRule, known: dict[Graph, Uses]) -> list[Change]:
    done: list[Change] = []
    for _ in range(MAX_SWEEPS):
        if graph not in known:
            known[graph] = Uses(graph)
        found, refused = _decide(graph, rule, known[graph])
        if not found:
            return done + refused
        done += [_change(rule, r.old[-1], r.why) for r in found]
        _apply(graph, found)
        del known[graph]
    raise AssertionError(f"{rule.__name__} does not come to an end within {MAX_SWEEPS} sweeps")


def _decide(graph: Graph, rule: RewriteRule, uses: Uses) -> tuple[list[Rewrite], list[Change]]:
    taken: set[Op] = set()
    found: list[Rewrite] = []
    refused: list[Change] = []
    for op in graph.ops:
        verdict = rule(op, uses)
        if isinstance(verdict, Rewrite) and (kept := next((o for o in verdict.old if o.keep_float), None)):
            verdict = No(f"{kept.kind} is kept in float, as requested")
        if isinstance(verdict, Rewrite) and (lost := _lost_grid(verdict)) is not None:
            verdict = No(f'"{lost.name}" has quantization parameters from training')
        if isinstance(verdict, No):
            refused.append(_change(rule, op, verdict.why, done=False))
        elif verdict is not None and taken.isdisjoint(verdict.old):
            taken.update(verdict.old)
            found.append(verdict)
    return found, refused


def _lost_grid(r: Rewrite) -> Tensor | None:
    """A tensor with parameters of its own that the rewrite would no longer compute, or None."""
    made = {t for op in r.new for t in op.outputs}
    gone = (t for op in r.old for t in op.outputs if t.quant is not None and t.dtype == "float32" and t not in made)
    return next((t for t in gone if t not in r.becomes), None)


def _apply(graph: Graph, found: Sequence[Rewrite]) -> None:
    """Replace the old operators; the new ones take the position of the last old one."""
    for r in found:
        for t, other in r.becomes.items():
            t.buffer, t.quant, t.shape, t.shape_signature = other.buffer, other.quant, other.shape, other.shape_signature
    gone = {op for r in found for op in r.old}
    index = {op: i for i, op in enumerate(graph.ops)}
    place = {max(r.old, key=index.__getitem__): r for r in found}
    ops: list[Op] = []
    for op in graph.ops:
        if op in place:
            for new in place[op].new:
                new.origin = op.origin if new.origin < 0 else new.origin
                new.folded = place[op].origins
                ops.append(new)
        if op not in gone:
            ops.append(op)
    graph.ops = ops


def _change(rule: RewriteRule, op: Op, why: str, *, done: bool = True) -> Change:
    output = op.output_name
    return Change(rule.__name__, op.origin, op.kind, output, why, done)
