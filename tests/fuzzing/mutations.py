"""Mutations of files: single bytes, and fields of a model by the schema's object API.

    mutated = mutate(kind, data, seed)      the same for the same seed

A model is mutated in its fields as often as in its bytes: what a field mutation makes is a well-formed flatbuffer, so that it
gets past the reader and into the rules.
"""

from __future__ import annotations

import io
import random
import zipfile
from typing import Any

import numpy as np
from repacked import repacked

from fullint.model.tflite import schema

NUMBERS = (-(2**31), -129, -128, -2, -1, 0, 1, 2, 3, 4, 7, 8, 100, 127, 128, 255, 256, 1024, 65536, 2**20, 2**31 - 1)
SCALES = (0.0, -1.0, 1e-38, 1e-30, 1e-8, 1e-3, 0.5, 1.0, 100.0, 1e8, 1e30, 3e38, float("inf"), float("nan"))
NAMES = (b"", b"\x1b[2Jx", b"a\nb", b"\xff\xfe", b"x" * 5000, b"../../x", b"\xe2\x80\xae", b"a\\n", "ä".encode())
FIELDS = 0.85
"""Share of mutations of a model that are of its fields."""


def mutate(data: bytes, seed: int, *, model: bool) -> bytes:
    """Some bytes, changed; of a model, mostly some fields."""
    rng = random.Random(seed)
    if model and rng.random() < FIELDS:
        for _ in range(5):
            try:
                return of_fields(data, rng)
            except Exception:
                continue
    if not model and data[:2] == b"PK" and rng.random() < 0.5:
        return of_archive(data, rng)
    return of_bytes(data, rng, keep_length=model and rng.random() < 0.7)


def of_bytes(data: bytes, rng: random.Random, *, keep_length: bool = False) -> bytes:
    """Bytes overwritten, inserted, removed, repeated, or cut off."""
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16, 64))):
        if not damaged:
            break
        spans = ((0, min(4096, len(damaged))), (max(0, len(damaged) - 4096), len(damaged)), (0, len(damaged)))
        at = rng.randrange(*rng.choice(spans))
        what = rng.randrange(5 if keep_length else 8)
        if what <= 2:
            damaged[at] = rng.randrange(256)
        elif what == 3:
            damaged[at] ^= 1 << rng.randrange(8)
        elif what == 4:
            damaged[at : at + 4] = rng.choice(NUMBERS).to_bytes(4, "little", signed=True)
        elif what == 5:
            damaged[at:at] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 9)))
        elif what == 6:
            del damaged[at : at + rng.randrange(1, 65)]
        else:
            damaged[at:at] = damaged[at : at + rng.randrange(1, 257)]
    if not keep_length and rng.random() < 0.05:
        del damaged[rng.randrange(len(damaged) + 1) :]
    return bytes(damaged)


def of_archive(data: bytes, rng: random.Random) -> bytes:
    """A .npz whose arrays have other headers, types, orders or ways of compression."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as given, zipfile.ZipFile(out, "w") as made:
        for info in given.infolist():
            content = bytearray(given.read(info))
            end = content.index(b"\n") + 1 if b"\n" in content[:400] else 10
            header = bytes(content[:end])
            change = rng.randrange(6)
            if change == 0:
                header = header.replace(
                    b"'<f4'", rng.choice((b"'<f8'", b"'|O' ", b"'<i4'", b"'<c8'", b"'|S4'", b"'>f4'", b"'<f2'"))
                )
            elif change == 1:
                header = header.replace(b"False", b"True ")
            elif change == 2:
                digits = [i for i, b in enumerate(header) if i > 10 and 48 <= b < 58]
                if digits:
                    i = rng.choice(digits)
                    header = header[:i] + rng.choice((b"0", b"9", b"-", b"(", b"1")) + header[i + 1 :]
            elif change == 3:
                content = bytearray(of_bytes(bytes(content), rng))
            name = rng.choice((info.filename, info.filename, "x.npy", "a\nb.npy", "../x.npy", "\x1b[2J.npy"))
            way = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
            made.writestr(name, header + bytes(content[end:]) if change != 3 else bytes(content), way)
    return out.getvalue() if rng.random() < 0.7 else of_bytes(out.getvalue(), rng)


def of_fields(data: bytes, rng: random.Random) -> bytes:
    """A model with some fields of its tables changed."""

    def change(root: Any) -> None:
        for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
            rng.choice(MUTATIONS)(root, rng)

    return repacked(data, change)


def _graph(root: Any, rng: random.Random) -> Any:
    return rng.choice(root.subgraphs)


def _op(root: Any, rng: random.Random) -> Any:
    return rng.choice(_graph(root, rng).operators)


def _tensor(root: Any, rng: random.Random) -> Any:
    return rng.choice(_graph(root, rng).tensors)


def _some_number(rng: random.Random, near: int) -> int:
    return rng.choice((*NUMBERS, near + 1, near - 1, rng.randrange(0, 64), rng.randrange(0, 64)))


def _vector(values: Any, rng: random.Random) -> list[int]:
    """A vector with one number changed, removed, added or moved."""
    found = [] if values is None or isinstance(values, int) else [int(v) for v in values]
    what = rng.randrange(5)
    if what <= 1 and found:
        at = rng.randrange(len(found))
        found[at] = _some_number(rng, found[at])
    elif what == 2 and found:
        del found[rng.randrange(len(found))]
    elif what == 3:
        found.insert(rng.randrange(len(found) + 1), _some_number(rng, 1))
    else:
        rng.shuffle(found)
    return found


def operands(root: Any, rng: random.Random) -> None:
    """Indices of an operator's tensors."""
    op = _op(root, rng)
    field = rng.choice(("inputs", "inputs", "outputs", "intermediates"))
    setattr(op, field, _vector(getattr(op, field), rng))


def swapped_operands(root: Any, rng: random.Random) -> None:
    """An operand of one operator for that of another."""
    graph = _graph(root, rng)
    one, other = rng.choice(graph.operators), rng.choice(graph.operators)
    one.inputs = list(other.inputs) if rng.random() < 0.5 else [*list(one.inputs)[:1], *list(other.inputs)[1:]]


def ends(root: Any, rng: random.Random) -> None:
    """Inputs and outputs of a graph."""
    graph = _graph(root, rng)
    field = rng.choice(("inputs", "outputs"))
    setattr(graph, field, _vector(getattr(graph, field), rng))


def shape(root: Any, rng: random.Random) -> None:
    """Shape of a tensor, or its signature of open dimensions."""
    t = _tensor(root, rng)
    field = rng.choice(("shape", "shape", "shape", "shapeSignature"))
    setattr(t, field, _vector(getattr(t, field), rng))


def dtype(root: Any, rng: random.Random) -> None:
    """Type of a tensor."""
    _tensor(root, rng).type = rng.choice([*schema.names("TensorType"), 99])


def buffer(root: Any, rng: random.Random) -> None:
    """Which constant a tensor has, or its bytes."""
    if rng.random() < 0.5:
        t = _tensor(root, rng)
        t.buffer = _some_number(rng, t.buffer) % 2**31
        return
    chosen = rng.choice(root.buffers)
    if chosen.data is not None and len(chosen.data):
        chosen.data = np.frombuffer(of_bytes(bytes(chosen.data), rng), np.uint8)
    chosen.offset, chosen.size = rng.choice(((0, 0), (0, 0), (2**31, 8), (64, 2**40), (16, 16)))


def quantization(root: Any, rng: random.Random) -> None:
    """Scales, zero points and axis."""
    s = schema.generated()
    t = _tensor(root, rng)
    if t.quantization is None or rng.random() < 0.2:
        t.quantization = rng.choice((None, s.QuantizationParametersT()))
        if t.quantization is None:
            return
    q = t.quantization
    what = rng.randrange(4)
    count = len(q.scale) if q.scale is not None and not isinstance(q.scale, int) and len(q.scale) else 1
    if what == 0:
        q.scale = [rng.choice(SCALES) for _ in range(rng.choice((count, 1, 2)))]
    elif what == 1:
        q.zeroPoint = [rng.choice((*NUMBERS, 2**40, -(2**63))) for _ in range(rng.choice((count, 1, 2)))]
    elif what == 2:
        q.quantizedDimension = rng.choice(NUMBERS)
    else:
        q.min, q.max = [rng.choice(SCALES)], [rng.choice(SCALES)]


def options(root: Any, rng: random.Random) -> None:
    """A field of an operator's options, or the whole table."""
    op = _op(root, rng)
    table = rng.choice((op.builtinOptions, op.builtinOptions2))
    if table is None or rng.random() < 0.2:
        op.builtinOptions = None
        return
    field = rng.choice(list(vars(table)) or [""])
    value = getattr(table, field, None)
    if isinstance(value, bool):
        setattr(table, field, not value)
    elif isinstance(value, int):
        setattr(table, field, _some_number(rng, value))
    elif isinstance(value, float):
        setattr(table, field, rng.choice(SCALES))
    elif value is not None:
        setattr(table, field, _vector(value, rng))


def code(root: Any, rng: random.Random) -> None:
    """Which operator it is."""
    if rng.random() < 0.5:
        op = _op(root, rng)
        op.opcodeIndex = rng.choice((rng.randrange(len(root.operatorCodes)), _some_number(rng, op.opcodeIndex) % 2**31))
        return
    chosen = rng.choice(root.operatorCodes)
    number = rng.choice([*schema.names("BuiltinOperator"), 9999])
    chosen.builtinCode, chosen.deprecatedBuiltinCode = number, min(number, 127)
    if rng.random() < 0.3:
        chosen.version = rng.choice(NUMBERS)


def order(root: Any, rng: random.Random) -> None:
    """Operators removed, repeated or moved."""
    ops = _graph(root, rng).operators
    what = rng.randrange(3)
    if what == 0 and len(ops) > 1:
        del ops[rng.randrange(len(ops))]
    elif what == 1:
        ops.insert(rng.randrange(len(ops) + 1), rng.choice(ops))
    else:
        rng.shuffle(ops)


def graphs(root: Any, rng: random.Random) -> None:
    """Subgraphs repeated, or called by others and themselves."""
    s = schema.generated()
    op = _op(root, rng)
    kind, table = rng.choice((("IF", "IfOptions"), ("WHILE", "WhileOptions"), ("CALL_ONCE", "CallOnceOptions")))
    made = getattr(s, f"{table}T")()
    for field in vars(made):
        setattr(made, field, rng.choice((0, 0, 1, len(root.subgraphs) - 1, len(root.subgraphs), -1)))
    op.builtinOptions, op.builtinOptionsType = made, schema.values("BuiltinOptions")[table]
    root.operatorCodes[op.opcodeIndex].builtinCode = schema.values("BuiltinOperator")[kind]
    root.operatorCodes[op.opcodeIndex].deprecatedBuiltinCode = min(schema.values("BuiltinOperator")[kind], 127)
    if rng.random() < 0.3:
        root.subgraphs.append(_graph(root, rng))


def names(root: Any, rng: random.Random) -> None:
    """Names of tensors, graphs, custom operators, metadata."""
    where = rng.randrange(4)
    if where <= 1:
        _tensor(root, rng).name = rng.choice(NAMES)
    elif where == 2:
        _graph(root, rng).name = rng.choice(NAMES)
    else:
        rng.choice(root.operatorCodes).customCode = rng.choice(NAMES)


def signatures(root: Any, rng: random.Random) -> None:
    """Keys, graphs and tensors of signatures."""
    for signature in root.signatureDefs or []:
        what = rng.randrange(4)
        if what == 0:
            signature.subgraphIndex = rng.choice((0, 1, 2**31 - 1))
        elif what == 1:
            signature.signatureKey = rng.choice((*NAMES, None))
        else:
            for m in rng.choice((signature.inputs, signature.outputs)) or []:
                m.tensorIndex = _some_number(rng, m.tensorIndex) % 2**31
                m.name = rng.choice((m.name, m.name, *NAMES, None))


def outside(root: Any, rng: random.Random) -> None:
    """Constants in other files, sparse tensors, variables."""
    t = _tensor(root, rng)
    what = rng.randrange(3)
    if what == 0:
        t.externalBuffer = rng.choice((1, 2, 2**31))
        group = schema.generated().ExternalBufferGroupT()
        group.name = rng.choice((b"../../../etc/passwd", b"/etc/passwd", b"x.bin", b"a\x00b", b""))
        root.externalBufferGroups = [group]
        made = schema.generated().ExternalBufferT()
        made.id, made.group, made.offset, made.length = 1, rng.choice((0, 1)), rng.choice((0, 2**40)), rng.choice((0, 16, 2**50))
        root.externalBuffers = [made]
    elif what == 1:
        t.isVariable = not t.isVariable
    else:
        t.sparsity = schema.generated().SparsityParametersT()
        t.sparsity.traversalOrder = [rng.choice((-1, 0, 1, 2, 99)) for _ in range(rng.randrange(4))]


MUTATIONS = (
    operands, operands, swapped_operands, ends, shape, shape, dtype, buffer, quantization, quantization, options, options, code,
    order, graphs, names, signatures, outside,
)  # fmt: skip
