"""Which activations share scale and zero point: groups of tensors, joined operator by operator.

    MAXIMUM(a, b) -> c                 a, b, c share
    WHILE(x) { body: x' -> y' } -> y   x', y', y share, and x unless that coarsens it
    a --SOFTMAX--> b, CONCATENATION(b, c)    b is fixed at 1/256: where that cannot hold c, b is cut off

A group whose fixed member cannot hold the group's range is cut: the edge is recorded, with its reason,
and becomes a QUANTIZE from integers to integers. (Union-find over tensors, ranges and fixed parameters at the roots.)
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fullint.calibration.observed import clips, given_params
from fullint.model.ir import Graph, Model, Op, Quant, Tensor, Uses
from fullint.model.numerics import activation_params, as_activation, representable
from fullint.model.ranges import Range
from fullint.ops import ROWS, Fixed, Role, Same
from fullint.ops.base import CONVERSIONS
from fullint.ops.control_flow import Tie
from fullint.quantization.assignment import Cut, Encoding, Operand
from fullint.quantization.element_types import ElementTypes
from fullint.quantization.least_scales import raise_scales
from fullint.quantization.tensor_groups import TensorGroups, with_zero_point_0

FREE_RATIO = 1.5
"""Sharing a range that makes an operand's steps this much coarser costs next to nothing."""


@dataclass(frozen=True)
class Sharing:
    """What scale sharing decides.

    Attributes:
        tensors: encodings of the activations.
        operands: of inputs that are read in another encoding than their tensor's: constants, and what is cut.
        cuts: the edges that were cut, with their reasons.
        notes: scales that had to be raised, in sentences.
    """

    tensors: Mapping[Tensor, Encoding]
    operands: Mapping[Operand, Encoding]
    cuts: tuple[Cut, ...]
    notes: tuple[str, ...] = ()


def share_scales(
    model: Model,
    ranges: Mapping[Tensor, Range],
    useful: Mapping[Tensor, Range],
    masks: Mapping[Operand, Range],
    tied: Sequence[Tie],
    types: ElementTypes,
    pinned: Mapping[Tensor, tuple[Quant, str]],
    symmetric: Collection[Tensor] = (),
) -> Sharing:
    """Encodings of all activations, and of constants that are used like activations.

    Args:
        model: prepared.
        ranges: measured, and of values that cross graphs.
        useful: the part of a tensor's range that its readers can tell apart, where it is not all.
        masks: the useful part of constants that look like masks, or are padding.
        tied: values that cross graphs.
        types: element types.
        pinned: parameters, with their type, that some tensors are to have.
        symmetric: activations that get zero point 0, and with them all that share their scale.
    """
    uses = Uses(*model.graphs)
    uses.outputs = {t for graph in model.entries for t in graph.outputs}
    fixed = {t: q for t, (q, kind) in pinned.items() if kind == types.of_tensor(t)}
    found = _Sharing(model.graphs, TensorGroups(ranges, useful, fixed, uses, types.of_tensor), tied, types, masks)
    found.join_all()
    constants = _own_constants(found.ops(), masks, types, symmetric)
    notes = raise_scales([*found.ops()], found.groups, constants, ranges, types)
    notes += found.groups.make_symmetric(symmetric)
    tensors = {t: Encoding(types.of_tensor(t), found.groups.params(t)) for t in float_activations(model.graphs)}
    anchored = {operand: tensors[anchor] for operand, anchor in found.anchored.items()}
    operands = {**found.compared, **constants, **_zeros(constants, tensors), **anchored}
    operands |= _of_cuts(found.cuts, tensors, operands)
    between, cuts = _between_types(found, tensors, operands, types)
    return Sharing(tensors, {**operands, **between}, (*found.cuts, *cuts), notes)


class _Sharing:
    """Joins what shares parameters, operator by operator."""

    def __init__(
        self,
        graphs: Sequence[Graph],
        groups: TensorGroups,
        tied: Sequence[Tie],
        types: ElementTypes,
        masks: Mapping[Operand, Range],
    ) -> None:
        self.masks = masks
        self.graphs, self.groups, self.tied, self.types = graphs, groups, tied, types
        self.anchored: dict[Operand, Tensor] = {}
        """Operands that take the parameters of a group without being in it: constants, and what is cut off."""
        self.compared: dict[Operand, Encoding] = {}
        """Operands of comparisons that have a grid of their own."""
        self.cuts: list[Cut] = []
        for op in self.ops():
            self._fix(op)

    def ops(self) -> Iterator[Op]:
        """Every operator that is to be integer."""
        for graph in self.graphs:
            yield from (op for op in graph.ops if not op.keep_float)

    def _fix(self, op: Op) -> None:
        """Parameters that are demanded: by a kernel, or by the integer part of a half-quantized model."""
        if (given := given_params(op)) is not None:
            self.groups.fixed[op.outputs[0]] = given[0]
        if op.kind == "CAST" and (t := op.outputs[0]) in self.groups.range:
            whole = _whole_numbers(self.groups.range[t], self.types.of(op))
            self.groups.fixed |= {t: whole} if whole is not None else {}
        row = ROWS.get(op.kind)
        for i, t in enumerate(op.outputs):
            rule = row.output(i) if row else None
            if t.dtype == "float32" and isinstance(rule, Fixed):
                self.groups.fixed[t] = rule.of_type(self.types.of(op))
        for t in op.outputs:
            if t in self.groups.fixed:  # what it may hold counts when others join its group, or it is cut off
                self.groups.range.setdefault(t, representable(self.groups.fixed[t], self.types.of_tensor(t)))

    def join_all(self) -> None:
        """Join all tensors that share scale and zero point, operator by operator."""
        for tie in self.tied:
            for t in tie.hard:
                self.groups.union(tie.anchor, t)
        for op in self.ops():
            self._join_operator(op)
        for tie in self.tied:
            self._join_tie(tie)
        for op in self.ops():
            self._adopt_quantize(op)

    def _join_tie(self, tie: Tie) -> None:
        for op, i, t in tie.soft:
            if t.is_constant:
                self.anchored[op, i] = tie.anchor
                self.groups.widen(tie.anchor, Range.of(t.array).with_zero())
            elif self.groups.root(t) is not self.groups.root(tie.anchor):
                self._join_edge(op, i, t, tie.anchor, many=True)
                if self.groups.root(t) is not self.groups.root(tie.anchor):  # cut off: it arrives in the anchor's parameters
                    self.groups.widen(tie.anchor, self.groups.whole_range(t))
                    self.anchored[op, i] = tie.anchor

    def _adopt_quantize(self, op: Op) -> None:
        """A QUANTIZE that is in the file already says what its float input's parameters are, if they hold it."""
        x = op.input(0)
        if op.kind != "QUANTIZE" or x is None or x.dtype != "float32" or x.is_constant:
            return
        given, root = as_activation(op.outputs[0]), self.groups.root(x)
        if given is None or root in self.groups.fixed or self.types.of_tensor(x) != given[1]:
            return
        quant, dtype = given
        private = self.groups.members(root) == [x] and self.groups.uses.only_reader(x) is op
        if private or self.groups.holds(quant, self.groups.whole_range(x), dtype):
            self.groups.fixed[root] = quant

    def _join_operator(self, op: Op) -> None:
        row = ROWS.get(op.kind)
        if row is None or op.kind in CONVERSIONS:
            return
        same = [i for i, t in enumerate(op.inputs) if t is not None and t.dtype == "float32" and row.role(i) is Role.SAME]
        outputs = [t for i, t in enumerate(op.outputs) if t.dtype == "float32" and isinstance(row.output(i), Same)]
        if not same:
            return
        if not outputs:
            self._join_comparison(op, same)
            return
        anchor = outputs[0]
        for other in outputs[1:]:
            self.groups.union(anchor, other)
        if len(same) > 1 and not clips(op):
            self.groups.widen(anchor, self._joint(op, same))
        for i in same:
            t = op.inputs[i]
            assert t is not None
            if t.is_constant:
                self.anchored[op, i] = anchor
                self.groups.range.setdefault(self.groups.root(anchor), self.groups.narrow(anchor, self._constant(op, i, t)))
            elif self.groups.root(t) is not self.groups.root(anchor):
                self._join_edge(op, i, t, anchor, many=len(same) > 1 and not clips(op))

    def _join_comparison(self, op: Op, same: list[int]) -> None:
        """Operands of a comparison get one grid that holds them all, for the comparison alone where need be."""
        data = [t for i in same if (t := op.inputs[i]) is not None and not t.is_constant]
        joint = self._joint(op, same)
        first = data[0] if data else None
        shared = first is not None and all(self._takes(op, t, joint) for t in data) and len({*map(self.groups.root, data)}) == 1
        if shared and first is not None:
            self.groups.widen(first, joint)
            self.anchored |= {(op, i): first for i in same if (t := op.inputs[i]) is not None and t.is_constant}
            return
        kind = self.types.of(op)
        for i in same:
            t = op.inputs[i]
            self.compared[op, i] = Encoding(kind, activation_params(joint, kind))
            if t is not None and not t.is_constant:
                self.cuts.append(Cut(op, i, f"a comparison over {joint} needs scale and zero point of its own"))

    def _takes(self, op: Op, t: Tensor, joint: Range) -> bool:
        """Whether a tensor can be given the grid of a comparison without harm."""
        root, own = self.groups.root(t), self.groups.whole_range(t)
        if root in self.groups.fixed:
            return self.groups.holds(self.groups.fixed[root], joint, self.types.of_tensor(t))
        if self.types.of_tensor(t) != self.types.of(op):
            return False
        return self.groups.alone(op, t) or joint.width <= FREE_RATIO * max(own.width, 1e-30)

    def _join_edge(self, op: Op, i: int, t: Tensor, anchor: Tensor, *, many: bool) -> None:
        why = self._conflict(op, t, anchor, many)
        if why is None:
            self.groups.union(anchor, t, keep_range=clips(op) and self.groups.private(op, t))
        else:
            self.cuts.append(Cut(op, i, why))

    def _conflict(self, op: Op, t: Tensor, anchor: Tensor, many: bool) -> str | None:
        """Why an input cannot share its operator's parameters, or None."""
        a, b = self.groups.root(anchor), self.groups.root(t)
        kind, own = self.types.of_tensor(anchor), self.types.of_tensor(t)
        fa, fb, span = self.groups.fixed.get(a), self.groups.fixed.get(b), self.groups.whole_range(t)
        if kind != own:
            self.groups.widen(anchor, span)
            return f"it computes in {kind}, but its input is {own}"
        if fa is not None and fb is not None:
            return None if fa.same_as(fb) else f"its input has the fixed {fb}, its group the fixed {fa}"
        if fb is not None and a in self.groups.range and not self.groups.holds(fb, self.groups.range[a], own):
            return f"its input has the fixed {fb}, too small for the group's {self.groups.range[a]}"
        if fa is not None and not self.groups.holds(fa, span, own):
            return f"its group has the fixed {fa}, too small for the input's {span}"
        if clips(op) and fb is None and a in self.groups.range and not self.groups.private(op, t):
            clipped = self.groups.range[a]
            if span.width > FREE_RATIO * max(clipped.width, 1e-30):
                return (
                    f"it clips to {clipped}, which needs a finer scale than its input's {span}; other operators read that input"
                )
        if self.groups.alone(op, t) or not many or fb is not None:
            return None
        joint = representable(fa, own) if fa is not None else self.groups.range.get(a, span)
        if joint.width > FREE_RATIO * max(span.width, 1e-12):
            return f"sharing {joint} would coarsen its input's {span}, which has other readers"
        return None

    def _constant(self, op: Op, i: int, t: Tensor) -> Range:
        """What a constant operand needs, 0 included."""
        span = Range.of(t.array)
        return span.clip(self.masks.get((op, i), span)).with_zero()

    def _joint(self, op: Op, same: list[int]) -> Range:
        """What the values of all operands that share parameters span together, as far as it matters to the readers."""
        spans = []
        for i in same:
            t = op.inputs[i]
            assert t is not None
            spans.append(self._constant(op, i, t) if t.is_constant else self.groups.whole_range(t))
        joint = Range.union_of(spans)
        return self.groups.narrow(op.outputs[0], joint) if op.outputs else joint


def _zeros(constants: Mapping[Operand, Encoding], tensors: Mapping[Tensor, Encoding]) -> dict[Operand, Encoding]:
    """Zeros in a sum, which have the parameters of the sum: their own would be as good as any, but too large for a tiny one."""
    sums = [(op, i) for op, i in constants if (row := ROWS.get(op.kind)) is not None and row.traits.adds is not None]
    return {(op, i): tensors[op.outputs[0]] for op, i in sums if (t := op.inputs[i]) is not None and not t.array.any()}


def _own_constants(
    ops: Iterator[Op], masks: Mapping[Operand, Range], types: ElementTypes, symmetric: Collection[Tensor]
) -> dict[Operand, Encoding]:
    """Constants used like activations: parameters from their own values, a copy per reader."""
    found: dict[Operand, Encoding] = {}
    for op in ops:
        row = ROWS.get(op.kind)
        for i, t in enumerate(op.inputs):
            if row is None or t is None or t.dtype != "float32" or not t.is_constant or row.role(i) is not Role.OWN:
                continue
            kind, span = types.of(op), Range.of(t.array).with_zero()
            keeps = t.quant is not None and not t.quant.per_channel and kind == "int8"
            span = span.intersection(masks.get((op, i), span))
            centred = bool(op.outputs) and op.outputs[0] in symmetric
            keeps = keeps and not centred
            params = activation_params(with_zero_point_0(span) if centred else span, kind)
            found[op, i] = Encoding(kind, (t.quant if keeps else None) or params)
    return found


def _of_cuts(
    cuts: Sequence[Cut], tensors: Mapping[Tensor, Encoding], operands: Mapping[Operand, Encoding]
) -> dict[Operand, Encoding]:
    """Operands that are cut off are read in the parameters of what their operator writes, or of its other operands."""
    found: dict[Operand, Encoding] = {}
    for cut in cuts:
        if (cut.op, cut.input) in operands:
            continue
        target = cut.op.outputs[0] if cut.op.outputs and cut.op.outputs[0] in tensors else None
        anchor = target or next(t for i, t in enumerate(cut.op.inputs) if i != cut.input and t in tensors)
        assert anchor is not None
        found[cut.op, cut.input] = tensors[anchor]
    return found


def _between_types(
    sharing: _Sharing, tensors: Mapping[Tensor, Encoding], operands: Mapping[Operand, Encoding], types: ElementTypes
) -> tuple[dict[Operand, Encoding], list[Cut]]:
    """An operand of another element type than its operator's is requantized, over the same range."""
    found: dict[Operand, Encoding] = {}
    cuts: list[Cut] = []
    for op in sharing.ops():
        row, kind = ROWS.get(op.kind), types.of(op)
        for i, t in enumerate(op.inputs):
            if row is None or t is None or t not in tensors or (op, i) in operands or row.role(i) is not Role.OWN:
                continue
            if tensors[t].dtype != kind:
                found[op, i] = Encoding(kind, activation_params(sharing.groups.whole_range(t), kind))
                cuts.append(Cut(op, i, f"it computes in {kind}, but its input is {tensors[t].dtype}"))
    return found, cuts


def float_activations(graphs: Sequence[Graph]) -> Iterator[Tensor]:
    """Every float tensor that is no constant."""
    for graph in graphs:
        yield from (t for t in graph.inputs if t.dtype == "float32")
        for op in graph.ops:
            yield from (t for t in op.outputs if t.dtype == "float32")


def _whole_numbers(span: Range, dtype: str) -> Quant | None:
    """Parameters for integers: a power of two as scale, so that each of them is exact. None where they are too many."""
    span = span.with_zero()
    if dtype == "int16":
        return Quant.of(2.0 ** -math.floor(math.log2(32767 / span.largest))) if 0 < span.largest <= 32767 else None
    if not 0 < span.width <= 255:
        return None
    scale = 2.0 ** -math.floor(math.log2(255 / span.width))
    return Quant.of(scale, round(-128 - span.low / scale))
