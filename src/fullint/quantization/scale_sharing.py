"""Which activations share scale and zero point: groups of tensors, joined operator by operator.

    MAXIMUM(a, b) -> c                 a, b, c share
    WHILE(x) { body: x' -> y' } -> y   x', y', y share, and x unless that coarsens it
    a --SOFTMAX--> b, CONCATENATION(b, c)    b is fixed at 1/256: where that cannot hold c, b is cut off

A group whose fixed member cannot hold the group's range is cut: the edge is recorded, with its reason,
and becomes an int8 -> int8 QUANTIZE. (Union-find over tensors, ranges and fixed parameters at the roots.)
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from fullint.calibration.observed import clips, given_params
from fullint.calibration.statistics import Range
from fullint.model.ir import Array, Graph, Model, Op, Quant, Tensor, Uses
from fullint.model.numerics import activation_params, as_activation, representable
from fullint.ops import ROWS, Fixed, Role, Same
from fullint.ops.base import CONVERSIONS
from fullint.ops.control_flow import Tie
from fullint.quantization.assignment import Assignment, Cut

FIXED_SLACK = 1.01
"""A fixed range may be exceeded by this factor before its edge is cut (half a step at full scale)."""
FREE_RATIO = 1.5
"""Sharing a range that makes an operand's steps this much coarser costs next to nothing."""


class Groups:
    """Tensors that share parameters."""

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
        self.tied = tied
        self.result = result
        self.useful = useful
        self.masks = masks
        self.parent: dict[Tensor, Tensor] = {}
        self.range: dict[Tensor, Range] = {t: self._narrow(t, r) for t, r in ranges.items()}
        self.fixed: dict[Tensor, Quant] = {t: q for t, (q, kind) in (pinned or {}).items() if kind == result.type_of(t)}
        self.anchored: list[tuple[Op, int, Tensor]] = []
        """Operands that take the parameters of a group without being in it: constants, and what is cut off."""
        self.members: dict[Tensor, list[Tensor]] = {}
        self.clipped: set[Tensor] = set()
        """Roots of groups made of clips alone, whose every member only the next clip reads."""
        for op in self._ops():
            self._fix(op)

    def _ops(self) -> Iterator[Op]:
        """Every operator that is to be integer."""
        for graph in self.graphs:
            yield from (op for op in graph.ops if not op.keep_float)

    def _narrow(self, t: Tensor, span: Range) -> Range:
        """The part of a range that makes a difference to those who read the tensor."""
        low, high = self.useful.get(t, span)
        return min(max(span[0], low), high), max(min(span[1], high), low)

    def _fix(self, op: Op) -> None:
        """Parameters that are demanded: by a kernel, or by the integer part of a half-quantized model."""
        if (given := given_params(op)) is not None:
            self.fixed[op.outputs[0]] = given[0]
        if op.kind == "CAST" and (t := op.outputs[0]) in self.range:
            whole = _whole_numbers(self.range[t], self.result.op_type(op))
            self.fixed |= {t: whole} if whole is not None else {}
        row = ROWS.get(op.kind)
        for i, t in enumerate(op.outputs):
            rule = row.output(i) if row else None
            if t.dtype == "float32" and isinstance(rule, Fixed):
                self.fixed[t] = rule.of_type(self.result.op_type(op))
        for t in op.outputs:
            if t in self.fixed:  # what it may hold counts when others join its group, or it is cut off
                self.range.setdefault(t, representable(self.fixed[t], self.result.type_of(t)))

    def root(self, t: Tensor) -> Tensor:
        """The member that stands for a tensor's group."""
        while (up := self.parent.get(t, t)) is not t:
            t = up
        return t

    def solve(self) -> None:
        """Join everything, then write the parameters down."""
        for tie in self.tied:
            for t in tie.hard:
                self._union(tie.anchor, t)
        for op in self._ops():
            self._join_operator(op)
        for tie in self.tied:
            self._join_tie(tie)
        for op in self._ops():
            self._adopt_quantize(op)
        for tensor in float_activations(self.graphs):
            self.result.params[tensor] = self._params(tensor)
        self._own_constants()
        for op, i, anchor in self.anchored:
            self.result.operand[op, i] = self.result.params[anchor]
        self._cut_params()
        self._cut_types()

    def _join_tie(self, tie: Tie) -> None:
        for op, i, t in tie.soft:
            self.result.tied_types[op, i] = self.result.type_of(tie.anchor)
            if t.is_constant:
                self.anchored.append((op, i, tie.anchor))
                self._widen(tie.anchor, _range_of(t.array))
            elif self.root(t) is not self.root(tie.anchor):
                self._join_edge(op, i, t, tie.anchor, many=True)
                if self.root(t) is not self.root(tie.anchor):  # cut off: it arrives in the anchor's parameters
                    self._widen(tie.anchor, self._whole_range(t))
                    self.anchored.append((op, i, tie.anchor))

    def _adopt_quantize(self, op: Op) -> None:
        """A QUANTIZE that is in the file already says what its float input's parameters are, if they hold it."""
        x = op.input(0)
        if op.kind != "QUANTIZE" or x is None or x.dtype != "float32" or x.is_constant:
            return
        given, root = as_activation(op.outputs[0]), self.root(x)
        if given is None or root in self.fixed or self.result.type_of(x) != given[1]:
            return
        quant, dtype = given
        private = self._members(root) == [x] and self.uses.only_reader(x) is op
        if private or self._holds(quant, self._whole_range(x), dtype):
            self.fixed[root] = quant

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
            self._union(anchor, other)
        if len(same) > 1 and not clips(op):
            self._widen(anchor, self._joint(op, same))
        for i in same:
            t = op.inputs[i]
            assert t is not None
            if t.is_constant:
                self.anchored.append((op, i, anchor))
                self.range.setdefault(self.root(anchor), self._narrow(anchor, _range_of(t.array)))
            elif self.root(t) is not self.root(anchor):
                self._join_edge(op, i, t, anchor, many=len(same) > 1 and not clips(op))

    def _join_comparison(self, op: Op, same: list[int]) -> None:
        """Operands of a comparison get one grid that holds them all, for the comparison alone where need be."""
        data = [t for i in same if (t := op.inputs[i]) is not None and not t.is_constant]
        joint = self._joint(op, same)
        first = data[0] if data else None
        shared = first is not None and all(self._takes(op, t, joint) for t in data) and len({*map(self.root, data)}) == 1
        if shared and first is not None:
            self._widen(first, joint)
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
        root, own = self.root(t), self._whole_range(t)
        if root in self.fixed:
            return self._holds(self.fixed[root], joint, self.result.type_of(t))
        if self.result.type_of(t) != self.result.op_type(op):
            return False
        return self._alone(op, t) or joint[1] - joint[0] <= FREE_RATIO * max(own[1] - own[0], 1e-30)

    def _join_edge(self, op: Op, i: int, t: Tensor, anchor: Tensor, *, many: bool) -> None:
        why = self._conflict(op, t, anchor, many)
        if why is None:
            self._union(anchor, t, keep_range=clips(op) and self._private(op, t))
        else:
            self.result.cuts.append(Cut(op, i, why))

    def _conflict(self, op: Op, t: Tensor, anchor: Tensor, many: bool) -> str | None:
        """Why an input cannot share its operator's parameters, or None."""
        a, b = self.root(anchor), self.root(t)
        kind, own = self.result.type_of(anchor), self.result.type_of(t)
        fa, fb, span = self.fixed.get(a), self.fixed.get(b), self._whole_range(t)
        if kind != own:
            self._widen(anchor, span)
            return f"it computes in {kind}, its input is {own}"
        if fa is not None and fb is not None:
            return None if fa.same_as(fb) else f"its input is fixed at {fb}, its group at {fa}"
        if fb is not None and a in self.range and not self._holds(fb, self.range[a], own):
            return f"its input is fixed at {fb}, too small for the group's {_show(self.range[a])}"
        if fa is not None and not self._holds(fa, span, own):
            return f"its group is fixed at {fa}, too small for the input's {_show(span)}"
        if clips(op) and fb is None and a in self.range and not self._private(op, t):
            clipped = self.range[a]
            if span[1] - span[0] > FREE_RATIO * max(clipped[1] - clipped[0], 1e-30):
                return f"what it clips to, {_show(clipped)}, needs finer steps than its input's {_show(span)}, which others read"
        if self._alone(op, t) or not many or fb is not None:
            return None
        joint = representable(fa, own) if fa is not None else self.range.get(a, span)
        if joint[1] - joint[0] > FREE_RATIO * max(span[1] - span[0], 1e-12):
            return f"sharing {_show(joint)} would coarsen its input's {_show(span)}, which others read too"
        return None

    def _members(self, root: Tensor) -> list[Tensor]:
        return self.members.get(root, [root])

    def _private(self, op: Op, t: Tensor) -> bool:
        """Whether a clip may saturate its input: nobody else reads it or a tensor of its group."""
        root = self.root(t)
        return self.uses.only_reader(t) is op and (self._members(root) == [t] or root in self.clipped)

    def _alone(self, op: Op, t: Tensor) -> bool:
        """Whether nobody but `op` minds the parameters of a tensor's group.

        A reader whose output is in the group, too, only passes the values on.
        """
        root = self.root(t)
        for m in self._members(root):
            if m in self.uses.outputs:
                return False
            for reader, _ in self.uses.of(m):
                inside = any(self.root(out) is root for out in reader.outputs)
                if reader is not op and not inside:
                    return False
        return True

    def _joint(self, op: Op, same: list[int]) -> Range:
        """What the values of all operands that share parameters span together, as far as it matters to the readers."""
        spans = []
        for i in same:
            t = op.inputs[i]
            assert t is not None
            spans.append(_range_of(t.array) if t.is_constant else self._whole_range(t))
        joint = min(s[0] for s in spans), max(s[1] for s in spans)
        return self._narrow(op.outputs[0], joint) if op.outputs else joint

    def _whole_range(self, t: Tensor) -> Range:
        root = self.root(t)
        if root in self.range:
            low, high = self.range[root]
            return min(low, 0.0), max(high, 0.0)
        return representable(self.fixed[root], self.result.type_of(t)) if root in self.fixed else (0.0, 0.0)

    def _union(self, a: Tensor, b: Tensor, *, keep_range: bool = False) -> None:
        ra, rb = self.root(a), self.root(b)
        if ra is rb:
            return
        joined = self._members(ra) + self._members(rb)
        pure = keep_range and (ra in self.clipped or self._members(ra) == [ra])
        self.clipped.discard(ra)
        if pure:
            self.clipped.add(ra)
        self.parent[rb] = ra
        self.members[ra] = joined
        if rb in self.fixed:
            self.fixed.setdefault(ra, self.fixed[rb])
        if rb in self.range and not keep_range:
            self._widen(ra, self.range[rb])

    def _widen(self, t: Tensor, span: Range) -> None:
        root = self.root(t)
        low, high = self.range.get(root, span)
        self.range[root] = (min(low, span[0]), max(high, span[1]))

    def _params(self, t: Tensor) -> Quant:
        root = self.root(t)
        if root in self.fixed:
            return self.fixed[root]
        return activation_params(*self.range.get(root, (0.0, 0.0)), self.result.type_of(t))

    def _holds(self, fixed: Quant, span: Range, dtype: str) -> bool:
        low, high = representable(fixed, dtype)
        step = float(fixed.scale[0])
        return span[0] >= low * FIXED_SLACK - step / 2 and span[1] <= high * FIXED_SLACK + step

    def _own_constants(self) -> None:
        """Constants used like activations: parameters from their own values, a copy per reader."""
        for op in self._ops():
            row = ROWS.get(op.kind)
            for i, t in enumerate(op.inputs):
                if row is None or t is None or t.dtype != "float32" or not t.is_constant:
                    continue
                if row.role(i) is Role.OWN:
                    kind = self.result.op_type(op)
                    keeps = t.quant is not None and not t.quant.per_channel and kind == "int8"
                    low, high = _range_of(t.array)
                    least, most = self.masks.get((op, i), (low, high))
                    params = activation_params(max(low, least), min(high, most), kind)
                    self.result.operand[op, i] = (t.quant if keeps else None) or params

    def _cut_params(self) -> None:
        for cut in self.result.cuts:
            if (cut.op, cut.input) in self.result.operand:
                continue
            target = cut.op.outputs[0] if cut.op.outputs and cut.op.outputs[0] in self.result.params else None
            anchor = target or next(t for i, t in enumerate(cut.op.inputs) if i != cut.input and t in self.result.params)
            assert anchor is not None
            self.result.operand[cut.op, cut.input] = self.result.params[anchor]

    def _cut_types(self) -> None:
        """An operand of another element type than its operator's is requantized, over the same range."""
        for op in self._ops():
            row, kind = ROWS.get(op.kind), self.result.op_type(op)
            for i, t in enumerate(op.inputs):
                if row is None or t is None or t.dtype != "float32" or t.is_constant or (op, i) in self.result.operand:
                    continue
                if row.role(i) is Role.OWN and self.result.type_of(t) != kind:
                    self.result.operand[op, i] = activation_params(*self._whole_range(t), kind)
                    self.result.cuts.append(Cut(op, i, f"it computes in {kind}, its input is {self.result.type_of(t)}"))


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
