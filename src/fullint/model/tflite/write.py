"""Write a `Model` as a `.tflite` file.

Buffers are numbered in order of use: 0 stays empty as the format requires, then each graph's constants, then metadata. The
same model always gives the same bytes.
"""

from __future__ import annotations

from typing import Any

from fullint.errors import FullintError
from fullint.model.ir import Buffer, Graph, Model, Op, Quant, Tensor
from fullint.model.subgraphs import expand_lookups
from fullint.model.tflite import schema
from fullint.model.tflite.forward import pack
from fullint.model.tflite.read import give_back, mapping_of
from fullint.printable import unescaped

_PAGE = 4096
_ALIGNMENT = 64


def write_model(model: Model) -> bytes:
    """The bytes of a model as a flatbuffer.

    Raises:
        FullintError: the model exceeds the format's limit of 2 GB.
    """
    import flatbuffers

    model = expand_lookups(model)
    writer = _Writer(model)
    packed = writer.packed()
    size = sum(b.data.nbytes for b in writer.buffers if b is not None)
    if size >= 2**31 - 2**20:
        raise FullintError(f"the model would have {size / 2**30:.1f} GB of constants, but a flatbuffer is limited to 2 GB")
    builder = flatbuffers.Builder(size + _room_for_tables(model))
    builder.Finish(packed.Pack(builder), schema.IDENTIFIER)
    return bytes(memoryview(builder.Bytes)[builder.Head() :])


def write_file(model: Model, path: str) -> None:
    """Write a model for the runtime to map into memory, with large constants after the flatbuffer.

    The format allows buffers at an offset in the file, which avoids copying them in memory. Use this for temporary files
    only: other readers may require constants inside the flatbuffer (`write_model`).
    """
    model = expand_lookups(model)
    room = _room_for_tables(model)
    while True:  # where the estimate was too low, with as much as was needed
        base = -(-room // _PAGE) * _PAGE
        writer = _Writer(model, base)
        tables = pack(writer.packed(), schema.IDENTIFIER)
        if len(tables) <= base:
            break
        room = len(tables)
    with open(path, "wb") as f:
        f.write(tables)
        for offset, buffer in writer.outside:
            f.seek(offset)
            buffer.data.tofile(f)
            if (mapped := mapping_of(buffer)) is not None:
                give_back(mapped)


def _room_for_tables(model: Model) -> int:
    """An estimate, in bytes, of everything but large constants, since growing the builder copies all of it."""
    names = sum(len(t.name) for g in model.graphs for t in g.tensors)
    scales = sum(t.quant.scale.size for g in model.graphs for t in g.tensors if t.quant is not None)
    items = sum(len(g.tensors) + len(g.ops) for g in model.graphs)
    small = sum(
        n for n in {id(t.buffer): t.buffer.data.nbytes for g in model.graphs for t in g.tensors if t.buffer}.values() if n < _PAGE
    )
    return 65536 + 4 * names + 16 * scales + 512 * items + small


class _Writer:
    """Converts one `Model` to the generated flatbuffers objects."""

    def __init__(self, model: Model, base: int | None = None) -> None:
        self.model = model
        self.base = base
        self.outside: list[tuple[int, Buffer]] = []
        self.s = schema.generated()
        self.buffers: list[Buffer | None] = [None]
        self.buffer_index: dict[Buffer, int] = {}
        self.codes: dict[tuple[str, str | None, int], int] = {}
        self.graph_index = {g: i for i, g in enumerate(model.graphs)}
        self.tensor_index = [{t: i for i, t in enumerate(g.tensors)} for g in model.graphs]

    def _text(self, text: str | None) -> bytes | None:
        """A name as the bytes that it was read from; escaped for the runtime, whose Python package reads UTF-8 only."""
        if text is None:
            return None
        return unescaped(text).encode("utf-8", "surrogateescape") if self.base is None else text.encode()

    def packed(self) -> Any:
        m, model = self.s.ModelT(), self.model
        m.version = model.version
        m.description = self._text(model.description)
        m.subgraphs = [self._graph(g, ids) for g, ids in zip(model.graphs, self.tensor_index, strict=True)]
        m.signatureDefs = [self._signature(s) for s in model.signatures] or None
        m.metadata = [self._metadata(n, b) for n, b in model.metadata] or None
        if model.metadata_buffers is not None:
            m.metadataBuffer = [self._buffer(b) for b in model.metadata_buffers]
        m.externalBufferGroups, m.externalBuffers = model.external_groups, model.external_buffers
        m.operatorCodes = [self._code(key) for key in self.codes]
        m.buffers = [self._data(b) for b in self.buffers]
        return m

    def _data(self, buffer: Buffer | None) -> Any:
        t = self.s.BufferT()
        if buffer is None:
            return t
        if self.base is None or buffer.data.nbytes < _PAGE:
            t.data = buffer.data
            return t
        t.offset, t.size = self.base, buffer.data.nbytes
        self.outside.append((self.base, buffer))
        self.base += -(-buffer.data.nbytes // _ALIGNMENT) * _ALIGNMENT
        return t

    def _buffer(self, buffer: Buffer | None) -> int:
        if buffer is None:
            return 0
        if buffer not in self.buffer_index:
            self.buffer_index[buffer] = len(self.buffers)
            self.buffers.append(buffer)
        return self.buffer_index[buffer]

    def _graph(self, graph: Graph, ids: dict[Tensor, int]) -> Any:
        g = self.s.SubGraphT()
        g.name = self._text(graph.name)
        g.debugMetadataIndex = graph.debug_metadata_index
        g.tensors = [self._tensor(t) for t in graph.tensors]
        g.inputs = [ids[t] for t in graph.inputs]
        g.outputs = [ids[t] for t in graph.outputs]
        g.operators = [self._op(op, ids) for op in graph.ops]
        return g

    def _tensor(self, tensor: Tensor) -> Any:
        t = self.s.TensorT()
        t.name = self._text(tensor.name)
        t.shape = list(tensor.shape)
        t.type = schema.values("TensorType")[tensor.dtype.upper()]
        t.buffer = self._buffer(tensor.buffer)
        t.quantization = self._quant(tensor.quant)
        t.isVariable = tensor.is_variable
        t.shapeSignature = None if tensor.shape_signature is None else list(tensor.shape_signature)
        t.hasRank = tensor.has_rank
        t.sparsity = tensor.sparsity
        t.variantTensors = tensor.variant_tensors
        t.externalBuffer = tensor.external_buffer
        return t

    def _quant(self, quant: Quant | None) -> Any:
        if quant is None:
            return None
        q = self.s.QuantizationParametersT()
        q.scale, q.zeroPoint = (quant.scale, quant.zero_point) if quant.scale.size else (None, None)
        q.min, q.max = quant.min, quant.max
        q.quantizedDimension = quant.axis
        if isinstance(quant.details, tuple):
            q.detailsType, q.details = quant.details
        return q

    def _op(self, op: Op, ids: dict[Tensor, int]) -> Any:
        o = self.s.OperatorT()
        key = (op.kind, op.custom_code, op.version)
        o.opcodeIndex = self.codes.setdefault(key, len(self.codes))
        o.inputs = [-1 if t is None else ids[t] for t in op.inputs]
        o.outputs = [ids[t] for t in op.outputs]
        if op.options_type != "NONE":
            o.builtinOptionsType = schema.values("BuiltinOptions")[op.options_type]
            o.builtinOptions = self._options(op.options_type, op.options)
        if op.extra is not None:
            o.builtinOptions2Type = schema.values("BuiltinOptions2")[op.extra[0]]
            o.builtinOptions2 = self._options(*op.extra)
        o.customOptions = op.custom_options
        o.customOptionsFormat = op.custom_options_format
        o.mutatingVariableInputs = op.mutating_variable_inputs
        o.intermediates = None if op.intermediates is None else [ids[t] for t in op.intermediates]
        o.debugMetadataIndex = op.debug_metadata_index
        return o

    def _options(self, options_type: str, fields: dict[str, Any]) -> Any:
        table = getattr(self.s, options_type + "T")()
        for name, value in fields.items():
            if not hasattr(table, schema.camel(name)):
                raise FullintError(f'{options_type} has no field "{name}"')
            setattr(table, schema.camel(name), self.graph_index[value] if isinstance(value, Graph) else value)
        return table

    def _code(self, key: tuple[str, str | None, int]) -> Any:
        kind, custom, version = key
        c = self.s.OperatorCodeT()
        c.builtinCode = schema.values("BuiltinOperator")[kind]
        c.deprecatedBuiltinCode = min(c.builtinCode, 127)
        c.customCode = self._text(custom)
        c.version = version
        return c

    def _signature(self, signature: Any) -> Any:
        d = self.s.SignatureDefT()
        index = self.graph_index[signature.graph]
        d.signatureKey, d.subgraphIndex = self._text(signature.key), index
        d.inputs = [self._map(n, self.tensor_index[index][t]) for n, t in signature.inputs]
        d.outputs = [self._map(n, self.tensor_index[index][t]) for n, t in signature.outputs]
        return d

    def _map(self, name: str | None, index: int) -> Any:
        m = self.s.TensorMapT()
        m.name, m.tensorIndex = self._text(name), index
        return m

    def _metadata(self, name: str | None, buffer: Buffer | None) -> Any:
        m = self.s.MetadataT()
        m.name, m.buffer = self._text(name), self._buffer(buffer)
        return m
