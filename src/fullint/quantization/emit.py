"""The integer graph: an `Assignment` carried out.

    float x --CONV_2D--> float y        =>    int8 x --CONV_2D--> int8 y      weights int8, bias int32
    cut:      x ---> CONCATENATION      =>    x --QUANTIZE--> x' ---> CONCATENATION
    given:    i8 --DEQUANTIZE--> x      =>    i8 (the same tensor, where the parameters are)

This is the one place that applies an assignment; it decides nothing. Each consumer gets its own
copy of a constant, and equal copies are the same tensor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fullint.calibration.masks import MASK
from fullint.errors import Blocker, NotIntegerError
from fullint.model.ir import Buffer, Graph, Model, Op, Quant, Signature, Tensor, Uses, twin
from fullint.model.numerics import bias_scales, quantize, representable
from fullint.model.subgraphs import LOOKUP, point_to
from fullint.ops import ROWS, OpRow, Role
from fullint.ops.base import CONVERSIONS, codes
from fullint.ops.make import ACTIVATIONS
from fullint.quantization.assignment import Assignment
from fullint.quantization.emit_codes import emit_from_integers, emit_table
from fullint.quantization.integer_graph import GraphWriter
from fullint.quantization.io_types import conversion
from fullint.quantization.shared_bytes import share_equal_bytes
from fullint.reporting import Change

_BOUNDS = {ACTIVATIONS["RELU6"]: 6.0, ACTIVATIONS["RELU_N1_TO_1"]: 1.0}
_MOST_STEPS = 2.0**31 - 1
"""kernel_util.cc, CalculateActivationRangeQuantizedImpl: a bound in steps has to fit int32."""
OF_A_MASK = "bring its operands to sizes nearer to each other; a mask of -1e38 does its work at -100 too"
OF_A_CANCELLATION = "its operands nearly cancel, and the scale of what is left is given: bring them to sizes nearer to its result"
OF_LARGE_VALUES = "scale down what it reads"


@dataclass
class Emitted:
    """The integer model and what came about on the way."""

    model: Model
    requantizes: list[Change] = field(default_factory=list)
    kept: dict[Op, Change] = field(default_factory=dict)
    """Operators of `model` that stay float, as asked."""
    float_ops: set[Op] = field(default_factory=set)
    """They and the QUANTIZE and DEQUANTIZE around them, in `model`."""
    int8: dict[Tensor, Tensor] = field(default_factory=dict)
    """Float activation of the given model -> its integer form."""

    def places(self) -> dict[tuple[int, int], str]:
        """Where what stays as it was, and the borders around it, are in the file that will be written."""
        found = {}
        for number, graph in enumerate(self.model.graphs):
            for index, op in enumerate(graph.ops):
                if op in self.float_ops:
                    change = self.kept.get(op)
                    inside = f"subgraph {number} " if number else ""
                    found[number, index] = f'{inside}op {change.index} {change.kind} "{change.output}"' if change else ""
        return found


def emit(model: Model, assignment: Assignment, float_ends: tuple[bool, bool] = (False, False)) -> Emitted:
    """Build the all-integer model, integer in and out. `model` is not changed; untouched parts are shared.

    Args:
        model: prepared.
        assignment: parameters of every float tensor.
        float_ends: whether inputs, and outputs, of operators kept in float stay float.

    Raises:
        NotIntegerError: scales that a kernel does not take.
    """
    emitted = Emitted(model)
    graphs: dict[Graph, Graph] = {g: Graph(g.name, debug_metadata_index=g.debug_metadata_index) for g in model.graphs}
    blockers: list[Blocker] = []
    for number, graph in enumerate(model.graphs):
        ends = float_ends if graph in model.entries and graph not in assignment.returns else (False, False)
        emitter = _Emitter(number, graph, graphs, assignment, emitted, ends)
        emitter.run()
        blockers += emitter.blockers
    if blockers:
        raise NotIntegerError(blockers)
    emitted.model = replace(
        model,
        graphs=[graphs[g] for g in model.graphs],
        signatures=[_signature(s, graphs[s.graph]) for s in model.signatures],
        metadata=list(model.metadata),
    )
    share_equal_bytes(emitted.model, {t for graph in model.graphs for t in graph.tensors})
    return emitted


def _signature(old: Signature, after: Graph) -> Signature:
    ins = dict(zip(old.graph.inputs, after.inputs, strict=True))
    outs = dict(zip(old.graph.outputs, after.outputs, strict=True))
    return Signature(old.key, after, [(n, ins[t]) for n, t in old.inputs], [(n, outs[t]) for n, t in old.outputs])


def _hold_clamp(options: dict[str, Any], y: Tensor) -> None:
    """A fused clamp that no code of its output reaches, and that the kernels cannot hold in 32 bits, becomes one they can.

    RELU6, steps of 1e-10:   6 / step does not fit int32, and codes end at 2.55e-8      =>   RELU
    """
    clamp = options.get("fused_activation_function")
    if clamp in _BOUNDS and y.quant is not None and _BOUNDS[clamp] / float(y.quant.scale.min()) >= _MOST_STEPS:
        options["fused_activation_function"] = ACTIVATIONS["RELU" if clamp == ACTIVATIONS["RELU6"] else "NONE"]


def _way_out(op: Op, row: OpRow) -> str:
    """What can be done about scales that a kernel does not take."""
    if any(
        t is not None and codes(t) and t.quant is not None and representable(t.quant, t.dtype).largest > MASK for t in op.inputs
    ):
        return OF_A_MASK
    return OF_LARGE_VALUES if row.limits(op) else OF_A_CANCELLATION


class _Emitter:
    """One emission of one graph."""

    def __init__(
        self,
        number: int,
        graph: Graph,
        graphs: Mapping[Graph, Graph],
        assignment: Assignment,
        emitted: Emitted,
        float_ends: tuple[bool, bool],
    ) -> None:
        self.number, self.old, self.graphs, self.emitted = number, graph, graphs, emitted
        self.float_in, self.float_out = float_ends
        self.out = GraphWriter(graphs[graph], assignment, emitted.int8, emitted.requantizes)
        self.floats: dict[Tensor, Tensor] = {}
        self.uses = Uses(graph)
        self.named: set[Tensor] = set()
        """Integer tensors that have taken a graph output's name."""
        self.blockers: list[Blocker] = []

    def run(self) -> Graph:
        """Fill the new graph."""
        self.out.new.inputs = [self._graph_input(t) for t in self.old.inputs]
        for op in self.old.ops:
            self.out.origin = op.origin
            self._op(op)
        self.out.origin = -1
        ret = self.out.assignment.returns.get(self.old)
        if ret is None:
            self.out.new.outputs = [
                self.floats[t] if self._ends_in_float(t) else self.out.graph_output(t) for t in self.old.outputs
            ]
        else:
            self.out.new.outputs = [self.out.input(ret, i, t) for i, t in enumerate(self.old.outputs)]
        self.out.new.sync_tensors()
        return self.out.new

    def _graph_input(self, t: Tensor) -> Tensor:
        """An input; one that an operator kept in float reads stays float, and is quantized for the others."""
        readers = [reader for reader, _ in self.uses.of(t)]
        if not self.float_in or t.dtype != "float32" or not any(reader.keep_float for reader in readers):
            return self.out.tensor(t)
        self.floats[t] = replace(twin(t), shape_signature=None)
        if t in self.old.outputs or not all(reader.keep_float for reader in readers):
            inner = self.out.tensor(t)
            inner.name = f"{t.name}/{inner.dtype}"
            self._add_float(conversion(self.floats[t], inner))
        return self.floats[t]

    def _ends_in_float(self, t: Tensor) -> bool:
        """Whether an output stays float, because an operator kept in float makes it."""
        made = self.uses.producer.get(t)
        return self.float_out and t in self.old.outputs and t.dtype == "float32" and made is not None and made.keep_float

    def _op(self, op: Op) -> None:
        if op.keep_float and any(t.is_float for t in op.values()):
            self._float_op(op)
        elif op.kind == LOOKUP:
            emit_table(self.out, op)
        elif op.kind == "CAST" and op.outputs[0].is_float:
            emit_from_integers(self.out, op)
        elif op.kind in CONVERSIONS and any(t.dtype == "float32" for t in op.values()):
            self._bridge(op)
        elif any(t.is_float for t in op.values()):
            self._integer_op(op)
        else:
            self._keep(op)

    def _float_op(self, op: Op) -> None:
        """An operator that stays float:  i8 --DEQUANTIZE--> op --QUANTIZE--> i8."""
        inputs = [None if t is None else self._as_float(t) for t in op.inputs]
        names = {t: t.name if self._ends_in_float(t) else f"{t.name}/float" for t in op.outputs}
        outputs = [twin(t, names[t]) if t.dtype == "float32" else t for t in op.outputs]
        self.floats.update((t, f) for t, f in zip(op.outputs, outputs, strict=True) if t.dtype == "float32")
        new = replace(op, inputs=inputs, outputs=outputs)
        self._add_float(new)
        name = op.output_name
        where = f"stays float, as asked{f', in subgraph {self.number}' if self.number else ''}"
        self.emitted.kept[new] = Change("keep_float", op.origin, op.custom_code or op.kind, name, where)
        for t in op.outputs:
            as_end = t in self.old.outputs and not self._ends_in_float(t)
            if t.dtype == "float32" and (as_end or any(not reader.keep_float for reader, _ in self.uses.of(t))):
                inner = self.out.tensor(t)
                inner.name = f"{t.name}/{inner.dtype}" if self._ends_in_float(t) else inner.name
                self._add_float(conversion(self.floats[t], inner))

    def _as_float(self, t: Tensor) -> Tensor:
        if t.dtype != "float32":
            return self.out.replaced.get(t, t)
        if t.is_constant or t.is_variable:
            return t
        if t not in self.floats:
            self.floats[t] = twin(t, f"{t.name}/float")
            self._add_float(conversion(self.out.tensor(t), self.floats[t]))
        return self.floats[t]

    def _add_float(self, op: Op) -> None:
        self.out.add(op)
        self.emitted.float_ops.add(op)

    def _keep(self, op: Op) -> None:
        """An operator that was integer already: the same, with its version and bias scale made true."""
        inputs = [None if t is None else self.out.replaced.get(t, t) for t in op.inputs]
        new = replace(op, inputs=inputs, options=point_to(op.options, self.graphs))
        row = ROWS.get(op.kind)
        if op.keep_float:
            self.emitted.float_ops.add(new)
            self.emitted.kept[new] = Change("leave", op.origin, op.kind, op.output_name, "left as it was, as asked")
        elif row is not None and any(t.dtype in ("int8", "int16") and t.quant is not None for t in op.values()):
            new.version = max(op.version, row.version_of(new))
            if row.weight is not None and row.bias is not None:
                _true_zero_bias(new, row.data, row.weight, row.bias)
        self.out.add(new)

    def _bridge(self, op: Op) -> None:
        """QUANTIZE and DEQUANTIZE of a half-quantized model: nothing, or a requantize."""
        source, out = op.inputs[0], op.outputs[0]
        assert source is not None
        source = self.out.replaced.get(source, source)
        if op.kind == "DEQUANTIZE":
            params = self.out.assignment.encodings[out].quant
            if source.dtype == "int8" and params.same_as(source.quant) and self._nameable(source, out):
                self.out.int8[out] = source
                if out in self.old.outputs:
                    self.out.rename(source, replace(source, name=out.name))
                    self.named.add(self.out.replaced[source])
            else:
                self.out.add(conversion(source, self.out.tensor(out)))
            return
        if source.is_constant:
            assert out.quant is not None
            weights = any((row := ROWS.get(r.kind)) is not None and row.role(i) is Role.WEIGHT for r, i in self.uses.of(out))
            self.out.replaced[out] = replace(out, buffer=Buffer.of(quantize(source.array, out.quant, out.dtype, narrow=weights)))
            return
        inner = self.out.tensor(source)
        ends = out in self.old.outputs and (source in self.old.inputs or source in self.old.outputs)
        if inner.quant is not None and inner.quant.same_as(out.quant) and out.dtype == "int8" and not ends:
            self.out.replaced[out] = inner
            if out in self.old.outputs:
                inner.name = out.name
        else:
            self.out.add(conversion(inner, out))
            self.out.note(self.out.new.ops[-1], op.kind, "the file's own QUANTIZE asks for other parameters")

    def _nameable(self, source: Tensor, out: Tensor) -> bool:
        """Whether an integer value can stand for its float form, as a graph output by that one's name."""
        ends = source in self.out.new.inputs or source in self.old.outputs or source in self.named
        return out not in self.old.outputs or not ends

    def _integer_op(self, op: Op) -> None:
        row = ROWS[op.kind]
        inputs = [None if t is None else self.out.input(op, i, t) for i, t in enumerate(op.inputs)]
        options = point_to(op.options, self.graphs)
        if "quantized_bias_type" in options:
            options["quantized_bias_type"] = 0
        if "pot_scale_int16" in options:
            options["pot_scale_int16"] = False
        if op.outputs:
            _hold_clamp(options, self.out.tensor(op.outputs[0]))
        new = Op(op.kind, inputs, [self.out.tensor(t) for t in op.outputs], options, op.options_type, op.extra)
        new.mutating_variable_inputs = op.mutating_variable_inputs
        new.intermediates = self._intermediates(op)
        new.version = row.version_of(new)
        if why := row.limit(new):
            self.blockers.append(Blocker(self.number, op.origin, op.kind, op.output_name, why, _way_out(new, row)))
        self.out.add(new)

    def _intermediates(self, op: Op) -> list[Tensor] | None:
        known = self.out.assignment.intermediates.get(op)
        if not known:
            return op.intermediates
        return [Tensor(f"{op.outputs[0].name}/intermediate{i}", (0,), e.dtype, quant=e.quant) for i, e in enumerate(known)]


def _true_zero_bias(op: Op, data: int, weight: int, bias: int) -> None:
    """A bias of zeros may have any scale in the file (and be shared); give the operator its own, right one."""
    x, w, b = op.input(data), op.input(weight), op.input(bias)
    if x is None or w is None or b is None or b.buffer is None or x.quant is None or w.quant is None:
        return
    expected = Quant.of(bias_scales(float(x.quant.scale[0]), w.quant.scale))
    if b.dtype in ("int32", "int64") and not expected.same_as(b.quant) and not b.array.any():
        own = twin(b)
        own.buffer, own.quant = Buffer.of(b.array), expected
        op.inputs[bias] = own
