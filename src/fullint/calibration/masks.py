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
        ends: what the maxima give; their ranges tell whether a constant was ever chosen, by a window of padding alone.
    """

    selects: int
    others: tuple[Tensor, ...]
    ends: tuple[Tensor, ...]

    def needed(self, own: Range, ranges: Mapping[Tensor, Range]) -> Range | None:
        """The part of the constant's range that makes a difference; None where all of it does, or that is not known.

        Args:
            own: the range of the constant's values.
            ranges: measured, and of tensors that pass measured values on.
        """
        known = [Range.of(t.array) if t.is_constant else ranges.get(t) for t in self.others]
        seen = [ranges.get(t) for t in self.ends]
        if not known or not seen or any(k is None for k in (*known, *seen)):
            return None
        span = Range.union_of(k for k in known if k is not None)
        chosen = Range.union_of(k for k in seen if k is not None)
        if self.selects > 0:
            return Range(span.low, math.inf) if own.low < chosen.low else None
        return Range(-math.inf, span.high) if own.high > chosen.high else None


def paddings(model: Model) -> dict[tuple[Op, int], Padding]:
    """The padding among the constants of a model, by (operator, operand)."""
    found: dict[tuple[Op, int], Padding] = {}
    for graph in model.graphs:
        uses = Uses(graph)
        for op in graph.ops:
            same = _same_operands(op)
            constants = [(i, t) for i, t in same if t.dtype == "float32" and t.buffer is not None and t.size]
            data = [t for _, t in same if not t.is_constant]
            chosen = _chosen(op.outputs[0], uses) if constants and data and not traits_of(op.kind).selects else None
            if chosen is not None:
                sign, others, ends = chosen
                found |= {(op, i): Padding(sign, (*data, *others), ends) for i, _ in constants}
    return found


def _same_operands(op: Op) -> list[tuple[int, Tensor]]:
    """The operands of an operator that puts them beside one another, or moves one; none for others."""
    row = ROWS.get(op.kind)
    if row is None or len(op.outputs) != 1 or not isinstance(row.output(0), Same) or row.traits.averages or op.keep_float:
        return []
    return [(i, t) for i, t in enumerate(op.inputs) if t is not None and row.role(i) is Role.SAME]


def _chosen(t: Tensor, uses: Uses) -> tuple[int, tuple[Tensor, ...], tuple[Tensor, ...]] | None:
    """(1 where all readers of a tensor choose the largest value, -1 the smallest; from what else; what they give), or None."""
    if t in uses.outputs or not uses.of(t):
        return None
    signs: set[int] = set()
    others: list[Tensor] = []
    ends: list[Tensor] = []
    for op, index in uses.of(t):
        traits, same = traits_of(op.kind), _same_operands(op)
        beside = [x for i, x in same if i != index]
        if not same or index not in [i for i, _ in same]:
            return None
        others += [x for x in beside if traits.selects or not x.is_constant]
        if traits.selects:
            signs.add(traits.selects)
            ends.append(op.outputs[0])
            continue
        further = _chosen(op.outputs[0], uses)
        if further is None:
            return None
        signs.add(further[0])
        others += further[1]
        ends += further[2]
    return (signs.pop(), tuple(others), tuple(ends)) if len(signs) == 1 else None
