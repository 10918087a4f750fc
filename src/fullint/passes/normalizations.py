"""Normalizations of a stream over some axes, in whichever form they are written.

    m = MEAN(x)   v = MEAN((x - m)^2)   r = RSQRT(v + epsilon)        y = x r g - m r g + b,  (x - m) r g + b,  ...

What the operators behind the root compute is told by multiplying out, not by their order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace

import numpy as np

from fullint.model.ir import Graph, Op, Tensor, Uses, twin
from fullint.ops import ROWS, traits_of
from fullint.ops.make import make_op
from fullint.passes.int16_forms import difference_apart

Terms = Counter[tuple[int, ...]]
"""A polynomial: sorted numbers of the tensors that are multiplied -> factor."""


@dataclass(frozen=True, eq=False)
class NormalizedStream:
    """One of them, without what leads from the square to the root.

    Attributes:
        stream: what is normalized.
        mean: of the stream; None where none is taken away.
        moved: the mean as it is taken away, behind moves.
        difference: the SUB that takes it away; None where only a square of the difference is made.
        square: of the difference.
        root: one over the root of the mean of the square.
        behind: the sums and products of the stream, what is made of it here, and constants.
    """

    stream: Tensor
    mean: Op | None
    moved: Tensor | None
    difference: Op | None
    square: Op
    root: Op
    behind: tuple[Op, ...]


def computes_wide(op: Op | None) -> bool:
    """Whether an operator has an int16 kernel, and makes one activation."""
    row = ROWS.get(op.kind) if op is not None else None
    made = op is not None and not op.keep_float and len(op.outputs) == 1 and op.outputs[0].dtype == "float32"
    return row is not None and bool(row.int16) and made


def is_sum(op: Op | None) -> bool:
    """Whether an operator adds or subtracts, and can in int16."""
    return op is not None and traits_of(op.kind).adds is not None and computes_wide(op)


def is_product(op: Op | None) -> bool:
    """Whether an operator multiplies elements, and can in int16."""
    return op is not None and traits_of(op.kind).multiplies and computes_wide(op)


def read_at_run_time(op: Op) -> list[Tensor]:
    """Float operands that are no constants."""
    return [t for t in op.inputs if t is not None and t.dtype == "float32" and not t.is_constant]


def normalizations(
    graph: Graph, uses: Uses, leading_to: Callable[[Tensor, Uses], list[Op]], roots: Collection[Op]
) -> Iterator[NormalizedStream]:
    """Those of a graph.

    Args:
        graph: prepared.
        uses: of the graph.
        leading_to: the operators from squares to what a root reads.
        roots: its steep operators.
    """
    for root in roots:
        leading = leading_to(root.inputs[0], uses) if root.inputs[0] is not None and computes_wide(root) else []
        if any(traits_of(op.kind).averages for op in leading):
            found = next((n for op in leading if (n := _squared(op, root, uses)) is not None), None)
            if found is not None:
                yield replace(found, behind=tuple(_behind(graph, found, leading)))


def _squared(square: Op, root: Op, uses: Uses) -> NormalizedStream | None:
    """What a square is made of, where it is one of a stream without its mean."""
    if difference_apart(square, uses) is not None:
        stream, mean = _without_mean(square, uses)
        known = stream is not None and mean is not None
        return NormalizedStream(stream, mean, square.inputs[1], None, square, root, ()) if known and stream is not None else None
    x = square.inputs[0]
    if not is_product(square) or x is None or x is not square.inputs[1]:
        return None
    difference = uses.producer.get(x)
    if is_sum(difference) and difference is not None:
        stream, mean = _without_mean(difference, uses)
        if stream is not None:
            return NormalizedStream(stream, mean, difference.inputs[1], difference, square, root, ())
    return NormalizedStream(x, None, None, None, square, root, ())


def _without_mean(op: Op, uses: Uses) -> tuple[Tensor | None, Op | None]:
    x, m = op.inputs[:2]
    mean = behind_moves(m, uses)[0] if m is not None else None
    fits = mean is not None and computes_wide(mean) and traits_of(mean.kind).averages and mean.inputs[0] is x
    return (x, mean) if fits else (None, None)


def behind_moves(t: Tensor, uses: Uses) -> tuple[Op | None, list[Op]]:
    """What makes a value, and the moves behind it."""
    moves: list[Op] = []
    while (op := uses.producer.get(t)) is not None and is_move(op):
        moves.append(op)
        t = read_at_run_time(op)[0]
    return op, moves


def is_move(op: Op) -> bool:
    """Whether an operator puts the values of one tensor elsewhere, and can in int16."""
    traits = traits_of(op.kind)
    return traits.moves and not traits.selects and computes_wide(op) and len(read_at_run_time(op)) == 1


def _behind(graph: Graph, found: NormalizedStream, leading: Collection[Op]) -> Iterator[Op]:
    known = {op.outputs[0] for op in (found.root, found.mean, found.difference) if op is not None}
    for op in graph.ops:
        if op in leading or op is found.difference or not (is_sum(op) or is_product(op) or _keeps_row(op)):
            continue
        read = read_at_run_time(op)
        if read and all(t is found.stream or t in known for t in read) and not known.isdisjoint(read):
            known.update(op.outputs)
            yield op


def _keeps_row(op: Op) -> bool:
    """Whether a move only changes the shape of one value for each row."""
    traits = traits_of(op.kind)
    x, out = op.input(0), op.outputs[0] if op.outputs else None
    same = x is not None and out is not None and x.size == out.size and (not out.shape or out.shape[-1] == 1)
    return same and is_move(op) and traits.passes_small and traits.passes_means


@dataclass(frozen=True, eq=False)
class Rewritten:
    """A normalization in the form with the fewest operators, (x - m) (r g) + b.

    Attributes:
        old: operators that it takes the place of.
        new: the operators.
        product: (x - m) (r g).
        shift: b, if there is one.
    """

    old: tuple[Op, ...]
    new: tuple[Op, ...]
    product: Tensor
    shift: Tensor | None


def fewest_operators(found: NormalizedStream, difference: Tensor, uses: Uses) -> Rewritten | None:
    """What is behind the root written anew; None where it is something else, or what is made on the way is read elsewhere."""
    inside = {*found.behind, found.difference, found.square}
    outer = [op for op in found.behind if any(reader not in inside for reader, _ in uses.of(op.outputs[0]))]
    if len(outer) != 1 or outer[0] is not found.behind[-1] or found.mean is None or any(_clamped(op) for op in found.behind):
        return None
    if any(op.outputs[0] in uses.outputs for op in found.behind[:-1]):
        return None
    out, numbers = outer[0].outputs[0], _Numbers()
    x, m, r = (numbers.of(t) for t in (found.stream, found.mean.outputs[0], found.root.outputs[0]))
    known = _multiplied_out(found, numbers)
    terms = known[out]
    scaled = next((key for key in terms if x in key), ())
    gain, rest = [k for k in scaled if k not in (x, r)], set(terms) - {scaled}
    centre = tuple(sorted((m, r, *gain)))
    shifts = [key for key in rest if key != centre]
    if len(scaled) != 2 + len(gain) or len(gain) > 1 or len(shifts) > 1 or any(len(k) != 1 for k in shifts):
        return None
    if terms[scaled] != 1 or terms[centre] != -1 or any(terms[k] != 1 for k in shifts):
        return None
    g, b = (numbers.tensors[k[0]] if k else None for k in (gain, shifts[0] if shifts else ()))
    if any(t is not None and not t.is_constant for t in (g, b)):
        return None
    kept = [op for op in found.behind if is_move(op) and (op.outputs[0] is found.moved or known[op.outputs[0]] == {(r,): 1})]
    factors = [found.root.outputs[0], *(op.outputs[0] for op in kept if op.outputs[0] is not found.moved)]
    fits = [t for t in factors if len(t.shape) == len(out.shape) and t.shape[-1:] == (1,)]
    return _written(found, difference, fits[0], g, b, kept) if fits else None


def _clamped(op: Op) -> bool:
    return bool(op.options.get("fused_activation_function"))


def _written(
    found: NormalizedStream, difference: Tensor, factor: Tensor, g: Tensor | None, b: Tensor | None, kept: list[Op]
) -> Rewritten:
    out, new, origin = found.behind[-1].outputs[0], list(kept), found.behind[-1].origin
    if g is not None:
        scaled = Tensor(f"{out.name}/factor", np.broadcast_shapes(factor.shape, g.shape), "float32")
        new.append(make_op("MUL", [factor, g], [scaled]))
        factor = scaled
    product = twin(out, f"{out.name}/product") if b is not None else out
    new.append(make_op("MUL", [difference, factor], [product]))
    if b is not None:
        new.append(make_op("ADD", [product, b], [out]))
    made = tuple(op if op in kept else replace(op, origin=origin) for op in new)
    return Rewritten(tuple(op for op in found.behind if op not in kept), made[len(kept) :], product, b)


class _Numbers:
    """A number for each tensor."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []

    def of(self, t: Tensor) -> int:
        if t not in self.tensors:
            self.tensors.append(t)
        return self.tensors.index(t)


def _multiplied_out(found: NormalizedStream, numbers: _Numbers) -> dict[Tensor, Terms]:
    """Each tensor behind the root as a polynomial."""
    known: dict[Tensor, Terms] = {}
    if found.difference is not None and found.mean is not None:
        known[found.difference.outputs[0]] = Counter({(numbers.of(found.stream),): 1, (numbers.of(found.mean.outputs[0]),): -1})

    def terms(t: Tensor) -> Terms:
        if t.is_constant and t.size == 1 and float(t.array.reshape(-1)[0]) == -1:
            return Counter({(): -1})
        return known.get(t) or Counter({(numbers.of(t),): 1})

    for op in found.behind:
        if is_move(op):
            known[op.outputs[0]] = terms(read_at_run_time(op)[0])
            continue
        a, b = (terms(t) for t in op.inputs if t is not None)
        made: Terms = Counter()
        signs = traits_of(op.kind).adds
        if signs is not None:
            for part, sign in ((a, signs[0]), (b, signs[1])):
                for key, factor in part.items():
                    made[key] += sign * factor
        else:
            for k, f in a.items():
                for q, h in b.items():
                    made[tuple(sorted((*k, *q)))] += f * h
        known[op.outputs[0]] = Counter({k: f for k, f in made.items() if f})
    return known
