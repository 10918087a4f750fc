"""The integer graph: an `Assignment` carried out.

    float x --CONV_2D--> float y        =>    int8 x --CONV_2D--> int8 y      weights int8, bias int32
    cut:      x ---> CONCATENATION      =>    x --QUANTIZE--> x' ---> CONCATENATION
    given:    i8 --DEQUANTIZE--> x      =>    i8 (the same tensor, where the parameters are)

This is the one place that applies an assignment; it decides nothing. Each consumer gets its own
copy of a constant, and equal copies are the same tensor.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

import numpy as np

from fullint.assign import Assignment
from fullint.build import make_op
from fullint.errors import Blocker, NotIntegerError
from fullint.ir import Buffer, Graph, Model, Op, Quant, Signature, Tensor, constant, twin
from fullint.numerics import activation_params, bias_scales, dequantize, quantize
from fullint.ops import ROWS, Role
from fullint.ops.releases import METADATA_KEY, min_runtime_version
from fullint.rewrite import Change

SCALE_WAY_OUT = "bring its operands to sizes nearer to each other; a mask of -1e38 does its work at -100 too"


@dataclass
class Emitted:
    """The integer model and what came about on the way."""

    model: Model
    requantizes: list[Change] = field(default_factory=list)
    int8: dict[Tensor, Tensor] = field(default_factory=dict)
    """Float activation of the given model -> its integer form."""


def emit(model: Model, assignment: Assignment) -> Emitted:
    """Build the all-integer model, int8 in and out. `model` is not changed; untouched parts are shared.

    Args:
        model: prepared, with one graph that has float operands.
        assignment: parameters of every float tensor of the main graph.

    Raises:
        NotIntegerError: scales that a kernel does not take.
    """
    emitter = _Emitter(model.main, assignment)
    graph = emitter.run()
    if emitter.blockers:
        raise NotIntegerError(emitter.blockers)
    signatures = [_signature(s, model.main, graph) for s in model.signatures]
    result = Model(
        [graph, *model.graphs[1:]],
        signatures,
        list(model.metadata),
        model.metadata_buffers,
        model.description,
        model.version,
        model.external_groups,
        model.external_buffers,
    )
    return Emitted(result, emitter.requantizes, emitter.int8)


def set_io(model: Model, io: str, inputs: AbstractSet[Tensor], outputs: AbstractSet[Tensor]) -> None:
    """Give graph inputs and outputs the asked type, in place, and stamp what the runtime has to be.

        int8       nothing to do
        uint8      u8 --QUANTIZE--> i8 ... i8 --QUANTIZE--> u8       (zero point + 128)
        float32    f32 --QUANTIZE--> i8 ... i8 --DEQUANTIZE--> f32

    Args:
        inputs, outputs: those that were float; the others keep their type.
    """
    graph = model.main
    if io != "int8":
        names = {t: t.name for t in (*graph.inputs, *graph.outputs)}
        first = {t: _border(t, io, names[t]) for t in graph.inputs if t in inputs}
        last = {t: _border(t, io, names[t]) for t in dict.fromkeys(graph.outputs) if t in outputs and not t.is_constant}
        last |= {t: _typed_constant(t, io) for t in graph.outputs if t in outputs and t.is_constant}
        before = [make_op("QUANTIZE", [o], [t]) for t, o in first.items()]
        kind = "DEQUANTIZE" if io == "float32" else "QUANTIZE"
        after = [make_op(kind, [t], [o]) for t, o in last.items() if not t.is_constant]
        for op in after:
            op.version = 2 if op.kind == "DEQUANTIZE" else 1
        graph.ops = [*before, *graph.ops, *after]
        graph.inputs = [first.get(t, t) for t in graph.inputs]
        graph.outputs = [last.get(t, t) for t in graph.outputs]
        for s in model.signatures:
            if s.graph is graph:
                s.inputs = [(n, first.get(t, t)) for n, t in s.inputs]
                s.outputs = [(n, last.get(t, t)) for n, t in s.outputs]
        graph.sync_tensors()
    stamp_runtime(model)


def _typed_constant(t: Tensor, io: str) -> Tensor:
    """A constant output in the asked type: nothing has to be computed."""
    assert t.quant is not None
    value = dequantize(t.array, t.quant)
    if io == "float32":
        return constant(t.name, value)
    quant = Quant.of(t.quant.scale, t.quant.zero_point + 128)
    return constant(t.name, quantize(value, quant, io), quant)


def _border(inner: Tensor, io: str, name: str) -> Tensor:
    """The tensor outside: it takes the name, and the integer one inside a name of its own."""
    outer = twin(inner, name)
    outer.dtype = io
    assert inner.quant is not None
    outer.quant = None if io == "float32" else Quant.of(inner.quant.scale, inner.quant.zero_point + 128)
    inner.name = f"{name}/int8"
    return outer


def stamp_runtime(model: Model) -> None:
    """Make the `min_runtime_version` metadata true (16 bytes, zero padded, as the runtime reads it)."""
    text = np.zeros(16, np.uint8)
    raw = np.frombuffer(min_runtime_version(model).encode(), np.uint8)
    text[: raw.size] = raw
    entry = (METADATA_KEY, Buffer(text))
    names = [n for n, _ in model.metadata]
    if METADATA_KEY in names:
        model.metadata[names.index(METADATA_KEY)] = entry
    else:
        model.metadata.append(entry)


def _signature(old: Signature, before: Graph, after: Graph) -> Signature:
    if old.graph is not before:
        return old
    ins = dict(zip(before.inputs, after.inputs, strict=True))
    outs = dict(zip(before.outputs, after.outputs, strict=True))
    return Signature(old.key, after, [(n, ins[t]) for n, t in old.inputs], [(n, outs[t]) for n, t in old.outputs])


class _Emitter:
    """One emission of one graph."""

    def __init__(self, graph: Graph, assignment: Assignment) -> None:
        self.old = graph
        self.assignment = assignment
        self.new = Graph(graph.name, debug_metadata_index=graph.debug_metadata_index)
        self.int8: dict[Tensor, Tensor] = {}
        self.replaced: dict[Tensor, Tensor] = {}
        self.copies: dict[tuple[Buffer, str, bytes], Tensor] = {}
        self.requantized: dict[tuple[Tensor, bytes], Tensor] = {}
        self.requantizes: list[Change] = []
        self.blockers: list[Blocker] = []
        self.origin = -1

    def run(self) -> Graph:
        self.new.inputs = [self._tensor(t) for t in self.old.inputs]
        for op in self.old.ops:
            self.origin = op.origin
            self._op(op)
        self.origin = -1
        self.new.outputs = [self._graph_output(t) for t in self.old.outputs]
        self.new.sync_tensors()
        return self.new

    def _tensor(self, t: Tensor) -> Tensor:
        """The integer form of a float activation; anything else stays itself, or what replaced it."""
        if t.dtype != "float32":
            return self.replaced.get(t, t)
        if t not in self.int8:
            q = twin(t)
            q.dtype, q.quant, q.shape_signature = "int8", self.assignment.params[t], None
            self.int8[t] = q
        return self.int8[t]

    def _graph_output(self, t: Tensor) -> Tensor:
        if not t.is_float or not t.is_constant:
            return self._tensor(t)
        t = constant(t.name, t.array.astype(np.float32))
        return self._copy(t, activation_params(float(t.array.min(initial=0)), float(t.array.max(initial=0))), "int8")

    def _op(self, op: Op) -> None:
        if op.kind in ("QUANTIZE", "DEQUANTIZE") and any(t.dtype == "float32" for t in op.values()):
            self._bridge(op)
        elif any(t.is_float for t in op.values()):
            self._integer_op(op)
        else:
            self._keep(op)

    def _keep(self, op: Op) -> None:
        """An operator that was integer already: the same, with its version and bias scale made true."""
        inputs = [None if t is None else self.replaced.get(t, t) for t in op.inputs]
        new = replace(op, inputs=inputs)
        row = ROWS.get(op.kind)
        if row is not None and any(t.dtype == "int8" for t in op.values()):
            new.version = max(op.version, row.version_of(new))
            if row.weight is not None and row.bias is not None:
                _true_zero_bias(new, row.data, row.weight, row.bias)
        self._add(new)

    def _bridge(self, op: Op) -> None:
        """QUANTIZE and DEQUANTIZE of a half-quantized model: nothing, or a requantize."""
        source, out = op.inputs[0], op.outputs[0]
        assert source is not None
        source = self.replaced.get(source, source)
        if op.kind == "DEQUANTIZE":
            params = self.assignment.params[out]
            if source.dtype == "int8" and params.same_as(source.quant) and out not in self.old.outputs:
                self.int8[out] = source
            else:
                self._add(make_op("QUANTIZE", [source], [self._tensor(out)]))
            return
        if source.is_constant:
            assert out.quant is not None
            out.buffer = Buffer.of(quantize(source.array, out.quant, out.dtype))
            return
        inner = self._tensor(source)
        ends = out in self.old.outputs and (source in self.old.inputs or source in self.old.outputs)
        if inner.quant is not None and inner.quant.same_as(out.quant) and out.dtype == "int8" and not ends:
            self.replaced[out] = inner
            if out in self.old.outputs:
                inner.name = out.name
        else:
            self._add(make_op("QUANTIZE", [inner], [out]))
            self._note(self.new.ops[-1], op.kind, "the file's own QUANTIZE asks for other parameters")

    def _integer_op(self, op: Op) -> None:
        row = ROWS[op.kind]
        inputs = [None if t is None else self._input(op, i, t, row.role(i)) for i, t in enumerate(op.inputs)]
        options = {**op.options}
        if "quantized_bias_type" in options:
            options["quantized_bias_type"] = 0
        new = Op(op.kind, inputs, [self._tensor(t) for t in op.outputs], options, op.options_type, op.extra)
        new.version = row.version_of(new)
        if why := row.limits(new):
            self.blockers.append(Blocker(0, op.origin, op.kind, op.outputs[0].name, why, SCALE_WAY_OUT))
        self._add(new)

    def _input(self, op: Op, index: int, t: Tensor, role: Role) -> Tensor:
        if t.dtype != "float32":
            return self.replaced.get(t, t)
        quant = self.assignment.of(op, index)
        if t.is_constant:
            assert quant is not None
            return self._copy(t, quant, "int32" if role is Role.BIAS else "int8", narrow=role is Role.WEIGHT)
        inner = self._tensor(t)
        if quant is None or quant.same_as(inner.quant):
            return inner
        return self._requantize(op, index, inner, quant)

    def _requantize(self, op: Op, index: int, inner: Tensor, quant: Quant) -> Tensor:
        key = (inner, _key(quant))
        if key not in self.requantized:
            other = twin(inner, f"{inner.name}/requantized")
            other.quant = quant
            why = next((c.why for c in self.assignment.cuts if c.op is op and c.input == index), "parameters differ")
            self._add(make_op("QUANTIZE", [inner], [other]))
            self._note(self.new.ops[-1], op.kind, why)
            self.requantized[key] = other
        return self.requantized[key]

    def _copy(self, t: Tensor, quant: Quant, dtype: str, *, narrow: bool = False) -> Tensor:
        assert t.buffer is not None
        key = (t.buffer, dtype + str(t.shape), _key(quant))
        if key not in self.copies:
            codes = quantize(t.array, quant, dtype, narrow=narrow)
            self.copies[key] = Tensor(t.name, t.shape, dtype, Buffer.of(codes), quant, has_rank=t.has_rank)
        return self.copies[key]

    def _add(self, op: Op) -> None:
        op.origin = self.origin if op.origin < 0 else op.origin
        self.new.ops.append(op)

    def _note(self, op: Op, kind: str, why: str) -> None:
        self.requantizes.append(Change("requantize", op.origin, kind, op.outputs[0].name, why))


def _true_zero_bias(op: Op, data: int, weight: int, bias: int) -> None:
    """A bias of zeros may have any scale in the file (and be shared); give the operator its own, right one."""
    x, w, b = op.input(data), op.input(weight), op.input(bias)
    if x is None or w is None or b is None or b.buffer is None or x.quant is None or w.quant is None:
        return
    expected = Quant.of(bias_scales(float(x.quant.scale[0]), w.quant.scale))
    if b.dtype == "int32" and not expected.same_as(b.quant) and not b.array.any():
        own = twin(b)
        own.buffer, own.quant = Buffer.of(b.array), expected
        op.inputs[bias] = own


def _key(quant: Quant) -> bytes:
    return quant.scale.tobytes() + quant.zero_point.tobytes() + bytes([quant.axis])
