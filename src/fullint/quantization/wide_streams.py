"""Streams that carry a residual sum from layer to layer, with the normalizations that read it, in int16.

    x --normalization--> QUANTIZE --> layers --> QUANTIZE --> ADD(x, ...) --> x --normalization--> ...
    |______________________________________________________________|

Eight bits round such a stream at every sum, and each normalization several times more, which no layer takes back. Layers and
what is between them stay int8. The normalizations are written with the fewest operators, (x - mean) (r g) + b: in int16 all
forms are equally exact. Streams that no normalization reads, as in convolutional networks, stay as they are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from fullint.model.ir import Graph, Op, Tensor, Uses
from fullint.model.ranges import Range
from fullint.ops import ROWS, traits_of
from fullint.ops.macs import macs
from fullint.passes.int16_forms import difference_apart, mean_as_pool
from fullint.passes.normalizations import (
    NormalizedStream,
    Rewritten,
    behind_moves,
    fewest_operators,
    is_sum,
    normalizations,
    read_at_run_time,
)
from fullint.quantization.mixed_precision import is_steep, leading_to, range_of_difference
from fullint.quantization.shifts import Shifted, shift_into_layers

LEAST_WORK = 25
"""Of the graph for each value that an operator computes in int16. A vision transformer with 30 takes 1.6 times as long, a
conformer with 137 takes 1.2 times."""
MATMUL, SOFTMAX = 10, 100
"""How many multiply-accumulates with constants take as long as one without, and as one value of a softmax."""
FEWEST_STEPS = 64
"""Of an average of squares, of which a root is taken."""


@dataclass(frozen=True, eq=False)
class Streams:
    """A graph with normalizations of streams in the form with the fewest operators.

    Attributes:
        graph: the graph.
        wide: operators that are to compute in int16.
        ranges: of values that the given graph has not.
    """

    graph: Graph
    wide: tuple[Op, ...]
    ranges: Mapping[Tensor, Range]


def wide_streams(graph: Graph, ranges: Mapping[Tensor, Range]) -> Streams:
    """The streams of a graph that are to be int16.

    Args:
        graph: prepared.
        ranges: measured.
    """
    uses = Uses(graph)
    roots = [op for op in graph.ops if is_steep(op) and not op.keep_float]
    found = list(normalizations(graph, uses, leading_to, roots))
    sums = _sums([n.stream for n in found], uses, {op for n in found for op in n.behind})
    if not any(is_sum(op) and len(read_at_run_time(op)) > 1 for op in sums):
        return Streams(graph, (), {})
    on_streams = {t for op in sums for t in (*op.outputs, *read_at_run_time(op))}
    chosen = [n for n in found if n.stream in on_streams or uses.producer.get(n.stream) in {op for m in found for op in m.behind}]
    done = _written(graph, chosen, sums, ranges, uses)
    values = sum(max(t.size for t in op.operands()) for op in done.wide if not traits_of(op.kind).moves)
    return done if _work(graph) >= LEAST_WORK * values else Streams(graph, (), {})


def _work(graph: Graph) -> int:
    """How long the graph takes in int8, in multiply-accumulates with constants."""
    work = 0
    for op in graph.ops:
        row = ROWS.get(op.kind)
        weights = op.input(row.weight) if row is not None and row.weight is not None else None
        work += macs(op) * (1 if weights is None or weights.is_constant else MATMUL)
        work += op.outputs[0].size * SOFTMAX if traits_of(op.kind).softmax else 0
    return work


def _sums(streams: Sequence[Tensor], uses: Uses, behind: Collection[Op]) -> list[Op]:
    """The sums that lead to streams one after the other, and the moves between them."""
    found: dict[Op, None] = {}
    waiting = list(streams)
    while waiting:
        op, moves = behind_moves(waiting.pop(), uses)
        if op is None or not (is_sum(op) or op in behind):
            continue
        found.update(dict.fromkeys(moves))
        if op not in found and op not in behind:
            found[op] = None
            waiting += read_at_run_time(op)
    return list(found)


def _written(
    graph: Graph, chosen: Sequence[NormalizedStream], sums: Sequence[Op], ranges: Mapping[Tensor, Range], uses: Uses
) -> Streams:
    """The graph with the chosen normalizations written anew."""
    wide: dict[Op, None] = dict.fromkeys(sums)
    spans: dict[Tensor, Range] = {}
    instead: dict[Op, tuple[Op, ...]] = {}
    for n in chosen:
        leading = [op for op in leading_to(n.root.inputs[0], uses) if op is not n.square] if n.root.inputs[0] is not None else []
        apart = difference_apart(n.square, uses)
        square = tuple(replace(op, origin=n.square.origin) for op in apart.new) if apart is not None else (n.square,)
        if apart is not None:
            instead[n.square] = square
            spans[square[0].outputs[0]] = range_of_difference(ranges.get(n.square.outputs[0]))
        difference = square[0].outputs[0] if apart is not None else n.difference.outputs[0] if n.difference is not None else None
        done = fewest_operators(n, difference, uses) if difference is not None else None
        behind = n.behind
        if done is not None:
            spans |= _ranges_behind(done.new, n, ranges)
            shifted = _without_shift(done, n, uses, ranges, instead)
            behind = done.new[:-1] if shifted is not None else done.new
            if shifted is not None:
                instead |= {op: (new,) for op, new in shifted.instead.items()}
                spans |= shifted.ranges
            instead |= dict.fromkeys(done.old[:-1], ()) | {done.old[-1]: behind}
        first = [op for op in (n.mean, n.difference) if op is not None]
        for op in (*first, *leading):
            pool = mean_as_pool(op, uses) if traits_of(op.kind).averages and _fine(op, ranges) else None
            if pool is not None:
                instead[op] = tuple(replace(new, origin=op.origin) for new in pool.new)
        wide.update(dict.fromkeys(new for op in (*first, *leading, n.root) for new in instead.get(op, (op,))))
        wide.update(dict.fromkeys([*square, *(op for op in n.behind if op not in instead), *behind]))
    wide.update(dict.fromkeys(new for op in sums for new in instead.get(op, ())))
    ops = [new for op in graph.ops for new in instead.get(op, (op,))]
    new = replace(graph, ops=ops, tensors=list(graph.tensors))
    new.sync_tensors()
    return Streams(new, tuple(op for op in ops if op in wide), spans)


def _without_shift(
    done: Rewritten, n: NormalizedStream, uses: Uses, ranges: Mapping[Tensor, Range], instead: Collection[Op]
) -> Shifted | None:
    """The readers of a normalization that can do without the constant that it adds."""
    if done.shift is None:
        return None
    found = shift_into_layers(n.behind[-1].outputs[0], done.product, done.shift, uses, ranges)
    return found if found is not None and found.instead.keys().isdisjoint(instead) else None


def _fine(op: Op, ranges: Mapping[Tensor, Range]) -> bool:
    """Whether an average has enough int16 steps of what it averages."""
    x = op.inputs[0]
    read, made = (ranges.get(t) for t in (x, op.outputs[0]) if t is not None)
    if read is None or made is None:
        return False
    return read.low < 0 or made.low * 32767 >= FEWEST_STEPS * read.high


def _ranges_behind(new: Sequence[Op], n: NormalizedStream, ranges: Mapping[Tensor, Range]) -> dict[Tensor, Range]:
    """Ranges of what a normalization is written with, from those at its ends; in int16 they may be some bits too wide."""
    spans: dict[Tensor, Range] = {}
    known = dict(ranges)
    for op in new:
        out = op.outputs[0]
        if out in ranges:
            continue
        a, b = op.inputs[:2]
        assert a is not None and b is not None
        if b.is_constant:
            bound = traits_of(op.kind).bound
            span = bound(known[a], Range.of(b.array), False) if bound is not None else None
        else:
            last = new[-1]
            shift = Range.of(last.inputs[1].array) if last is not op and last.inputs[1] is not None else Range(0.0, 0.0)
            whole = ranges[n.behind[-1].outputs[0]]
            span = Range(whole.low - shift.high, whole.high - shift.low)
        if span is not None:
            spans[out] = known[out] = span
    return spans
