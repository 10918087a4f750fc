"""Lift: rewrite faulty integer operators as the float operators they stand for, and remove conversions without effect.

    i8 --CONV_2D(bias scale wrong)--> i8     =>     i8 --DEQUANTIZE--> CONV_2D --QUANTIZE--> i8
    u8 --CONV_2D--> u8 --CONV_2D--> u8       =>     u8 --DEQUANTIZE--> CONV_2D --> CONV_2D --QUANTIZE--> u8
    i8 (s, z) --QUANTIZE--> i8 (s, z)        =>     i8

A lifted operator is a float island with known parameters on all sides, just as a converter leaves it, so the same stages
make it integer again, correctly this time.
"""

from __future__ import annotations

from collections.abc import Collection, MutableMapping
from collections.abc import Set as AbstractSet
from dataclasses import replace

import numpy as np

from fullint.model.ir import Array, Graph, Model, Op, Quant, Tensor, Uses, constant, twin
from fullint.model.numerics import as_activation, bias_scales, dequantize
from fullint.ops import ROWS, Observed, OpRow, Role
from fullint.ops.base import CONVERSIONS, codes
from fullint.ops.make import make_op
from fullint.ops.releases import first_version


def lift(model: Model, ops: AbstractSet[Op], *, ends: bool) -> dict[Tensor, tuple[Quant, str]]:
    """Rewrite operators as float operators, in place.

    Args:
        model: the model to change.
        ops: the operators to lift.
        ends: whether inputs and outputs of the model that only these operators use become float as well.

    Returns:
        Float tensor -> the parameters and type that it had, and is to have again.
    """
    pinned: dict[Tensor, tuple[Quant, str]] = {}
    for graph in model.graphs:
        if not ops.isdisjoint(graph.ops):
            _Lifter(model, graph, ops, pinned, ends=ends and graph in model.entries).run()
    return pinned


class _Lifter:
    """Lifts the operators of one graph."""

    def __init__(
        self, model: Model, graph: Graph, ops: AbstractSet[Op], pinned: MutableMapping[Tensor, tuple[Quant, str]], *, ends: bool
    ) -> None:
        self.model, self.graph, self.ops, self.pinned, self.ends = model, graph, ops, pinned, ends
        self.uses = Uses(graph)
        self.floats: dict[Tensor, Tensor] = {}
        self.new: list[Op] = []

    def run(self) -> None:
        """Rewrite the graph in place."""
        swapped: dict[Tensor, Tensor] = {}
        for t in self.graph.inputs if self.ends else ():
            if codes(t) and self.uses.of(t) and self._private(t):
                swapped[t] = self._twin(t, t.name)
        for op in self.graph.ops:
            self.new += self._lifted(op) if op in self.ops else [op]
            for t in op.outputs if op in self.ops else ():
                if codes(t) and t in self.graph.outputs and op.kind in CONVERSIONS:
                    swapped[t] = self._named(self.floats[t], t.name)
                elif codes(t) and not self._gone(t):
                    self.new.append(make_op("QUANTIZE", [self.floats[t]], [t]))
                    self.new[-1].origin = op.origin
                elif codes(t) and t in self.graph.outputs:
                    swapped[t] = self.floats[t]
        self.graph.ops = self.new
        self._swap(swapped)
        self.graph.sync_tensors()

    def _swap(self, swapped: dict[Tensor, Tensor]) -> None:
        self.graph.inputs = [swapped.get(t, t) for t in self.graph.inputs]
        self.graph.outputs = [swapped.get(t, t) for t in self.graph.outputs]
        for s in self.model.signatures:
            if s.graph is self.graph:
                s.inputs = [(n, swapped.get(t, t)) for n, t in s.inputs]
                s.outputs = [(n, swapped.get(t, t)) for n, t in s.outputs]

    def _private(self, t: Tensor) -> bool:
        """Whether only lifted operators read a tensor."""
        return all(reader in self.ops for reader, _ in self.uses.of(t))

    def _gone(self, t: Tensor) -> bool:
        """Whether the integer form of a lifted operator's result is no longer needed."""
        return self._private(t) and (self.ends or t not in self.graph.outputs)

    def _twin(self, t: Tensor, name: str) -> Tensor:
        made = twin(t, name)
        made.dtype, made.quant = "float32", None
        self.floats[t] = made
        if (given := as_activation(t)) is not None:
            self.pinned[made] = given
        return made

    def _named(self, t: Tensor, name: str) -> Tensor:
        """A value under the name of the output that it becomes, unless it is one already."""
        if t not in self.graph.outputs:
            t.name = name
        return t

    def _lifted(self, op: Op) -> list[Op]:
        row = ROWS.get(op.kind)
        if op.kind in CONVERSIONS:  # a requantize that clips: its readers read what it converts
            x = op.inputs[0]
            assert x is not None
            self.floats[op.outputs[0]] = self._operand(op, 0, x, row)
            return []
        inputs = [None if t is None else self._operand(op, i, t, row) for i, t in enumerate(op.inputs)]
        if row is not None and row.bias is not None and row.weight is not None and op.kind.endswith("CONV_2D"):
            inputs += [None] * (row.bias + 1 - len(inputs))
            w = inputs[row.weight]
            if inputs[row.bias] is None and w is not None and row.axis is not None:
                inputs[row.bias] = constant(f"{op.output_name}/bias", np.zeros(w.shape[row.axis], np.float32))
        outputs = [self._twin(t, t.name if self._gone(t) else f"{t.name}/float") if codes(t) else t for t in op.outputs]
        return [replace(op, inputs=inputs, outputs=outputs, options=dict(op.options), version=first_version(op.kind))]

    def _operand(self, op: Op, index: int, t: Tensor, row: OpRow | None) -> Tensor:
        role = row.role(index) if row is not None else Role.OWN
        if role in (Role.RAW, Role.ANY) or t.is_float:
            return t
        if t.is_constant and t.buffer is not None:
            return _constant(op, t, role, row) if codes(t) or role is Role.BIAS else t
        if not codes(t):
            return t
        if t not in self.floats:
            self.new.append(make_op("DEQUANTIZE", [t], [self._twin(t, f"{t.name}/float")]))
            self.new[-1].origin = op.origin
        return self.floats[t]


def _constant(op: Op, t: Tensor, role: Role, row: OpRow | None) -> Tensor:
    """An integer constant dequantized to float32; int8 weights with zero point 0 keep their parameters in `quant`."""
    quant = t.quant if t.quant is not None and t.quant.scale.size else None
    if role is Role.BIAS:
        says = quant is not None and np.isfinite(quant.scale).all() and (quant.scale > 0).all()
        value = _along_all(t.array, quant if quant is not None and says else _product(op, row))
        return constant(t.name, _vector(value, op, row))
    assert quant is not None
    axis = row.axis if row is not None and role is Role.WEIGHT and quant.per_channel else None
    if axis is not None and t.shape[axis] == quant.scale.size:
        quant = replace(quant, axis=axis)
    symmetric = t.dtype == "int8" and not quant.zero_point.any()
    return constant(t.name, dequantize(t.array, quant), quant if symmetric or role is not Role.WEIGHT else None)


def _vector(bias: Array, op: Op, row: OpRow | None) -> Array:
    """The bias with shape [channels], if it has one value or one per channel; else unchanged."""
    w = op.input(row.weight) if row is not None and row.weight is not None else None
    channels = w.shape[row.axis] if w is not None and row is not None and row.axis is not None else bias.size
    if bias.size not in (1, channels):
        return bias
    one: Array = np.broadcast_to(bias.reshape(-1), (channels,)).copy()
    return one


def _product(op: Op, row: OpRow | None) -> Quant:
    """s_in * s_w, for a bias without a scale."""
    x, w = (op.input(row.data), op.input(row.weight or 0)) if row is not None else (None, None)
    if x is None or w is None or x.quant is None or w.quant is None:
        return Quant.of(1.0)
    return Quant.of(bias_scales(float(x.quant.scale[0]), w.quant.scale))


def _along_all(codes_: Array, quant: Quant) -> Array:
    """A bias of any shape dequantized to float32; per-channel scales run along its flattened elements."""
    flat = codes_.reshape(-1)
    scale = quant.scale if quant.scale.size in (1, flat.size) else quant.scale[:1]
    zero = quant.zero_point if quant.zero_point.size in (1, flat.size) else quant.zero_point[:1]
    real: Array = ((flat.astype("float64") - zero) * scale.astype("float64")).astype("float32")
    return real.reshape(codes_.shape)


def merge_conversions(model: Model, keep: AbstractSet[Op]) -> None:
    """Let an operator write the parameters that a detour through float gives its result, in place.

        CONV_2D --> i8 (s1) --DEQUANTIZE--> f32 --QUANTIZE--> i8 (s2)       =>       CONV_2D --> i8 (s2)

    Only where nothing else reads what lies between, and the kernel can write any scale.
    """
    for graph in model.graphs:
        uses = Uses(graph)
        gone: set[Op] = set()
        for op in graph.ops:
            chain = _detour(op, graph, uses) if op not in keep else None
            if chain is not None and keep.isdisjoint(chain):
                op.outputs[0] = chain[1].outputs[0]
                gone |= {*chain}
        graph.ops = [op for op in graph.ops if op not in gone]
        graph.sync_tensors()


def _detour(op: Op, graph: Graph, uses: Uses) -> tuple[Op, Op] | None:
    """The DEQUANTIZE and QUANTIZE behind an integer operator whose scale is its own, if nothing else reads what lies between."""
    row = ROWS.get(op.kind)
    if row is None or len(op.outputs) != 1 or not isinstance(row.output(0), Observed) or op.kind in CONVERSIONS:
        return None
    given = as_activation(op.outputs[0])
    first = uses.only_reader(op.outputs[0])
    second = uses.only_reader(first.outputs[0]) if first is not None and first.kind == "DEQUANTIZE" else None
    if first is None or second is None or second.kind != "QUANTIZE" or given is None:
        return None
    wanted = as_activation(second.outputs[0])
    same_type = op.outputs[0].dtype == second.outputs[0].dtype
    return (first, second) if wanted is not None and same_type else None


def cancel(model: Model, conversions: Collection[Op]) -> None:
    """Remove QUANTIZE operators between equal parameters, in place: readers of the output read the input."""
    for graph in model.graphs:
        replaced: dict[Tensor, Tensor] = {}
        ends = {*graph.inputs, *graph.outputs}  # a tensor has one name, so it is one end of the graph at most
        for op in graph.ops:
            op.inputs = [replaced.get(t, t) if t is not None else None for t in op.inputs]
            x = op.inputs[0] if op.inputs else None
            if op not in conversions or x is None:
                continue
            if op.outputs[0] not in graph.outputs or x not in ends:
                replaced[op.outputs[0]] = x
                ends |= {x} if op.outputs[0] in graph.outputs else set()
        if not replaced:
            continue
        graph.ops = [op for op in graph.ops if not (op in conversions and op.outputs[0] in replaced)]
        for old in [t for t in graph.outputs if t in replaced]:
            replaced[old].name = old.name
        graph.outputs = [replaced.get(t, t) for t in graph.outputs]
        for s in model.signatures:
            if s.graph is graph:
                s.outputs = [(n, replaced.get(t, t)) for n, t in s.outputs]
        graph.sync_tensors()
