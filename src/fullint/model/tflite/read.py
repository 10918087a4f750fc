"""Read a `.tflite` file as a `Model`; the quirks of the format are handled here only.

The operator code is the larger of the old and the new field; an empty buffer means "not a constant"; data after the
flatbuffer (models over 2 GB) is read from its offset; -1 is a missing input; subgraph indices become Graph objects.
"""

from __future__ import annotations

import mmap
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from fullint.errors import ModelFormatError
from fullint.files import check_name, unreadable
from fullint.model.ir import Array, Buffer, Graph, Model, Op, Quant, Signature, Tensor
from fullint.model.tflite import schema
from fullint.model.tflite.tables import Field, Tables, field, fields
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


def mappings(model: Model) -> set[mmap.mmap]:
    """The mapped files that constants of a model lie in."""
    found = (mapping_of(t.buffer) for g in model.graphs for t in g.tensors if t.buffer is not None)
    return {mapped for mapped in found if mapped is not None}


def mapping_of(buffer: Buffer) -> mmap.mmap | None:
    """The mapped file that a constant lies in, if it does."""
    base: Any = buffer.data
    while isinstance(base, np.ndarray | memoryview):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    return base if isinstance(base, mmap.mmap) else None


def give_back(mapped: mmap.mmap) -> None:
    """Give the memory of a mapped file back to the system, which reads it again where it is needed again."""
    if hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


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
        return _Reader(root, data).model()
    except ModelFormatError:
        raise
    except Exception as e:  # damaged offsets give errors of any type
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
    """Makes a `Model` of the tables of one file; those that are few are unpacked by the generated code."""

    def __init__(self, root: Any, data: Any) -> None:
        self.root, self.data = root, data
        self.s = schema.generated()
        self.tables = Tables(data)
        at, model = root._tab.Pos, _by_name("Model")
        self.places = self.tables.tables(at, model["subgraphs"])
        self.graphs: list[Graph] = [Graph() for _ in self.places]
        self.codes = [self.s.OperatorCodeT.InitFromObj(root.OperatorCodes(i)) for i in range(root.OperatorCodesLength())]
        self.buffers: list[Buffer | None] = [self._buffer(b) for b in self.tables.tables(at, model["buffers"])]

    def model(self) -> Model:
        root, s = self.root, self.s
        if not self.graphs:
            raise ModelFormatError("the TFLite model has no subgraph")
        for graph, at in zip(self.graphs, self.places, strict=True):
            self._tensors(graph, at)
        for graph, at in zip(self.graphs, self.places, strict=True):
            self._ops(graph, at)
        metadata = [s.MetadataT.InitFromObj(root.Metadata(i)) for i in range(root.MetadataLength())]
        signatures = [s.SignatureDefT.InitFromObj(root.SignatureDefs(i)) for i in range(root.SignatureDefsLength())]
        buffers = None if root.MetadataBufferIsNone() else _ints(root.MetadataBufferAsNumpy())
        return Model(
            graphs=self.graphs,
            signatures=[self._signature(d) for d in signatures],
            metadata=[(_text(m.name), _at(self.buffers, m.buffer, "buffer")) for m in metadata],
            metadata_buffers=None if buffers is None else [_at(self.buffers, int(i), "buffer") for i in buffers],
            description=_text(root.Description()),
            version=root.Version(),
            external_groups=self._external("ExternalBufferGroup", "ExternalBufferGroups"),
            external_buffers=self._external("ExternalBuffer", "ExternalBuffers"),
        )

    def _external(self, table: str, name: str) -> list[Any] | None:
        if getattr(self.root, f"{name}IsNone")():
            return None
        one, count = getattr(self.root, name), getattr(self.root, f"{name}Length")()
        return [getattr(self.s, f"{table}T").InitFromObj(one(i)) for i in range(count)]

    def _buffer(self, at: int) -> Buffer | None:
        tables, f = self.tables, _by_name("Buffer")
        offset, size = tables.value(at, f["offset"]), tables.value(at, f["size"])
        if offset > 1:
            if offset + size > len(self.data):
                raise ModelFormatError("the TFLite model is truncated: a constant lies beyond the end of the file")
            return Buffer(np.frombuffer(self.data, np.uint8, size, offset))
        data = tables.vector(at, f["data"], "u1")
        return None if data is None or not data.size else Buffer(data)

    def _tensors(self, graph: Graph, at: int) -> None:
        tables, f = self.tables, _by_name("SubGraph")
        graph.name = _text(tables.text(at, f["name"]))
        graph.debug_metadata_index = tables.value(at, f["debug_metadata_index"])
        graph.tensors = [self._tensor(t) for t in tables.tables(at, f["tensors"])]
        graph.inputs = [_at(graph.tensors, i, "tensor") for i in self._ints(at, f["inputs"]) or ()]
        graph.outputs = [_at(graph.tensors, i, "tensor") for i in self._ints(at, f["outputs"]) or ()]

    def _ints(self, at: int, f: Field) -> list[int] | None:
        vector = self.tables.vector(at, f, "<i4")
        return None if vector is None else vector.tolist()

    def _tensor(self, at: int) -> Tensor:
        tables, f = self.tables, _by_name("Tensor")
        number = tables.value(at, f["type"])
        dtype = schema.names("TensorType").get(number)
        if dtype is None:
            raise ModelFormatError(f"a tensor has the unknown element type {number}")
        signature = self._ints(at, f["shape_signature"])
        sparsity = tables.target(at, f["sparsity"])
        variants = tables.target(at, f["variant_tensors"])
        return Tensor(
            name=_text(tables.text(at, f["name"])) or "",
            shape=tuple(self._ints(at, f["shape"]) or ()),
            dtype=dtype.lower(),
            buffer=_at(self.buffers, tables.value(at, f["buffer"]), "buffer") if self.buffers else None,
            quant=self._quant(tables.target(at, f["quantization"])),
            shape_signature=None if signature is None else tuple(signature),
            is_variable=tables.value(at, f["is_variable"]),
            has_rank=tables.value(at, f["has_rank"]),
            sparsity=self.s.SparsityParametersT.InitFromBuf(self.data, sparsity) if sparsity else None,
            variant_tensors=self._variants(at) if variants else None,
            external_buffer=tables.value(at, f["external_buffer"]),
        )

    def _variants(self, at: int) -> list[Any]:
        places = self.tables.tables(at, field("Tensor", "variant_tensors"))
        return [self.s.VariantSubTypeT.InitFromBuf(self.data, place) for place in places]

    def _quant(self, at: int) -> Quant | None:
        if not at:
            return None
        tables, f = self.tables, _by_name("QuantizationParameters")
        scale, low, high = (tables.vector(at, f[name], "<f4") for name in ("scale", "min", "max"))
        zero = tables.vector(at, f["zero_point"], "<i8")
        details = None
        if tables.value(at, f["details_type"]):
            raw = self.s.QuantizationParametersT.InitFromBuf(self.data, at)
            details = raw.detailsType, raw.details
        return _quant(scale, zero, tables.value(at, f["quantized_dimension"]), low, high, details)

    def _ops(self, graph: Graph, at: int) -> None:
        tables, f = self.tables, _by_name("Operator")
        for index, o in enumerate(tables.tables(at, field("SubGraph", "operators"))):
            code = _at(self.codes, tables.value(o, f["opcode_index"]), "operator code")
            number = max(code.builtinCode, code.deprecatedBuiltinCode)
            kind = schema.names("BuiltinOperator").get(number)
            if kind is None:
                raise ModelFormatError(f"operator {index} has the unknown code {number}")
            first, second = self._options(o, kind)
            flags, intermediates = tables.vector(o, f["mutating_variable_inputs"], "u1"), self._ints(o, f["intermediates"])
            graph.ops.append(
                Op(
                    kind=kind,
                    inputs=[None if i == -1 else _at(graph.tensors, i, "tensor") for i in self._ints(o, f["inputs"]) or ()],
                    outputs=[_at(graph.tensors, i, "tensor") for i in self._ints(o, f["outputs"]) or ()],
                    options=first[1] if first else {},
                    options_type=first[0] if first else "NONE",
                    extra=second,
                    version=code.version,
                    custom_code=_text(code.customCode),
                    custom_options=self._custom_options(o),
                    custom_options_format=tables.value(o, f["custom_options_format"]),
                    mutating_variable_inputs=None if flags is None else [bool(v) for v in flags],
                    intermediates=None if intermediates is None else [_at(graph.tensors, i, "tensor") for i in intermediates],
                    debug_metadata_index=tables.value(o, f["debug_metadata_index"]),
                    origin=index,
                )
            )

    def _options(self, o: int, kind: str) -> tuple[Any, Any]:
        """Both option tables, each as its type and fields.

        One that is missing, or that of another operator, has the schema's defaults, as for the runtime.
        """
        found: list[Any] = []
        f = _by_name("Operator")
        for enum, key in (("BuiltinOptions", "builtin_options"), ("BuiltinOptions2", "builtin_options2")):
            number, at = self.tables.value(o, f[f"{key}_type"]), self.tables.target(o, f[key])
            name = schema.names(enum).get(number)
            own = schema.options_type(kind)
            if enum == "BuiltinOptions" and name is not None and name != own and schema.option_fields(own):
                name, at = own, 0
            if name is None:
                raise ModelFormatError(f"an operator has options of the unknown type {number}")
            if name == "NONE":
                found.append(None)
            else:
                known = self._fields(name, at) if at else schema.option_fields(name)
                found.append((name, {k: self._field(k, v) for k, v in known.items()}))
        return found[0], found[1]

    def _fields(self, name: str, at: int) -> dict[str, Any]:
        """Fields of an option table; those that hold vectors or tables are unpacked by the generated code."""
        inline = self.tables.inline(at, name)
        if inline is not None:
            return inline
        table = getattr(self.s, name + "T").InitFromBuf(self.data, at)
        return {schema.snake(k): v for k, v in vars(table).items()}

    def _field(self, name: str, value: Any) -> Any:
        if name.endswith(_GRAPH_FIELDS) and isinstance(value, int):
            return _at(self.graphs, value, "subgraph")
        return value

    def _custom_options(self, o: int) -> Array | None:
        tables, f = self.tables, _by_name("Operator")
        offset, size = tables.value(o, f["large_custom_options_offset"]), tables.value(o, f["large_custom_options_size"])
        if offset > 1:
            if offset + size > len(self.data):
                raise ModelFormatError("the TFLite model is truncated: the options of an operator lie beyond the end of the file")
            return np.frombuffer(self.data, np.uint8, size, offset)
        return tables.vector(o, f["custom_options"], "u1")

    def _signature(self, d: Any) -> Signature:
        graph = _at(self.graphs, d.subgraphIndex, "subgraph")

        def tensors(maps: Any) -> list[tuple[str | None, Tensor]]:
            return [(_text(m.name), _at(graph.tensors, m.tensorIndex, "tensor")) for m in maps or []]

        return Signature(_text(d.signatureKey), graph, tensors(d.inputs), tensors(d.outputs))


@cache
def _by_name(table: str) -> dict[str, Field]:
    return {f.name: f for f in fields(table)}


def _quant(
    scale: Array | None, zero: Array | None, axis: int, low: Array | None, high: Array | None, details: Any
) -> Quant | None:
    scale, zero, low, high = (None if v is None or not v.size else v for v in (scale, zero, low, high))
    if scale is None:
        if low is None and high is None and details is None:
            return None
        scale = np.zeros(0, np.float32)
    zero = np.zeros(0, np.int64) if zero is None else zero
    if zero.size != scale.size:
        if zero.size not in (0, 1):
            raise ModelFormatError(f"a tensor has {scale.size} scales but {zero.size} zero points")
        zero = np.full(scale.shape, zero[0] if zero.size else 0, np.int64)
    return Quant(scale, zero, axis, low, high, details)


def _none(vector: Any) -> bool:
    return vector is None or isinstance(vector, int) or len(vector) == 0


def _ints(vector: Any) -> Any:
    """The vector, or an empty list if it is absent (the generated code gives None or 0 for it)."""
    return [] if _none(vector) else vector


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return escaped(value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value))


def _at(items: list[Any], index: int, what: str) -> Any:
    if not 0 <= index < len(items):
        raise ModelFormatError(f"the model refers to {what} {index}, but has {len(items)}")
    return items[index]
