"""Which operators need more than 8 bits, decided from what was measured.

    d = x - mean;  MUL(d, d) -> MEAN -> ADD(epsilon) -> RSQRT

The variances of a normalisation may lie far apart, and the smallest matter most: 1 / sqrt of a code of 1 or 2
is off by a third. Where the smallest value that a root, logarithm or inverse was seen to take is less than
`FEWEST` steps of an int8 range, the operators that lead to it compute in int16, with a QUANTIZE before and
behind. (int16 kernels are slower and not XNNPACK's, so this is done only where the samples ask for it.)
"""

from __future__ import annotations

from collections.abc import Mapping

from fullint.assignment import Range
from fullint.functions import LOOKUP
from fullint.ir import Model, Op, Tensor, Uses
from fullint.ops import ROWS

FEWEST = 8
STEEP = frozenset(("RSQRT",))
_PASSING = frozenset(("ADD", "RESHAPE", "MEAN", "EXPAND_DIMS", "SQUEEZE"))


def wide_operators(model: Model, ranges: Mapping[Tensor, Range]) -> dict[Op, str]:
    """Operators that compute in int16 although activations are int8 -> "int16"."""
    found: dict[Op, str] = {}
    for graph in model.graphs:
        uses = Uses(graph)
        for op in graph.ops:
            x = op.input(0)
            if op.kind in STEEP and x is not None and x in ranges and _spread(ranges[x]):
                found.update(dict.fromkeys([op, *_leading_to(x, uses)], "int16"))
    return found


def _spread(span: Range) -> bool:
    """Whether the smallest value would have few codes of its own."""
    low, high = span
    return 0 < low < high * FEWEST / 255


def _leading_to(t: Tensor, uses: Uses) -> list[Op]:
    """The operators back to the square, as long as nobody else reads between and each has an int16 kernel."""
    found: list[Op] = []
    while True:
        op = uses.producer.get(t)
        row = ROWS.get(op.kind) if op is not None else None
        if op is None or row is None or not row.int16 or op.keep_float or op.kind == LOOKUP:
            return found
        square = op.kind == "MUL" and op.inputs[0] is op.inputs[1]
        if not (square or op.kind in _PASSING):
            return found
        found.append(op)
        data = [x for x in op.inputs if x is not None and x.is_float and not x.is_constant]
        if square or len(data) != 1:
            return found
        t = data[0]
