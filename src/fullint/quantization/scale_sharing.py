"""Which activations share scale and zero point: groups of tensors, joined operator by operator.

    MAXIMUM(a, b) -> c                 a, b, c share
    WHILE(x) { body: x' -> y' } -> y   x', y', y share, and x unless that coarsens it
    a --SOFTMAX--> b, CONCATENATION(b, c)    b is fixed at 1/256: where that cannot hold c, b is cut off

A group whose fixed member cannot hold the group's range is cut: the edge is recorded, with its reason,
and becomes an int8 -> int8 QUANTIZE. (Union-find over tensors, ranges and fixed parameters at the roots.)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from fullint.calibration.observed import clips, given_params
from fullint.calibration.statistics import Range
from fullint.model.ir import Array, Graph, Model, Op, Quant, Tensor, Uses
from fullint.model.numerics import activation_params, as_activation, representable
from fullint.ops import ROWS, Fixed, Role, Same
from fullint.ops.base import CONVERSIONS
from fullint.ops.control_flow import Tie
from fullint.quantization.assignment import Assignment, Cut
from fullint.quantization.tensor_groups import TensorGroups

FREE_RATIO = 1.5
"""Sharing a range that makes an operand's steps this much coarser costs next to nothing."""


class ScaleSharing:
    """Joins what shares parameters, operator by operator, and writes the parameters down in an assignment."""

    def __init__(
        self,
        model: Model,
        ranges: Mapping[Tensor, Range],
        useful: Mapping[Tensor, Range],
        masks: Mapping[tuple[Op, int], Range],
        tied: Sequence[Tie],
        result: Assignment,
        pinned: Mapping[Tensor, tuple[Quant, str]] | None = None,
    ) -> None:
        self.graphs: Sequence[Graph] = model.graphs
        self.uses = Uses(*model.graphs)
        self.uses.outputs = {t for graph in model.entries for t in graph.outputs}
        self.tied, self.masks, self.result = tied, masks, result
        fixed = {t: q for t, (q, kind) in (pinned or {}).items() if kind == result.type_of(t)}
        self.groups = TensorGroups(ranges, useful, fixed, self.uses, result.type_of)
        self.anchored: list[tuple[Op, int, Tensor]] = []
        """Operands that take the parameters of a group without being in it: constants, and what is cut off."""
        for op in self._ops():
            self._fix(op)

    def _ops(self) -> Iterator[Op]:
        """Every operator that is to be integer."""
        for graph in self.graphs:
            yield from (op for op in graph.ops if not op.keep_float)

    def _fix(self, op: Op) -> None:
        """Parameters that are demanded: by a kernel, or by the integer part of a half-quantized model."""
        if (given := given_params(op)) is not None:
            self.groups.fixed[op.outputs[0]] = given[0]
        if op.kind == "CAST" and (t := op.outputs[0]) in self.groups.range:
            whole = _whole_numbers(self.groups.range[t], self.result.op_type(op))
            self.groups.fixed |= {t: whole} if whole is not None else {}
        row = ROWS.get(op.kind)
        for i, t in enumerate(op.outputs):
            rule = row.output(i) if row else None
            if t.dtype == "float32" and isinstance(rule, Fixed):
                self.groups.fixed[t] = rule.of_type(self.result.op_type(op))
        for t in op.outputs:
            if t in self.groups.fixed:  # what it may hold counts when others join its group, or it is cut off
                self.groups.range.setdefault(t, representable(self.groups.fixed[t], self.result.type_of(t)))

    def solve(self) -> None:
        """Join everything, then write the parameters down."""
        for tie in self.tied:
            for t in tie.hard:
                self.groups.union(tie.anchor, t)
        for op in self._ops():
            self._join_operator(op)
        for tie in self.tied:
            self._join_tie(tie)
        for op in self._ops():
            self._adopt_quantize(op)
        for tensor in float_activations(self.graphs):
            self.result.params[tensor] = self.groups.params(tensor)
        _own_constants(self._ops(), self.masks, self.result)
        for op, i, anchor in self.anchored:
            self.result.operand[op, i] = self.result.params[anchor]
        _cut_params(self.result)
        self._cut_types()

    def _join_tie(self, tie: Tie) -> None:
        for op, i, t in tie.soft:
            self.result.tied_types[op, i] = self.result.type_of(tie.anchor)
            if t.is_constant:
                self.anchored.append((op, i, tie.anchor))
                self.groups.widen(tie.anchor, _range_of(t.array))
            elif self.groups.root(t) is not self.groups.root(tie.anchor):
                self._join_edge(op, i, t, tie.anchor, many=True)
                if self.groups.root(t) is not self.groups.root(tie.anchor):  # cut off: it arrives in the anchor's parameters
                    self.groups.widen(tie.anchor, self.groups.whole_range(t))
                    self.anchored.append((op, i, tie.anchor))

    def _adopt_quantize(self, op: Op) -> None:
        """A QUANTIZE that is in the file already says what its float input's parameters are, if they hold it."""
        x = op.input(0)
        if op.kind != "QUANTIZE" or x is None or x.dtype != "float32" or x.is_constant:
            return
        given, root = as_activation(op.outputs[0]), self.groups.root(x)
        if given is None or root in self.groups.fixed or self.result.type_of(x) != given[1]:
            return
        quant, dtype = given
        private = self.groups.members(root) == [x] and self.uses.only_reader(x) is op
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
                self.anchored.append((op, i, anchor))
                self.groups.range.setdefault(self.groups.root(anchor), self.groups.narrow(anchor, _range_of(t.array)))
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
            self.anchored += [(op, i, first) for i in same if (t := op.inputs[i]) is not None and t.is_constant]
            return
        quant = activation_params(*joint, self.result.op_type(op))
        for i in same:
            t = op.inputs[i]
            self.result.operand[op, i] = quant
            if t is not None and not t.is_constant:
                self.result.cuts.append(Cut(op, i, f"a comparison over {_show(joint)} needs a grid of its own"))

    def _takes(self, op: Op, t: Tensor, joint: Range) -> bool:
        """Whether a tensor can be given the grid of a comparison without harm."""
        root, own = self.groups.root(t), self.groups.whole_range(t)
        if root in self.groups.fixed:
            return self.groups.holds(self.groups.fixed[root], joint, self.result.type_of(t))
        if self.result.type_of(t) != self.result.op_type(op):
            return False
        return self.groups.alone(op, t) or joint[1] - joint[0] <= FREE_RATIO * max(own[1] - own[0], 1e-30)

    def _join_edge(self, op: Op, i: int, t: Tensor, anchor: Tensor, *, many: bool) -> None:
        why = self._conflict(op, t, anchor, many)
        if why is None:
            self.groups.union(anchor, t, keep_range=clips(op) and self.groups.private(op, t))
        else:
            self.result.cuts.append(Cut(op, i, why))

    def _conflict(self, op: Op, t: Tensor, anchor: Tensor, many: bool) -> str | None:
        """Why an input cannot share its operator's parameters, or None."""
        a, b = self.groups.root(anchor), self.groups.root(t)
        kind, own = self.result.type_of(anchor), self.result.type_of(t)
        fa, fb, span = self.groups.fixed.get(a), self.groups.fixed.get(b), self.groups.whole_range(t)
        if kind != own:
            self.groups.widen(anchor, span)
            return f"it computes in {kind}, its input is {own}"
        if fa is not None and fb is not None:
            return None if fa.same_as(fb) else f"its input is fixed at {fb}, its group at {fa}"
        if fb is not None and a in self.groups.range and not self.groups.holds(fb, self.groups.range[a], own):
            return f"its input is fixed at {fb}, too small for the group's {_show(self.groups.range[a])}"
        if fa is not None and not self.groups.holds(fa, span, own):
            return f"its group is fixed at {fa}, too small for the input's {_show(span)}"
        if clips(op) and fb is None and a in self.groups.range and not self.groups.private(op, t):
            clipped = self.groups.range[a]
            if span[1] - span[0] > FREE_RATIO * max(clipped[1] - clipped[0], 1e-30):
                return f"what it clips to, {_show(clipped)}, needs finer steps than its input's {_show(span)}, which others read"
        if self.groups.alone(op, t) or not many or fb is not None:
            return None
        joint = representable(fa, own) if fa is not None else self.groups.range.get(a, span)
        if joint[1] - joint[0] > FREE_RATIO * max(span[1] - span[0], 1e-12):
            return f"sharing {_show(joint)} would coarsen its input's {_show(span)}, which others read too"
        return None

    def _joint(self, op: Op, same: list[int]) -> Range:
        """What the values of all operands that share parameters span together, as far as it matters to the readers."""
        spans = []
        for i in same:
            t = op.inputs[i]
            assert t is not None
            spans.append(_range_of(t.array) if t.is_constant else self.groups.whole_range(t))
        joint = min(s[0] for s in spans), max(s[1] for s in spans)
        return self.groups.narrow(op.outputs[0], joint) if op.outputs else joint

    def _cut_types(self) -> None:
        """An operand of another element type than its operator's is requantized, over the same range."""
        for op in self._ops():
            row, kind = ROWS.get(op.kind), self.result.op_type(op)
            for i, t in enumerate(op.inputs):
                if row is None or t is None or t.dtype != "float32" or t.is_constant or (op, i) in self.result.operand:
                    continue
                if row.role(i) is Role.OWN and self.result.type_of(t) != kind:
                    self.result.operand[op, i] = activation_params(*self.groups.whole_range(t), kind)
                    self.result.cuts.append(Cut(op, i, f"it computes in {kind}, its input is {self.result.type_of(t)}"))


def _own_constants(ops: Iterable[Op], masks: Mapping[tuple[Op, int], Range], result: Assignment) -> None:
    """Constants used like activations: parameters from their own values, a copy per reader."""
    for op in ops:
        row = ROWS.get(op.kind)
        for i, t in enumerate(op.inputs):
            if row is None or t is None or t.dtype != "float32" or not t.is_constant:
                continue
            if row.role(i) is Role.OWN:
                kind = result.op_type(op)
                keeps = t.quant is not None and not t.quant.per_channel and kind == "int8"
                low, high = _range_of(t.array)
                least, most = masks.get((op, i), (low, high))
                params = activation_params(max(low, least), min(high, most), kind)
                result.operand[op, i] = (t.quant if keeps else None) or params


def _cut_params(result: Assignment) -> None:
    """Operands that are cut off are read in the parameters of what their operator writes, or of its other operands."""
    for cut in result.cuts:
        if (cut.op, cut.input) in result.operand:
            continue
        target = cut.op.outputs[0] if cut.op.outputs and cut.op.outputs[0] in result.params else None
        anchor = target or next(t for i, t in enumerate(cut.op.inputs) if i != cut.input and t in result.params)
        assert anchor is not None
        result.operand[cut.op, cut.input] = result.params[anchor]


def float_activations(graphs: Sequence[Graph]) -> Iterator[Tensor]:
    """Every float tensor that is no constant."""
    for graph in graphs:
        yield from (t for t in graph.inputs if t.dtype == "float32")
        for op in graph.ops:
            yield from (t for t in op.outputs if t.dtype == "float32")


def _whole_numbers(span: Range, dtype: str) -> Quant | None:
    """Parameters for integers: a power of two as scale, so that each of them is exact. None where they are too many."""
    low, high = min(span[0], 0.0), max(span[1], 0.0)
    if dtype == "int16":
        most = max(-low, high)
        return Quant.of(2.0 ** -math.floor(math.log2(32767 / most))) if 0 < most <= 32767 else None
    if not 0 < high - low <= 255:
        return None
    scale = 2.0 ** -math.floor(math.log2(255 / (high - low)))
    return Quant.of(scale, round(-128 - low / scale))


def _range_of(array: Array) -> Range:
    return (float(array.min(initial=0.0)), float(array.max(initial=0.0)))


def _show(span: Range) -> str:
    return f"[{span[0]:.4g}, {span[1]:.4g}]"
