"""Ranges derived from the file without samples, by interval arithmetic.

    known        parameters of DEQUANTIZE and QUANTIZE, fixed output parameters, constants
    y = a + b    [a.low + b.low, a.high + b.high]
    y = f(x)     the values of f at 257 points of x's range, computed by the runtime
    y = W x + b  per channel: b + sum of w+ x.high + w- x.low          (sound; far too wide where many terms cancel)

All bounds are sound except those of functions of one tensor, which may exceed them between two of the points. A bound is
called loose where actual values are likely to stay far inside it, which wastes quantization steps. Loops and state have no
bounds: they need samples.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

from fullint.calibration.masks import MASK, paddings
from fullint.calibration.observed import demanded_range, given_range, observed_tensors
from fullint.model.ir import Array, Graph, Model, Op, Tensor, Uses, constant
from fullint.model.ranges import WHOLE, Range
from fullint.model.subgraphs import LOOKUP, call
from fullint.ops import ROWS, Same, traits_of
from fullint.ops.control_flow import ELSE, THEN, Tie, ties
from fullint.ops.make import CLAMPS
from fullint.passes.engine import Evaluate

MANY_TERMS = 8
"""A sum of more terms than this hardly ever comes near its bound, so the bound is called loose."""
POINTS = 257
UNBOUNDED = 1e15
"""A function that exceeds this within its input's range (1 / x near 0) counts as unbounded."""


@dataclass
class Bounds:
    """Ranges derived from the file, in real values.

    Attributes:
        ranges: smallest and largest value of each float activation.
        loose: tensors whose range is much too wide, and why.
        unknown: tensors that need a range and have no bound.
        state: largest absolute value of each variable operand of recurrent operators.
    """

    ranges: dict[Tensor, Range] = field(default_factory=dict)
    loose: dict[Tensor, str] = field(default_factory=dict)
    unknown: list[Tensor] = field(default_factory=list)
    state: dict[Tensor, float] = field(default_factory=dict)


def bounds(model: Model, known: Mapping[Tensor, Range], evaluate: Evaluate) -> Bounds:
    """Bounds of all float activations of a prepared model.

    Args:
        model: the prepared model.
        known: ranges given by the file.
        evaluate: runs a model without inputs and returns its outputs.
    """
    work = _Work(known, evaluate, Uses(*model.graphs), absurd_paddings(model))
    for tie in ties(model, {}):
        work.tie(tie)
    for graph in model.entries:
        work.graph(graph)
    result = work.result
    result.unknown = [t for t in observed_tensors(model) if t not in result.ranges]
    return result


def absurd_paddings(model: Model) -> set[tuple[Op, int]]:
    """Padding so far out that no network means it to be chosen: without samples, nothing else tells."""
    found = set()
    for op, i in paddings(model):
        t = op.inputs[i]
        if t is not None and Range.of(t.array).largest > MASK:
            found.add((op, i))
    return found


class _Work:
    """Walks over a model once, in execution order, and collects its `Bounds`."""

    def __init__(self, known: Mapping[Tensor, Range], evaluate: Evaluate, uses: Uses, pads: Collection[tuple[Op, int]]) -> None:
        self.result = Bounds(dict(known))
        self.pads = pads
        self.known, self.evaluate, self.uses = set(known), evaluate, uses

    def graph(self, graph: Graph) -> None:
        """Bound the outputs of all operators of a graph, in execution order."""
        for op in graph.ops:
            if op.kind == "IF":
                self._branches(op)
                continue
            found = self._bound(op) if any(t.dtype == "float32" for t in op.outputs) else None
            for t in op.outputs:
                if t.dtype == "float32" and found is not None and t not in self.known:
                    self.result.ranges[t] = _clamped(found, op)

    def span(self, t: Tensor | None) -> Range | None:
        """The range of a tensor, or None if it is unknown."""
        if t is None:
            return None
        if t.buffer is not None and t.dtype == "float32":
            return Range.of(t.array)
        if t.dtype == "bool":
            return Range(0.0, 1.0)
        return self.result.ranges.get(t)

    def tie(self, tie: Tie) -> None:
        """Give a value that is shared between graphs or runs the union of its sources' ranges, if all are known."""
        spans = [self.span(t) for _, _, t in tie.soft]
        if spans and all(spans):
            span = Range.union_of(s for s in spans if s is not None)
            self.result.ranges |= {t: span for t in (tie.anchor, *tie.hard) if t not in self.known}
            self.known.update((tie.anchor, *tie.hard))

    def _branches(self, op: Op) -> None:
        graphs: list[Graph] = [op.options[THEN], op.options[ELSE]]
        for graph in graphs:
            for outer, inner in zip(op.inputs[1:], graph.inputs, strict=True):
                if inner.dtype == "float32" and (s := self.span(outer)) is not None:
                    self.result.ranges[inner] = s
            self.graph(graph)
        for i, t in enumerate(op.outputs):
            ends = [self.span(g.outputs[i]) for g in graphs]
            if t.dtype == "float32" and t not in self.known and all(ends):
                self.result.ranges[t] = Range.union_of(e for e in ends if e is not None)

    def _bound(self, op: Op) -> Range | None:
        row = ROWS.get(op.kind)
        if (given := given_range(op)) is not None:
            return given
        spans = [self.span(t) for t in op.inputs if t is not None and t.dtype in ("float32", "bool")]
        if op.kind == LOOKUP or (traits_of(op.kind).unary and not (row is not None and row.converts_types)):
            return self._function(op, spans[0]) if spans and spans[0] is not None else None
        if row is None:
            return None
        if (demanded := demanded_range(op)) is not None:
            return demanded
        if row.derive is not None:
            return self._recurrent(op)
        if not spans or any(s is None for s in spans):
            return None
        sure = [s for s in spans if s is not None]
        if row.weight is not None:
            return self._weighted(op)
        if row.traits.bound is not None:
            same = len(op.inputs) == 2 and op.inputs[0] is op.inputs[1]
            return row.traits.bound(sure[0], sure[-1], same)
        return self._other(op, sure)

    def _other(self, op: Op, spans: list[Range]) -> Range | None:
        row = ROWS[op.kind]
        if row.traits.averages or isinstance(row.output(0), Same):
            read = [(i, t) for i, t in enumerate(op.inputs) if t is not None and t.dtype in ("float32", "bool")]
            real = [s for (i, t), s in zip(read, spans, strict=True) if t.dtype == "float32" and (op, i) not in self.pads]
            return Range.union_of(real)
        if op.kind == "SUM":
            x, y = op.inputs[0], op.outputs[0]
            count = x.size // max(y.size, 1) if x is not None else 1
            self._note(op, count)
            return spans[0].scale(count)
        if op.kind == "BATCH_MATMUL":
            return self._product(op, spans)
        if op.kind == "PRELU":
            low, high = spans[0]
            ends = [min(low, 0.0) * a for a in spans[1]] + [0.0, max(high, 0.0)]
            return Range(min(ends), max(ends))
        if op.kind == "CAST":
            return spans[0]
        return None

    def _product(self, op: Op, spans: list[Range]) -> Range:
        """Bound of a BATCH_MATMUL; rows of a SOFTMAX add up to 1, so their product with values is an average."""
        left = self._through(op.inputs[0])
        if left is not None and traits_of(left.kind).softmax and not op.options.get("adj_x"):
            return spans[1].with_zero()
        a = op.inputs[0]
        assert a is not None
        depth = a.shape[-2 if op.options.get("adj_x") and len(a.shape) > 1 else -1]
        self._note(op, depth)
        ends = [x * y for x in spans[0] for y in spans[1]]
        return Range(min(ends), max(ends)).with_zero().scale(depth)

    def _through(self, t: Tensor | None) -> Op | None:
        """The operator that produced a tensor, looking through RESHAPE."""
        made = self.uses.producer.get(t) if t is not None else None
        while made is not None and made.kind == "RESHAPE" and made.inputs[0] is not None:
            x = made.inputs[0]
            if x.shape[-1:] != made.outputs[0].shape[-1:]:
                return None
            made = self.uses.producer.get(x)
        return made

    def _weighted(self, op: Op) -> Range | None:
        row = ROWS[op.kind]
        x, w = op.input(row.data), op.input(row.weight or 0)
        b = op.input(row.bias) if row.bias is not None else None
        span = self.span(x)
        if w is None or w.buffer is None or span is None or row.axis is None or (b is not None and b.buffer is None):
            return None
        others = tuple(i for i in range(w.array.ndim) if i != row.axis)
        values = w.array.astype(np.float64)
        up, down = np.maximum(values, 0).sum(axis=others), np.minimum(values, 0).sum(axis=others)
        low, high = span.with_zero()
        bias = b.array.astype(np.float64).reshape(-1) if b is not None else np.zeros(1)
        self._note(op, w.size // max(w.shape[row.axis], 1))
        return Range(float((up * low + down * high + bias).min()), float((up * high + down * low + bias).max()))

    def _note(self, op: Op, terms: int) -> None:
        if terms > MANY_TERMS:
            self.result.loose[op.outputs[0]] = f"a sum of {terms} terms"

    def _function(self, op: Op, span: Range) -> Range | None:
        """The range of a function of one tensor over its input's range, or None if it is unbounded."""
        points = np.linspace(span.low, span.high, POINTS).astype(np.float32)
        x, y = (
            constant("points", np.append(points, np.float32(min(max(0.0, span.low), span.high)))),
            Tensor("y", (POINTS + 1,), "float32"),
        )
        ops = call(op, x, y, y.shape) if op.kind == LOOKUP else [Op(op.kind, [x], [y], op.options, op.options_type)]
        graph = Graph("points", [], [], [y], ops)
        graph.sync_tensors()
        values: Array = self.evaluate(Model([graph]))[0]
        found = Range.of(values)
        return found if found.largest < UNBOUNDED else None

    def _recurrent(self, op: Op) -> Range | None:
        """Bound of an LSTM: |h| < 1; |c| grows by at most 1 per step from 0 (further, if state is kept between runs)."""
        x = op.inputs[0]
        if x is None or op.kind != "UNIDIRECTIONAL_SEQUENCE_LSTM":
            return None
        steps = x.shape[0 if op.options.get("time_major") else 1]
        room = float(steps) / 2  # the op table doubles what was measured between runs
        self.result.state |= {t: room for t in op.inputs if t is not None and t.is_variable}
        self.result.loose[op.outputs[0]] = f"the cell state over {steps} steps, starting from 0"
        weights = op.input(16)
        if weights is None or weights.buffer is None:
            return Range(-1.0, 1.0)
        bias = op.input(17)
        offset = float(np.abs(bias.array).max()) if bias is not None and bias.buffer is not None else 0.0
        most = float(np.abs(weights.array).sum(axis=1).max()) + offset
        self._note(op, weights.shape[1])
        return Range(-most, most)


def _clamped(span: Range, op: Op) -> Range:
    clamp = CLAMPS.get(op.options.get("fused_activation_function", 0))
    return span.clip(Range(*clamp) if clamp is not None else WHOLE)
