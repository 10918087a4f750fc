"""Constants of a model that only hide something: attention masks, and padding in front of a maximum.

SOFTMAX(s + mask)                          the softmax inputs are worth knowing, see `useful_ranges`
MAX_POOL_2D(PADV2(x, -inf))                padding that no window chooses: any value up to x's smallest does
REDUCE_MAX(CONCATENATION(x, -1e4))
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from fullint.model.ir import Model, Op, Tensor, Uses
from fullint.model.ranges import Range
from fullint.ops import ROWS, Role, Same, traits_of

MASK = 1e3
"""Constants beyond it are taken for masks: no score is that large."""


def has_masks(model: Model) -> bool:
    """Whether some constant looks like an attention mask."""
    return any(
        t is not None and t.buffer is not None and t.dtype == "float32" and t.size > 0 and float(t.array.min()) < -MASK
        for _, op in model.ops()
        if traits_of(op.kind).reads_masks
        for t in op.inputs
    )


def softmax_inputs(model: Model) -> list[Tensor]:
    """What softmax reads in the main graph, where masks make its smallest row maximum worth knowing."""
    if not has_masks(model):
        return []
    return [t for op in model.main.ops if traits_of(op.kind).softmax and (t := op.inputs[0]) is not None and t.dtype == "float32"]


@dataclass(frozen=True, eq=False)
class Padding:
    """A constant operand of which nothing but a maximum, or minimum, is made.

    Attributes:
        selects: 1 for a maximum, -1 for a minimum.
        others: the values that it is compared with.
    """

    selects: int
    others: tuple[Tensor, ...]

    def needed(self, ranges: Mapping[Tensor, Range]) -> Range | None:
        """The part of the constant's range that makes a difference; None where the others' ranges are not known."""
        known = [Range.of(t.array) if t.is_constant else ranges.get(t) for t in self.others]
        if not known or any(k is None for k in known):
            return None
        span = Range.union_of(k for k in known if k is not None)
        return Range(span.low, math.inf) if self.selects > 0 else Range(-math.inf, span.high)


def paddings(model: Model) -> dict[tuple[Op, int], Padding]:
    """The padding among the constants of a model, by (operator, operand)."""
    found: dict[tuple[Op, int], Padding] = {}
    for graph in model.graphs:
        uses = Uses(graph)
        for op in graph.ops:
            row = ROWS.get(op.kind)
            if row is None or not op.outputs or not isinstance(row.output(0), Same) or len(op.inputs) < 2:
                continue
            same = [(i, t) for i, t in enumerate(op.inputs) if t is not None and row.role(i) is Role.SAME]
            constants = [(i, t) for i, t in same if t.dtype == "float32" and t.buffer is not None and t.size]
            data = [t for i, t in same if not t.is_constant]
            chosen = _chosen(op.outputs[0], uses) if constants and data and not traits_of(op.kind).selects else None
            if chosen is not None:
                found |= {(op, i): Padding(chosen[0], (*data, *chosen[1])) for i, _ in constants}
    return found


def _chosen(t: Tensor, uses: Uses) -> tuple[int, tuple[Tensor, ...]] | None:
    """What all readers of a tensor choose (1 the largest, -1 the smallest), and from what else; None where one does not."""
    if t in uses.outputs or not uses.of(t):
        return None
    signs: set[int] = set()
    others: list[Tensor] = []
    for op, index in uses.of(t):
        traits = traits_of(op.kind)
        if op.keep_float or index > 1:
            return None
        if traits.selects:
            signs.add(traits.selects)
            others += [x for i, x in enumerate(op.inputs) if i != index and x is not None and x.dtype == "float32"]
        elif traits.moves and not traits.joins and index == 0 and len(op.outputs) == 1:
            further = _chosen(op.outputs[0], uses)
            if further is None:
                return None
            signs.add(further[0])
            others += further[1]
        else:
            return None
    return (signs.pop(), tuple(others)) if len(signs) == 1 else None
