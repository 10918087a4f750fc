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
from fullint.ops import traits_of
from fullint.passes.int16_forms import difference_apart, mean_as_pool
from fullint.quantization.mixed_precision import is_steep, leading_to, range_of_difference
from fullint.quantization.normalizations import (
    Normalization,
    Rewritten,
    computes_wide,
    fewest_operators,
    is_sum,
    normalizations,
    read_at_run_time,
)
from fullint.quantization.shifts import Shifted, shift_into_layers

STEPS = 64
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
    return _written(graph, chosen, sums, ranges, uses)


def _sums(streams: Sequence[Tensor], uses: Uses, behind: Collection[Op]) -> list[Op]:
    """The sums that lead to streams one after the other, and the moves between them."""
    found: dict[Op, None] = {}
    waiting = list(streams)
    while waiting:
        op, moves = _behind_moves(waiting.pop(), uses)
        if op is None or not (is_sum(op) or op in behind):
            continue
        found.update(dict.fromkeys(moves))
        if op not in found and op not in behind:
            found[op] = None
            waiting += read_at_run_time(op)
    return list(found)


def _behind_moves(t: Tensor, uses: Uses) -> tuple[Op | None, list[Op]]:
    """What makes a value, and the moves behind it."""
    moves: list[Op] = []
    while (op := uses.producer.get(t)) is not None and traits_of(op.kind).moves and computes_wide(op):
        read = read_at_run_time(op)
        if len(read) != 1 or traits_of(op.kind).selects:
            break
        moves.append(op)
        t = read[0]
    return op, moves


def _written(
    graph: Graph, chosen: Sequence[Normalization], sums: Sequence[Op], ranges: Mapping[Tensor, Range], uses: Uses
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
        wide.update(dict.fromkeys([*square, *behind]))
    wide.update(dict.fromkeys(new for op in sums for new in instead.get(op, ())))
    ops = [new for op in graph.ops for new in instead.get(op, (op,))]
    new = replace(graph, ops=ops, tensors=list(graph.tensors))
    new.sync_tensors()
    return Streams(new, tuple(op for op in ops if op in wide), spans)


def _without_shift(
    done: Rewritten, n: Normalization, uses: Uses, ranges: Mapping[Tensor, Range], instead: Collection[Op]
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
    return read.low < 0 or made.low * 32767 >= STEPS * read.high


def _ranges_behind(new: Sequence[Op], n: Normalization, ranges: Mapping[Tensor, Range]) -> dict[Tensor, Range]:
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
