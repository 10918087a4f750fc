"""Which operators need more than 8 bits, decided from what was measured.

    d = x - mean;  MUL(d, d) -> MEAN -> ADD(epsilon) -> RSQRT
    MUL(re, re), MUL(im, im) -> ADD -> FULLY_CONNECTED -> MAXIMUM -> LOG

The variances of a normalisation may lie far apart, and the smallest matter most: 1 / sqrt of a code of 1 or 2
is off by a third. So it is with the logarithms of energies. Where the smallest value that a root, logarithm or
inverse was seen to take is less than `FEWEST` steps of an int8 range, it and what leads to it, back to the
squares, compute in int16, with a QUANTIZE before and behind. (int16 kernels are slower and not XNNPACK's, so
this is done only where the samples ask for it.)
"""

from __future__ import annotations

from collections.abc import Mapping

from fullint.model.ir import Model, Op, Tensor, Uses
from fullint.model.ranges import Range
from fullint.model.subgraphs import FUNCTION, LOOKUP
from fullint.ops import ROWS, traits_of

FEWEST = 8


def wide_operators(model: Model, ranges: Mapping[Tensor, Range]) -> dict[Op, str]:
    """Operators that compute in int16 although activations are int8 -> "int16"."""
    found: dict[Op, None] = {}
    for graph in model.graphs:
        uses = Uses(graph)
        for op in graph.ops:
            x = op.input(0)
            if x is not None and not op.keep_float and _steep(op) and _spread(ranges.get(x) or _before(x, ranges, uses)):
                leading = _leading_to(x, uses)
                if leading:
                    found.update(dict.fromkeys([op, *leading]))
    return dict.fromkeys(found, "int16")


def _steep(op: Op) -> bool:
    if op.kind == LOOKUP:
        return any(traits_of(inner.kind).steep for inner in op.options[FUNCTION].ops)
    row = ROWS.get(op.kind)
    return row is not None and row.traits.steep and bool(row.int16)


def _before(t: Tensor, ranges: Mapping[Tensor, Range], uses: Uses) -> Range:
    """The range of what a tensor that was not measured only passes on."""
    op = uses.producer.get(t)
    while op is not None and op.inputs and (x := op.inputs[0]) is not None:
        if x in ranges:
            return ranges[x]
        op = uses.producer.get(x)
    return Range(0.0, 0.0)


def _spread(span: Range) -> bool:
    """Whether the smallest value would have few codes of its own."""
    return 0 <= span.low < span.high * FEWEST / 255


def _leading_to(t: Tensor, uses: Uses) -> list[Op]:
    """The operators back to squares, where each has an int16 kernel; none where no square is met."""
    found: dict[Op, None] = {}
    waiting, squares = [t], False
    while waiting:
        op = uses.producer.get(waiting.pop())
        row = ROWS.get(op.kind) if op is not None else None
        if op is None or row is None or not row.int16 or op.keep_float or op in found:
            continue
        if row.traits.multiplies and op.inputs[0] is op.inputs[1]:
            found[op] = None
            squares = True
        elif row.traits.passes_small:
            found[op] = None
            waiting += [x for x in op.inputs if x is not None and x.dtype == "float32" and not x.is_constant]
    return list(found) if squares or any(traits_of(op.kind).averages for op in found) else []
