"""The in-memory model: objects that refer to each other directly, without indices into a file.

    Model ── graphs ──> Graph ── ops ──> Op ── inputs, outputs ──> Tensor ── buffer ──> Buffer

Nothing here reads or writes files (see `tflite.read` and `tflite.write`), and nothing compares objects by name: two tensors
are the same if and only if they are the same object. A constant shared by several tensors is one `Buffer` object.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

NUMPY_TYPES: dict[str, type[Any]] = {
    "float32": np.float32,
    "float16": np.float16,
    "float64": np.float64,
    "int8": np.int8,
    "int16": np.int16,
    "int32": np.int32,
    "int64": np.int64,
    "uint8": np.uint8,
    "uint16": np.uint16,
    "uint32": np.uint32,
    "uint64": np.uint64,
    "bool": np.bool_,
    "complex64": np.complex64,
    "complex128": np.complex128,
}
"""TFLite element type -> NumPy type. Types that NumPy lacks ("string", "resource", "int4", …) are missing."""

FLOAT_TYPES = frozenset({"float32", "float16", "float64", "bfloat16", "float8_e4m3fn", "float8_e5m2"})


@dataclass(eq=False, slots=True)
class Buffer:
    """The bytes of a constant, as a one-dimensional uint8 array. Tensors that share a constant share this object."""

    data: Array

    @classmethod
    def of(cls, array: Array) -> Buffer:
        """The bytes of an array, in C order."""
        return cls(np.ascontiguousarray(array).reshape(-1).view(np.uint8))


@dataclass(frozen=True, eq=False, slots=True)
class Quant:
    """Affine quantization parameters: real = (q - zero_point) * scale, per tensor or along one axis.

    Attributes:
        scale: float32, shape [1] or [channels]; empty if a file only records min and max.
        zero_point: int64, same shape as `scale`.
        axis: dimension of the tensor that `scale` runs along, 0 if per tensor.
        min, max: ranges recorded in the file, or None.
        details: the format's other quantization details, kept unchanged.
    """

    scale: Array
    zero_point: Array
    axis: int = 0
    min: Array | None = None
    max: Array | None = None
    details: object | None = None

    @classmethod
    def of(cls, scale: float | Array, zero_point: int | Array = 0, axis: int = 0) -> Quant:
        """Parameters from numbers or arrays; a single zero point is repeated for all channels."""
        s = np.atleast_1d(np.asarray(scale, np.float32))
        z = np.broadcast_to(np.asarray(zero_point, np.int64), s.shape).copy()
        return cls(s, z, axis)

    @property
    def per_channel(self) -> bool:
        """Whether there is more than one scale."""
        return self.scale.size > 1

    def same_as(self, other: Quant | None) -> bool:
        """Whether scales, zero points and, if per channel, the axis are equal."""
        return (
            other is not None
            and np.array_equal(self.scale, other.scale)
            and np.array_equal(self.zero_point, other.zero_point)
            and (not self.per_channel or self.axis == other.axis)
        )

    def __str__(self) -> str:
        if self.per_channel:
            return f"{self.scale.size} scales {self.scale.min():.6g}..{self.scale.max():.6g}"
        return f"scale {float(self.scale[0]):.6g} zero point {int(self.zero_point[0])}"


@dataclass(eq=False, slots=True)
class Tensor:
    """A value of a graph. A constant has a `buffer`; `quant` of a float constant holds parameters that represent it exactly."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    buffer: Buffer | None = None
    quant: Quant | None = None
    shape_signature: tuple[int, ...] | None = None
    is_variable: bool = False
    has_rank: bool = False
    sparsity: object | None = None
    variant_tensors: object | None = None
    external_buffer: int = 0

    @property
    def is_constant(self) -> bool:
        """Whether its value is in the file."""
        return self.buffer is not None or self.external_buffer != 0

    @property
    def is_float(self) -> bool:
        """Whether its type is a floating-point type of any width."""
        return self.dtype in FLOAT_TYPES

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of its values; of handles, one each."""
        kind = NUMPY_TYPES.get(self.dtype)
        return self.size * (kind(0).itemsize if kind is not None else 1)

    @property
    def array(self) -> Array:
        """The constant's value with shape `shape` and type `dtype`, as a view that must not be written to."""
        if self.buffer is None:
            raise ValueError(f'tensor "{self.name}" is not a constant')
        view: Array = self.buffer.data.view(NUMPY_TYPES[self.dtype]).reshape(self.shape)
        return view


def constant(name: str, value: Array, quant: Quant | None = None) -> Tensor:
    """A constant tensor with the value, shape and type of an array."""
    value = np.asarray(value)
    dtype = "bool" if value.dtype == np.bool_ else value.dtype.name
    return Tensor(name, tuple(value.shape), dtype, Buffer.of(value), quant)


def twin(tensor: Tensor, name: str | None = None) -> Tensor:
    """A new tensor with the same type, shape and parameters, but without a constant value."""
    return Tensor(
        tensor.name if name is None else name,
        tensor.shape,
        tensor.dtype,
        quant=tensor.quant,
        shape_signature=tensor.shape_signature,
        has_rank=tensor.has_rank,
    )


@dataclass(eq=False, slots=True)
class Op:
    """An operator: `kind` is TFLite's name for it ("CONV_2D"); a missing optional input is None.

    `options` has the fields of the schema's option table `options_type`, with names in snake_case; a subgraph index is
    replaced by the Graph object. `extra` is the option table of the schema's second union, if any: (type, fields).
    """

    kind: str
    inputs: list[Tensor | None]
    outputs: list[Tensor]
    options: dict[str, Any] = field(default_factory=dict)
    options_type: str = "NONE"
    extra: tuple[str, dict[str, Any]] | None = None
    version: int = 1
    custom_code: str | None = None
    custom_options: Array | None = None
    custom_options_format: int = 0
    mutating_variable_inputs: list[bool] | None = None
    intermediates: list[Tensor] | None = None
    debug_metadata_index: int = -1
    keep_float: bool = False
    """Whether the user asked to keep it in float."""
    origin: int = -1
    """Index in the input file of the operator it comes from, -1 for one that fullint added."""
    folded: tuple[int, ...] = ()
    """Indices in the input file of all operators whose work it does, where these are several."""

    @property
    def origins(self) -> tuple[int, ...]:
        """Indices in the input file of the operators whose work it does."""
        return self.folded or (self.origin,)

    def input(self, index: int) -> Tensor | None:
        """The input at a position, or None if it is missing."""
        return self.inputs[index] if index < len(self.inputs) else None

    @property
    def output_name(self) -> str:
        """Name of its first output, by which reports and errors identify it; "" if it has none."""
        return self.outputs[0].name if self.outputs else ""

    def operands(self) -> Iterator[Tensor]:
        """Its inputs, outputs and intermediates, without missing ones."""
        yield from (t for t in self.inputs if t is not None)
        yield from self.outputs
        yield from self.intermediates or ()

    def values(self) -> Iterator[Tensor]:
        """Its inputs and outputs, without missing ones (intermediates of an LSTM only carry parameters)."""
        yield from (t for t in self.inputs if t is not None)
        yield from self.outputs

    def subgraphs(self) -> Iterator[Graph]:
        """The subgraphs that its options refer to."""
        fields = [*self.options.values(), *(self.extra[1].values() if self.extra else ())]
        for value in fields:
            yield from (g for g in (value if isinstance(value, list) else [value]) if isinstance(g, Graph))


@dataclass(eq=False, slots=True)
class Graph:
    """A subgraph: operators in execution order. `tensors` keeps the file's order."""

    name: str | None = None
    tensors: list[Tensor] = field(default_factory=list)
    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)
    debug_metadata_index: int = -1
    origin: int = -1
    """Index of the graph in the input model that this graph comes from; -1 where nobody asked."""

    def sync_tensors(self) -> None:
        """Update `tensors`: drop unreferenced tensors and append new ones, keeping the order."""
        used: dict[Tensor, None] = dict.fromkeys(self.inputs)
        for op in self.ops:
            used.update(dict.fromkeys(op.operands()))
        used.update(dict.fromkeys(self.outputs))
        known = set(self.tensors)
        self.tensors = [t for t in self.tensors if t in used] + [t for t in used if t not in known]


@dataclass(eq=False, slots=True)
class Signature:
    """A signature: a key, and names for the inputs and outputs of a graph."""

    key: str | None
    graph: Graph
    inputs: list[tuple[str | None, Tensor]]
    outputs: list[tuple[str | None, Tensor]]


@dataclass(eq=False, slots=True)
class Model:
    """The contents of a `.tflite` file. `graphs[0]` is the main graph."""

    graphs: list[Graph]
    signatures: list[Signature] = field(default_factory=list)
    metadata: list[tuple[str | None, Buffer | None]] = field(default_factory=list)
    metadata_buffers: list[Buffer | None] | None = None
    description: str | None = None
    version: int = 3
    external_groups: object | None = None
    external_buffers: object | None = None

    @property
    def main(self) -> Graph:
        """The main graph, which an interpreter runs by default."""
        return self.graphs[0]

    @property
    def entries(self) -> list[Graph]:
        """The graphs that an application runs: the main graph and those of signatures."""
        return list(dict.fromkeys([self.main, *(s.graph for s in self.signatures)]))

    def ops(self) -> Iterator[tuple[int, Op]]:
        """(index of its graph, operator) over all graphs."""
        for index, graph in enumerate(self.graphs):
            for op in graph.ops:
                yield index, op


class Uses:
    """The producer and readers of each tensor of some graphs; create a new one after changes."""

    def __init__(self, *graphs: Graph) -> None:
        self.producer: dict[Tensor, Op] = {}
        self.readers: dict[Tensor, list[tuple[Op, int]]] = {}
        self.outputs = {t for graph in graphs for t in graph.outputs}
        self.sources: dict[Tensor, Tensor] | None = None
        """Cache of `passes.lookup`: the tensor that each tensor is an element-wise function of."""
        self.place: dict[Op, int] = {}
        for graph in graphs:
            for op in graph.ops:
                self.place[op] = len(self.place)
                self.producer.update((t, op) for t in op.outputs)
                for i, t in enumerate(op.inputs):
                    if t is not None:
                        self.readers.setdefault(t, []).append((op, i))

    def of(self, tensor: Tensor) -> list[tuple[Op, int]]:
        """The readers of a tensor, as (operator, input position)."""
        return self.readers.get(tensor, [])

    def only_reader(self, tensor: Tensor) -> Op | None:
        """The operator that reads a tensor, if it is read once and is not a graph output; else None."""
        readers = self.of(tensor)
        return readers[0][0] if len(readers) == 1 and tensor not in self.outputs else None
