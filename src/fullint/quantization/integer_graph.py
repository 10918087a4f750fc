"""One integer graph while it is written: integer forms of values, copies of constants, requantizes where parameters differ."""

from __future__ import annotations

import numpy as np

from fullint.model.ir import Buffer, Graph, Op, Tensor, constant, twin
from fullint.model.numerics import activation_params, quantize
from fullint.model.ranges import Range
from fullint.quantization.assignment import Assignment, Encoding
from fullint.quantization.io_types import conversion
from fullint.quantization.shared_bytes import quant_key
from fullint.reporting import Change


class GraphWriter:
    """The new graph, and what stands for what in it.

    Args:
        new: the graph to fill.
        assignment: parameters of every float tensor.
        int8: float activation -> its integer form; shared by the graphs of a model.
        requantizes: what is put in where parameters differ is noted here.
    """

    def __init__(self, new: Graph, assignment: Assignment, int8: dict[Tensor, Tensor], requantizes: list[Change]) -> None:
        self.new, self.assignment, self.int8, self.requantizes = new, assignment, int8, requantizes
        self.replaced: dict[Tensor, Tensor] = {}
        """Tensors that are no floats -> what stands for them."""
        self.copies: dict[tuple[Buffer, str, bytes], Tensor] = {}
        self.requantized: dict[tuple[Tensor, bytes], Tensor] = {}
        self.origin = -1
        """Index in the given file of the operator that is being written."""

    def tensor(self, t: Tensor) -> Tensor:
        """The integer form of a float activation; anything else stays itself, or what replaced it."""
        if t.dtype != "float32":
            return self.replaced.get(t, t)
        if t not in self.int8:
            q = twin(t)
            encoding = self.assignment.encodings[t]
            q.dtype, q.quant, q.shape_signature = encoding.dtype, encoding.quant, None
            self.int8[t] = q
        return self.int8[t]

    def graph_output(self, t: Tensor) -> Tensor:
        """An output of the graph: integer, a constant too."""
        if not t.is_float or not t.is_constant:
            return self.tensor(t)
        t = constant(t.name, t.array.astype(np.float32))
        kind = self.assignment.default_type
        return self.copy(t, Encoding(kind, activation_params(Range.of(t.array), kind)))

    def input(self, op: Op, index: int, t: Tensor) -> Tensor:
        """An operand as its operator reads it."""
        if t.dtype != "float32":
            return self.replaced.get(t, t)
        encoding = self.assignment.of(op, index)
        if t.is_variable:
            assert encoding is not None
            state = twin(t)
            state.dtype, state.quant, state.is_variable = encoding.dtype, encoding.quant, True
            return self.int8.setdefault(t, state)
        if t.is_constant:
            assert encoding is not None
            return self.copy(t, encoding)
        inner = self.tensor(t)
        if encoding is None or encoding.quant.same_as(inner.quant):
            return inner
        return self.requantize(op, index, inner, encoding)

    def requantize(self, op: Op, index: int, inner: Tensor, encoding: Encoding) -> Tensor:
        """A value in another encoding: one requantize serves all who want it."""
        key = (inner, quant_key(encoding.quant) + encoding.dtype.encode())
        if key not in self.requantized:
            other = twin(inner, f"{inner.name}/requantized")
            other.quant, other.dtype = encoding.quant, encoding.dtype
            why = next((c.why for c in self.assignment.cuts if c.op is op and c.input == index), "parameters differ")
            self.add(conversion(inner, other))
            self.note(self.new.ops[-1], op.kind, why)
            self.requantized[key] = other
        return self.requantized[key]

    def copy(self, t: Tensor, encoding: Encoding) -> Tensor:
        """A constant in codes; equal copies are one tensor."""
        assert t.buffer is not None
        quant, dtype = encoding.quant, encoding.dtype
        key = (t.buffer, dtype + str(t.shape), quant_key(quant))
        if key not in self.copies:
            codes = quantize(t.array, quant, dtype, narrow=encoding.narrow)
            self.copies[key] = Tensor(t.name, t.shape, dtype, Buffer.of(codes), quant, has_rank=t.has_rank)
        return self.copies[key]

    def rename(self, old: Tensor, new: Tensor) -> None:
        """Put a tensor in the place of another, in what is emitted so far, too (the given model stays as it is)."""
        self.replaced.update({t: new for t, r in self.replaced.items() if r is old} | {old: new})
        self.int8.update({t: new for t, q in self.int8.items() if q is old})
        self.new.inputs = [new if t is old else t for t in self.new.inputs]
        for op in self.new.ops:
            op.inputs = [new if t is old else t for t in op.inputs]
            op.outputs = [new if t is old else t for t in op.outputs]

    def add(self, op: Op) -> None:
        """Append an operator."""
        op.origin = self.origin if op.origin < 0 else op.origin
        self.new.ops.append(op)

    def note(self, op: Op, kind: str, why: str) -> None:
        """Note a requantize that has just been appended."""
        self.requantizes.append(Change("requantize", op.origin, kind, op.outputs[0].name, why))
