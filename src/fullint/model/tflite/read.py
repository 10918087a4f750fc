"""Read a `.tflite` file as a `Model`; the quirks of the format are handled here only.

The operator code is the larger of the old and the new field; an empty buffer means "not a constant"; data after the
flatbuffer (models over 2 GB) is read from its offset; -1 is a missing input; subgraph indices become Graph objects.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np

from fullint.errors import ModelFormatError
from fullint.files import check_name, unreadable
from fullint.model.ir import Array, Buffer, Graph, Model, Op, Quant, Signature, Tensor
from fullint.model.tflite import schema
from fullint.printable import escaped

READ_BYTES = 256 * 2**20
_GRAPH_FIELDS = ("subgraph_index",)


def read_model(source: str | Path | bytes) -> Model:
    """Read a model from a path or from its bytes.

    Raises:
        ModelFormatError: the file cannot be read, or is not a complete, consistent TFLite model.
    """
    return read_bytes(source if isinstance(source, bytes) else map_file(source))


def map_file(path: str | Path) -> Any:
    """The file's bytes: read; those of a large file mapped into memory.

    Mapping spares what nobody looks at, but ends the process where another program shortens the file meanwhile.

    Raises:
        ModelFormatError: it cannot be opened, or is empty.
    """
    check_name(path)
    if (why := unreadable(path)) is not None:
        raise ModelFormatError(why)
    try:
        with open(path, "rb") as f:
            size = f.seek(0, 2)
            if size == 0:
                raise ModelFormatError(f"{path}: the file is empty")
            if size <= READ_BYTES:
                f.seek(0)
                return f.read()
            return mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as e:
        raise ModelFormatError(f"{path}: cannot be read: {e.strerror or e}") from e


def is_tflite(source: Any) -> bool:
    """Whether bytes, or the file at a path, have TFLite's identifier, whatever the file's name."""
    if not isinstance(source, str | Path):
        return bytes(source[4:8]) == schema.IDENTIFIER
    if unreadable(source) is not None:
        return False
    try:
        with open(source, "rb") as f:
            return is_tflite(f.read(8))
    except (OSError, ValueError):
        return False


def read_bytes(data: Any) -> Model:
    """Read a model from a bytes-like object; constants are views of that object."""
    if len(data) < 16:
        raise ModelFormatError(f"not a TFLite model: only {len(data)} bytes")
    if not is_tflite(data):
        raise ModelFormatError("not a TFLite model: the file identifier TFL3 is missing")
    s = schema.generated()
    try:
        root = s.Model.GetRootAs(data, 0)
        _refuse_absurd_counts(root, len(data))
        raw = s.ModelT.InitFromObj(root)
        return _Reader(raw, data).model()
    except ModelFormatError:
        raise
    except Exception as e:  # the generated code raises errors of any type on damaged offsets
        raise ModelFormatError(f"the TFLite model is truncated or damaged; write or copy the file again ({e})") from e


def _refuse_absurd_counts(root: Any, size: int) -> None:
    """Reject damaged vector lengths, which would create millions of objects; each item takes at least 4 bytes."""
    counts = [root.BuffersLength(), root.OperatorCodesLength(), root.SubgraphsLength()]
    counts += [root.SignatureDefsLength(), root.MetadataLength()]
    for i in range(min(root.SubgraphsLength(), 10_000)):
        graph = root.Subgraphs(i)
        counts += [graph.TensorsLength(), graph.OperatorsLength()]
    if sum(counts) * 4 > size + 4096 * 4:
        raise ModelFormatError("the TFLite model is damaged: it declares more items than fit in the file")


class _Reader:
    """Converts the generated flatbuffers objects of one file to a `Model`."""

    def __init__(self, raw: Any, data: Any) -> None:
        self.raw = raw
        self.data = data
        self.graphs: list[Graph] = [Graph() for _ in raw.subgraphs or []]
        self.buffers: list[Buffer | None] = [self._buffer(b) for b in raw.buffers or []]

    def model(self) -> Model:
        raw = self.raw
        if not self.graphs:
            raise ModelFormatError("the TFLite model has no subgraph")
        for graph, g in zip(self.graphs, raw.subgraphs, strict=True):
            self._tensors(graph, g)
        for graph, g in zip(self.graphs, raw.subgraphs, strict=True):
            self._ops(graph, g)
        buffers = raw.metadataBuffer
        return Model(
            graphs=self.graphs,
            signatures=[self._signature(d) for d in raw.signatureDefs or []],
            metadata=[(_text(m.name), _at(self.buffers, m.buffer, "buffer")) for m in raw.metadata or []],
            metadata_buffers=None if buffers is None else [_at(self.buffers, int(i), "buffer") for i in buffers],
            description=_text(raw.description),
            version=raw.version,
            external_groups=raw.externalBufferGroups,
            external_buffers=raw.externalBuffers,
        )

    def _buffer(self, b: Any) -> Buffer | None:
        if b.offset > 1:
            if b.offset + b.size > len(self.data):
                raise ModelFormatError("the TFLite model is truncated: a constant lies beyond the end of the file")
            return Buffer(np.frombuffer(self.data, np.uint8, b.size, b.offset))
        if b.data is None or isinstance(b.data, int) or len(b.data) == 0:
            return None
        return Buffer(np.asarray(b.data, np.uint8))

    def _tensors(self, graph: Graph, g: Any) -> None:
        graph.name = _text(g.name)
        graph.debug_metadata_index = g.debugMetadataIndex
        graph.tensors = [self._tensor(t) for t in g.tensors or []]
        graph.inputs = [_at(graph.tensors, int(i), "tensor") for i in _ints(g.inputs)]
        graph.outputs = [_at(graph.tensors, int(i), "tensor") for i in _ints(g.outputs)]

    def _tensor(self, t: Any) -> Tensor:
        dtype = schema.names("TensorType").get(t.type)
        if dtype is None:
            raise ModelFormatError(f"a tensor has the unknown element type {t.type}")
        signature = None if t.shapeSignature is None else tuple(int(n) for n in _ints(t.shapeSignature))
        return Tensor(
            name=_text(t.name) or "",
            shape=tuple(int(n) for n in _ints(t.shape)),
            dtype=dtype.lower(),
            buffer=_at(self.buffers, t.buffer, "buffer") if self.buffers else None,
            quant=_quant(t.quantization),
            shape_signature=signature,
            is_variable=bool(t.isVariable),
            has_rank=bool(t.hasRank),
            sparsity=t.sparsity,
            variant_tensors=t.variantTensors,
            external_buffer=t.externalBuffer,
        )

    def _ops(self, graph: Graph, g: Any) -> None:
        for index, o in enumerate(g.operators or []):
            code = _at(self.raw.operatorCodes or [], o.opcodeIndex, "operator code")
            number = max(code.builtinCode, code.deprecatedBuiltinCode)
            kind = schema.names("BuiltinOperator").get(number)
            if kind is None:
                raise ModelFormatError(f"operator {index} has the unknown code {number}")
            first, second = self._options(o, kind)
            fields = first[1] if first else {}
            graph.ops.append(
                Op(
                    kind=kind,
                    inputs=[None if i == -1 else _at(graph.tensors, int(i), "tensor") for i in _ints(o.inputs)],
                    outputs=[_at(graph.tensors, int(i), "tensor") for i in _ints(o.outputs)],
                    options=fields,
                    options_type=first[0] if first else "NONE",
                    extra=second,
                    version=code.version,
                    custom_code=_text(code.customCode),
                    custom_options=self._custom_options(o),
                    custom_options_format=o.customOptionsFormat,
                    mutating_variable_inputs=_flags(o.mutatingVariableInputs),
                    intermediates=None
                    if o.intermediates is None
                    else [_at(graph.tensors, int(i), "tensor") for i in _ints(o.intermediates)],
                    debug_metadata_index=o.debugMetadataIndex,
                    origin=index,
                )
            )

    def _options(self, o: Any, kind: str) -> tuple[Any, Any]:
        """Both option tables, each as its type and fields.

        One that is missing, or that of another operator, has the schema's defaults, as for the runtime.
        """
        found: list[Any] = []
        pairs = (
            ("BuiltinOptions", o.builtinOptionsType, o.builtinOptions),
            ("BuiltinOptions2", o.builtinOptions2Type, o.builtinOptions2),
        )
        for enum, number, table in pairs:
            name = schema.names(enum).get(number)
            own = schema.options_type(kind)
            if enum == "BuiltinOptions" and name is not None and name != own and schema.option_fields(own):
                name, table = own, None
            if name is None:
                raise ModelFormatError(f"an operator has options of the unknown type {number}")
            if name == "NONE":
                found.append(None)
            elif table is None:
                found.append((name, {k: self._field(k, v) for k, v in schema.option_fields(name).items()}))
            else:
                found.append((name, {schema.snake(k): self._field(schema.snake(k), v) for k, v in vars(table).items()}))
        return found[0], found[1]

    def _field(self, name: str, value: Any) -> Any:
        if name.endswith(_GRAPH_FIELDS) and isinstance(value, int):
            return _at(self.graphs, value, "subgraph")
        return value

    def _custom_options(self, o: Any) -> Array | None:
        if o.largeCustomOptionsOffset > 1:
            end = o.largeCustomOptionsOffset + o.largeCustomOptionsSize
            if end > len(self.data):
                raise ModelFormatError("the TFLite model is truncated: the options of an operator lie beyond the end of the file")
            return np.frombuffer(self.data, np.uint8, o.largeCustomOptionsSize, o.largeCustomOptionsOffset)
        options = o.customOptions
        return None if options is None or isinstance(options, int) else np.asarray(options, np.uint8)

    def _signature(self, d: Any) -> Signature:
        graph = _at(self.graphs, d.subgraphIndex, "subgraph")

        def tensors(maps: Any) -> list[tuple[str | None, Tensor]]:
            return [(_text(m.name), _at(graph.tensors, m.tensorIndex, "tensor")) for m in maps or []]

        return Signature(_text(d.signatureKey), graph, tensors(d.inputs), tensors(d.outputs))


def _quant(q: Any) -> Quant | None:
    if q is None:
        return None
    floats = [None if _none(v) else np.asarray(v, np.float32) for v in (q.scale, q.min, q.max)]
    scale, low, high = floats
    zero = np.zeros(0, np.int64) if _none(q.zeroPoint) else np.asarray(q.zeroPoint, np.int64)
    details = (q.detailsType, q.details) if q.detailsType else None
    if scale is None:
        if low is None and high is None and details is None:
            return None
        scale = np.zeros(0, np.float32)
    if zero.size != scale.size:
        if zero.size not in (0, 1):
            raise ModelFormatError(f"a tensor has {scale.size} scales but {zero.size} zero points")
        zero = np.full(scale.shape, zero[0] if zero.size else 0, np.int64)
    return Quant(scale, zero, q.quantizedDimension, low, high, details)


def _none(vector: Any) -> bool:
    return vector is None or isinstance(vector, int) or len(vector) == 0


def _ints(vector: Any) -> Any:
    """The vector, or an empty list if it is absent (the generated code gives None or 0 for it)."""
    return [] if _none(vector) else vector


def _flags(vector: Any) -> list[bool] | None:
    return None if vector is None or isinstance(vector, int) else [bool(v) for v in vector]


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return escaped(value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value))


def _at(items: list[Any], index: int, what: str) -> Any:
    if not 0 <= index < len(items):
        raise ModelFormatError(f"the model refers to {what} {index}, but has {len(items)}")
    return items[index]
