"""Which scale and zero point each tensor gets, as a value that can be printed and tested.

    float graph + measured ranges + options  ->  Assignment(params, cuts, weights, biases)

Order: activations to a fixpoint first (groups of tensors that must share parameters), then weights,
then biases, since a bias's scale is s_in * s_w. A group whose fixed member (say a softmax output,
1/256) cannot hold the group's range is cut: the edge is recorded, with its reason, and becomes an
int8 -> int8 QUANTIZE.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from fullint.ir import Array, Graph, Op, Quant, Tensor, Uses
from fullint.numerics import activation_params, representable, scales_for_bias, weight_scales
from fullint.ops import ROWS, Fixed, Observed, OpRow, Role, Same

Range = tuple[float, float]

FIXED_SLACK = 1.01
"""A fixed range may be exceeded by this factor before its edge is cut (half a step at full scale)."""
FREE_RATIO = 1.5
"""Sharing a range that makes an operand's steps this much coarser costs next to nothing."""


@dataclass(frozen=True)
class Cut:
    """An input that needs other parameters than its tensor has: a requantize goes there."""

    op: Op
    input: int
    why: str


@dataclass
class Assignment:
    """Parameters of every float tensor of a graph.

    Attributes:
        params: activations, and constants used like activations where one value serves all readers.
        operand: parameters of one (operator, input) where they differ from `params`: cuts, weights,
            biases and constants, which each consumer gets its own copy of.
        cuts: the requantizes, with their reasons.
        notes: scales that had to be raised and the like, in sentences.
    """

    params: dict[Tensor, Quant] = field(default_factory=dict)
    operand: dict[tuple[Op, int], Quant] = field(default_factory=dict)
    cuts: list[Cut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def of(self, op: Op, index: int) -> Quant | None:
        """Parameters in which an operator reads its input."""
        tensor = op.input(index)
        return self.operand.get((op, index)) or (self.params.get(tensor) if tensor is not None else None)

    def __str__(self) -> str:
        lines = [f"{t.name}: {q}" for t, q in self.params.items()]
        lines += [f'cut before {c.op.kind} "{c.op.outputs[0].name}" input {c.input}: {c.why}' for c in self.cuts]
        return "\n".join([*lines, *self.notes])


@dataclass(frozen=True)
class Granularity:
    """Which weights are quantized per output channel."""

    per_tensor: bool = False
    dense_per_tensor: bool = False

    def axis(self, row: OpRow) -> int | None:
        """The channels' axis, None for one scale per tensor."""
        if self.per_tensor or (self.dense_per_tensor and row.kind == "FULLY_CONNECTED"):
            return None
        return row.axis


def observed_tensors(graph: Graph) -> list[Tensor]:
    """The float activations whose ranges have to be measured, in execution order.

    The others follow: outputs with fixed parameters, and outputs that share their input's.
    """
    found = [t for t in graph.inputs if t.dtype == "float32"]
    for op in graph.ops:
        row = ROWS.get(op.kind)
        for i, t in enumerate(op.outputs):
            if t.dtype != "float32" or _given(op) is not None:
                continue
            if row is None or isinstance(row.output(i), Observed) or _clips(op):
                found.append(t)
    return found


def assign(graph: Graph, ranges: Mapping[Tensor, Range], granularity: Granularity | None = None) -> Assignment:
    """Decide all parameters of a graph.

    Args:
        graph: prepared, with no blockers.
        ranges: smallest and largest value of each of `observed_tensors`.
        granularity: per channel unless it says otherwise.
    """
    result = Assignment()
    groups = _Groups(graph, ranges, result)
    groups.solve()
    _weights_and_biases(graph, result, granularity or Granularity())
    return result


class _Groups:
    """Tensors that share parameters, joined operator by operator (union-find)."""

    def __init__(self, graph: Graph, ranges: Mapping[Tensor, Range], result: Assignment) -> None:
        self.graph = graph
        self.uses = Uses(graph)
        self.result = result
        self.parent: dict[Tensor, Tensor] = {}
        self.range: dict[Tensor, Range] = {t: _useful(t, r, self.uses) for t, r in ranges.items()}
        self.fixed: dict[Tensor, Quant] = {}
        self.constants: list[tuple[Op, int, Tensor]] = []
        self.members: dict[Tensor, list[Tensor]] = {}
        self.clipped: set[Tensor] = set()
        """Roots of groups made of clips alone, whose every member only the next clip reads."""
        for op in graph.ops:
            self._fix(op)

    def _fix(self, op: Op) -> None:
        """Parameters that are demanded: by a kernel, or by the integer part of a half-quantized model."""
        if (given := _given(op)) is not None:
            self.fixed[op.outputs[0]] = given
        row = ROWS.get(op.kind)
        for i, t in enumerate(op.outputs):
            rule = row.output(i) if row else None
            if t.dtype == "float32" and isinstance(rule, Fixed):
                self.fixed[t] = rule.quant

    def root(self, t: Tensor) -> Tensor:
        while (up := self.parent.get(t, t)) is not t:
            t = up
        return t

    def solve(self) -> None:
        for op in self.graph.ops:
            self._join_operator(op)
        for op in self.graph.ops:
            self._adopt_quantize(op)
        for tensor in _float_activations(self.graph):
            self.result.params[tensor] = self._params(self.root(tensor))
        self._own_constants()
        for op, i, anchor in self.constants:
            self.result.operand[op, i] = self.result.params[anchor]
        self._cut_params()

    def _adopt_quantize(self, op: Op) -> None:
        """A QUANTIZE that is in the file already says what its float input's parameters are, if they hold it."""
        x = op.input(0)
        if op.kind != "QUANTIZE" or x is None or x.dtype != "float32" or op.outputs[0].dtype != "int8":
            return
        quant, root = op.outputs[0].quant, self.root(x)
        if quant is None or root in self.fixed or x.is_constant:
            return
        private = self._members(root) == [x] and self.uses.only_reader(x) is op
        if private or _holds(quant, self._whole_range(x)):
            self.fixed[root] = quant

    def _join_operator(self, op: Op) -> None:
        row = ROWS.get(op.kind)
        if row is None or op.kind in ("QUANTIZE", "DEQUANTIZE"):
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
        if len(same) > 1 and not _clips(op):
            self._widen(anchor, self._joint(op, same))
        for i in same:
            t = op.inputs[i]
            assert t is not None
            if t.is_constant:
                self.constants.append((op, i, anchor))
                self.range.setdefault(self.root(anchor), _range_of(t.array))
            elif self.root(t) is not self.root(anchor):
                self._join_edge(op, i, t, anchor, many=len(same) > 1 and not _clips(op))

    def _join_comparison(self, op: Op, same: list[int]) -> None:
        """Operands of a comparison get one grid that holds them all, for the comparison alone where need be."""
        data = [t for i in same if (t := op.inputs[i]) is not None and not t.is_constant]
        joint = self._joint(op, same)
        first = data[0] if data else None
        shared = first is not None and all(self._takes(op, t, joint) for t in data) and len({*map(self.root, data)}) == 1
        if shared and first is not None:
            self._widen(first, joint)
            self.constants += [(op, i, first) for i in same if (t := op.inputs[i]) is not None and t.is_constant]
            return
        quant = activation_params(*joint)
        for i in same:
            t = op.inputs[i]
            self.result.operand[op, i] = quant
            if t is not None and not t.is_constant:
                self.result.cuts.append(Cut(op, i, f"a comparison over {_show(joint)} needs a grid of its own"))

    def _takes(self, op: Op, t: Tensor, joint: Range) -> bool:
        """Whether a tensor can be given the grid of a comparison without harm."""
        root, own = self.root(t), self._whole_range(t)
        if root in self.fixed:
            return _holds(self.fixed[root], joint)
        return self._alone(op, t) or joint[1] - joint[0] <= FREE_RATIO * max(own[1] - own[0], 1e-30)

    def _join_edge(self, op: Op, i: int, t: Tensor, anchor: Tensor, *, many: bool) -> None:
        why = self._conflict(op, t, anchor, many)
        if why is None:
            self._union(anchor, t, keep_range=_clips(op) and self._private(op, t))
        else:
            self.result.cuts.append(Cut(op, i, why))

    def _conflict(self, op: Op, t: Tensor, anchor: Tensor, many: bool) -> str | None:
        """Why an input cannot share its operator's parameters, or None."""
        a, b = self.root(anchor), self.root(t)
        fa, fb, span = self.fixed.get(a), self.fixed.get(b), self._whole_range(t)
        if fa is not None and fb is not None:
            return None if fa.same_as(fb) else f"its input is fixed at {fb}, its group at {fa}"
        if fb is not None and a in self.range and not _holds(fb, self.range[a]):
            return f"its input is fixed at {fb}, too small for the group's {_show(self.range[a])}"
        if fa is not None and not _holds(fa, span):
            return f"its group is fixed at {fa}, too small for the input's {_show(span)}"
        if _clips(op) and fb is None and a in self.range and not self._private(op, t):
            clipped = self.range[a]
            if span[1] - span[0] > FREE_RATIO * max(clipped[1] - clipped[0], 1e-30):
                return f"what it clips to, {_show(clipped)}, needs finer steps than its input's {_show(span)}, which others read"
        if self._alone(op, t) or not many or fb is not None:
            return None
        joint = representable(fa) if fa is not None else self.range[a]
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
        """What the values of all operands that share parameters span together."""
        spans = []
        for i in same:
            t = op.inputs[i]
            assert t is not None
            spans.append(_range_of(t.array) if t.is_constant else self._whole_range(t))
        return min(s[0] for s in spans), max(s[1] for s in spans)

    def _whole_range(self, t: Tensor) -> Range:
        root = self.root(t)
        if root in self.range:
            low, high = self.range[root]
            return min(low, 0.0), max(high, 0.0)
        return representable(self.fixed[root]) if root in self.fixed else (0.0, 0.0)

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

    def _params(self, root: Tensor) -> Quant:
        if root in self.fixed:
            return self.fixed[root]
        return activation_params(*self.range.get(root, (0.0, 0.0)))

    def _own_constants(self) -> None:
        """Constants used like activations: parameters from their own values, a copy per reader."""
        for op in self.graph.ops:
            row = ROWS.get(op.kind)
            for i, t in enumerate(op.inputs):
                if row is None or t is None or t.dtype != "float32" or not t.is_constant:
                    continue
                if row.role(i) is Role.OWN:
                    grid = t.quant if t.quant is not None and not t.quant.per_channel else None
                    self.result.operand[op, i] = grid or activation_params(*_range_of(t.array))

    def _cut_params(self) -> None:
        for cut in self.result.cuts:
            if (cut.op, cut.input) in self.result.operand:
                continue
            target = cut.op.outputs[0] if cut.op.outputs[0] in self.result.params else None
            anchor = target or next(t for i, t in enumerate(cut.op.inputs) if i != cut.input and t in self.result.params)
            assert anchor is not None
            self.result.operand[cut.op, cut.input] = self.result.params[anchor]


def _weights_and_biases(graph: Graph, result: Assignment, granularity: Granularity) -> None:
    for op in graph.ops:
        row = ROWS.get(op.kind)
        if row is None or row.weight is None or not op.outputs[0].is_float:
            continue
        x, w = result.of(op, row.data), op.input(row.weight)
        b = op.input(row.bias) if row.bias is not None else None
        assert x is not None and w is not None
        axis = granularity.axis(row)
        scales = _grid(w, axis) if w.quant is not None else weight_scales(w.array, axis)
        s_in = float(x.scale[0])
        if b is not None:
            raised = scales_for_bias(scales, s_in, b.array)
            count = int((raised > scales).sum())
            if count:
                result.notes.append(f'{op.kind} "{op.outputs[0].name}": {count} weight scales raised so that the bias fits int32')
            scales = raised
        result.operand[op, row.weight] = Quant.of(scales, 0, axis or 0)
        if row.bias is not None and b is not None:
            with np.errstate(over="ignore", under="ignore"):
                result.operand[op, row.bias] = Quant.of(np.float32(s_in) * scales, 0, 0)


def _grid(w: Tensor, axis: int | None) -> Array:
    """Scales of weights that came as int8: the ones they came with, where granularity allows."""
    assert w.quant is not None
    if (w.quant.zero_point != 0).any() or (w.quant.per_channel and w.quant.axis != axis):
        return weight_scales(w.array, axis)
    codes = np.abs(w.array).max(initial=0.0) / float(w.quant.scale.min())
    if not w.quant.per_channel and codes > 127.5:
        return weight_scales(w.array, axis)
    count = w.shape[axis] if axis is not None else 1
    scales: Array = np.broadcast_to(w.quant.scale, (count,)).copy()
    return scales


def _clips(op: Op) -> bool:
    """MAXIMUM or MINIMUM with a constant.

    Its input, if nobody else reads it, may be saturated to the clipped range: quantizing then does
    the clipping, and no code is spent on what is cut off.
    """
    return op.kind in ("MAXIMUM", "MINIMUM") and sum(t is not None and not t.is_constant for t in op.inputs) == 1


def _useful(t: Tensor, span: Range, uses: Uses) -> Range:
    """The part of a range that makes a difference to those who read it (sigmoid(50) is sigmoid(7))."""
    rows = [ROWS.get(op.kind) for op, _ in uses.of(t)]
    ends = [row.saturates for row in rows if row is not None and row.saturates is not None]
    if not rows or len(ends) < len(rows) or t in uses.outputs:
        return span
    end = max(ends)
    return max(span[0], -end), min(span[1], end)


def _given(op: Op) -> Quant | None:
    """int8 parameters of a DEQUANTIZE's output, from the 8-bit tensor it reads."""
    x = op.input(0)
    if op.kind != "DEQUANTIZE" or x is None or x.quant is None or x.quant.scale.size != 1:
        return None
    if x.dtype == "uint8":
        return Quant.of(x.quant.scale, x.quant.zero_point - 128)
    return x.quant if x.dtype == "int8" else None


def _float_activations(graph: Graph) -> Iterator[Tensor]:
    yield from (t for t in graph.inputs if t.dtype == "float32")
    for op in graph.ops:
        yield from (t for t in op.outputs if t.dtype == "float32")


def _holds(fixed: Quant, span: Range) -> bool:
    low, high = representable(fixed)
    step = float(fixed.scale[0])
    return span[0] >= low * FIXED_SLACK - step / 2 and span[1] <= high * FIXED_SLACK + step


def _range_of(array: Array) -> Range:
    return (float(array.min(initial=0.0)), float(array.max(initial=0.0)))


def _show(span: Range) -> str:
    return f"[{span[0]:.4g}, {span[1]:.4g}]"
