"""Which operators need more than 8 bits, decided from what was measured.

    d = x - mean;  MUL(d, d) -> MEAN -> ADD(epsilon) -> RSQRT
    MUL(re, re), MUL(im, im) -> ADD -> FULLY_CONNECTED -> MAXIMUM -> LOG

The variances of a normalisation may lie far apart, and the smallest matter most: 1 / sqrt of a code of 1 or 2
is off by a third. So it is with the logarithms of energies. Where the smallest value that a root, logarithm or
inverse was seen to take is less than `FEWEST` steps of an int8 range, it and what leads to it, back to the
squares, compute in int16, with a QUANTIZE before and behind. Where one channel of a normalisation is so large that
the mean of the squares is less than `FEWEST` steps of the squares, most of them are codes of 0, which their mean is
not: then the squares and the mean compute in int16, and the root where the means lie far apart. (int16 kernels are
slower and not XNNPACK's, so this is done only where the samples ask for it.)

A square that has no int16 kernel, but a form that has, is written in it. The difference computes in int16 as well: it
has the resolution of both its operands inside the kernel of SQUARED_DIFFERENCE, and would lose it in int8.

    SQUARED_DIFFERENCE(x, mean) -> MEAN         =>         d = SUB(x, mean);  MUL(d, d) -> MEAN
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from fullint.model.ir import Graph, Model, Op, Tensor, Uses
from fullint.model.ranges import Range
from fullint.model.subgraphs import FUNCTION, LOOKUP
from fullint.ops import ROWS, traits_of
from fullint.passes.int16_forms import difference_apart

FEWEST = 8


def wide_operators(model: Model, ranges: Mapping[Tensor, Range]) -> dict[Op, str]:
    """Operators that compute in int16 although activations are int8 -> "int16"."""
    found: dict[Op, None] = {}
    for graph in model.graphs:
        uses = Uses(graph)
        for op in graph.ops:
            x = op.input(0)
            if x is None or op.keep_float or not is_steep(op):
                continue
            leading = leading_to(x, uses)
            if leading and _spread(_range(x, ranges, uses)):
                found.update(dict.fromkeys([op, *leading]))
            for average in (a for a in leading if _averages_away(a, ranges, uses)):
                found.update(dict.fromkeys(leading_to(average.outputs[0], uses)))
    return dict.fromkeys(found, "int16")


def is_steep(op: Op) -> bool:
    """Whether the slope of an operator grows without bound near 0, and it has an int16 kernel."""
    if op.kind == LOOKUP:
        return any(traits_of(inner.kind).steep for inner in op.options[FUNCTION].ops)
    row = ROWS.get(op.kind)
    return row is not None and row.traits.steep and bool(row.int16)


def _range(t: Tensor, ranges: Mapping[Tensor, Range], uses: Uses) -> Range:
    """The range of a tensor, or of what it only passes on where it was not measured itself."""
    if t in ranges:
        return ranges[t]
    op = uses.producer.get(t)
    while op is not None and op.inputs and (x := op.inputs[0]) is not None:
        if x in ranges:
            return ranges[x]
        op = uses.producer.get(x)
    return Range(0.0, 0.0)


def _spread(span: Range) -> bool:
    """Whether the smallest value would have few codes of its own."""
    return 0 <= span.low < span.high * FEWEST / 255


def _averages_away(op: Op, ranges: Mapping[Tensor, Range], uses: Uses) -> bool:
    """Whether all that an operator averages is seen to come to few steps of what it reads."""
    x = op.inputs[0]
    if not traits_of(op.kind).averages or x is None:
        return False
    read, made = _range(x, ranges, uses), _range(op.outputs[0], ranges, uses)
    return read.low >= 0 and 0 < made.high < read.high * FEWEST / 255


def leading_to(t: Tensor, uses: Uses) -> list[Op]:
    """The operators back to squares, where each has an int16 kernel; none where no square is met."""
    found: dict[Op, None] = {}
    waiting, squares = [t], False
    while waiting:
        op = uses.producer.get(waiting.pop())
        row = ROWS.get(op.kind) if op is not None else None
        if op is None or row is None or op.keep_float or op in found:
            continue
        if not row.int16:
            if difference_apart(op, uses) is not None:
                found[op] = None
                squares = True
            continue
        if row.traits.multiplies and op.inputs[0] is op.inputs[1]:
            found[op] = None
            squares = True
        elif row.traits.passes_small:
            found[op] = None
            waiting += [x for x in op.inputs if x is not None and x.dtype == "float32" and not x.is_constant]
    return list(found) if squares or any(traits_of(op.kind).averages for op in found) else []


@dataclass(frozen=True, eq=False)
class Squares:
    """A graph whose squares have a form with an int16 kernel; its other operators and its tensors are those of the given one.

    Attributes:
        graph: the graph.
        made_by: operator of the given graph -> what it is written as.
        ranges: of the differences.
    """

    graph: Graph
    made_by: Mapping[Op, tuple[Op, ...]]
    ranges: Mapping[Tensor, Range]


def squares_apart(graph: Graph, wide: Collection[Op], ranges: Mapping[Tensor, Range]) -> Squares:
    """Write the squares among some operators in the form that has an int16 kernel.

    Args:
        graph: prepared.
        wide: operators that are to compute in int16.
        ranges: measured.
    """
    uses = Uses(graph)
    instead: dict[Op, tuple[Op, ...]] = {}
    spans: dict[Tensor, Range] = {}
    ops: list[Op] = []
    for op in graph.ops:
        form = difference_apart(op, uses) if op in wide else None
        if form is None:
            ops.append(op)
            continue
        difference, square = (replace(new, origin=op.origin) for new in form.new)
        spans[difference.outputs[0]] = range_of_difference(ranges.get(op.outputs[0]))
        instead[op] = (difference, square)
        ops += instead[op]
    return Squares(replace(graph, ops=ops, tensors=[*graph.tensors, *spans]), instead, spans)


def range_of_difference(square: Range | None) -> Range:
    """The range of a difference, from that of its square."""
    largest = math.sqrt(max(square.high if square is not None else 0.0, 0.0))
    return Range(-largest, largest)
