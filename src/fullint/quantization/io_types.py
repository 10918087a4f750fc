"""The model's border: the type of its inputs and outputs, and the runtime it asks for.

float32 in and out      f32 --QUANTIZE--> i8 ... i8 --DEQUANTIZE--> f32
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

import numpy as np

from fullint.model.ir import Buffer, Model, Op, Quant, Tensor, constant, twin
from fullint.model.numerics import activation_params, dequantize, quantize, representable
from fullint.ops.base import codes
from fullint.ops.make import make_cast, make_op
from fullint.ops.releases import METADATA_KEY, min_runtime_version


def set_io(model: Model, io: tuple[str, str], inputs: AbstractSet[Tensor], outputs: AbstractSet[Tensor]) -> None:
    """Give graph inputs and outputs the asked type, in place, and stamp what the runtime has to be.

        int8       nothing to do where they are int8
        uint8      u8 --QUANTIZE--> i8 ... i8 --QUANTIZE--> u8       (zero point + 128)
        float32    f32 --QUANTIZE--> i8 ... i8 --DEQUANTIZE--> f32       (ids: f32 --CAST--> i32)

    Args:
        io: the type of inputs, and of outputs.
        inputs, outputs: those that were float; the others keep their type.
    """
    graph, (into, out) = model.main, io
    inputs = _with_own_ids(model, {t for t in inputs if codes(t) or into == "float32"})
    names = {t: t.name for t in (*graph.inputs, *graph.outputs)}
    first = {t: _border(t, into, names[t]) for t in graph.inputs if t in inputs and t.dtype != into}
    ends = [t for t in dict.fromkeys(graph.outputs) if t in outputs and t.dtype != out]
    last = {t: _typed_constant(t, out) if t.is_constant else _border(t, out, names[t]) for t in ends}
    if first or last:
        before = [conversion(o, t) if codes(t) else make_cast(o, t) for t, o in first.items()]
        after = [op for t, o in last.items() if not t.is_constant for op in _conversions(t, o)]
        graph.ops = [*before, *graph.ops, *after]
        graph.inputs = [first.get(t, t) for t in graph.inputs]
        graph.outputs = [last.get(t, t) for t in graph.outputs]
        for s in model.signatures:
            if s.graph is graph:
                s.inputs = [(n, first.get(t, t)) for n, t in s.inputs]
                s.outputs = [(n, last.get(t, t)) for n, t in s.outputs]
        graph.sync_tensors()
    stamp_runtime(model)


def _with_own_ids(model: Model, inputs: AbstractSet[Tensor]) -> set[Tensor]:
    """The inputs; those that carry ids are no longer shared with the float model, in place."""
    graph = model.main
    own = {t: twin(t) for t in inputs if not codes(t)}
    graph.inputs = [own.get(t, t) for t in graph.inputs]
    for op in graph.ops if own else ():
        op.inputs = [own.get(t, t) if t is not None else None for t in op.inputs]
    for s in model.signatures:
        if s.graph is graph:
            s.inputs = [(n, own.get(t, t)) for n, t in s.inputs]
    return {own.get(t, t) for t in inputs}


def _conversions(inner: Tensor, outer: Tensor) -> list[Op]:
    """From an inner tensor to an output; the QUANTIZE kernel does not go from int16 to uint8 in one step."""
    if (inner.dtype, outer.dtype) != ("int16", "uint8"):
        return [conversion(inner, outer)]
    name = inner.name
    step = _border(inner, "int8", f"{name}/int8")
    inner.name = name
    return [conversion(inner, step), conversion(step, outer)]


def conversion(source: Tensor, target: Tensor) -> Op:
    """The operator from one type to another, with the version that knows them."""
    wide = "int16" in (source.dtype, target.dtype)
    op = make_op("DEQUANTIZE" if target.dtype == "float32" else "QUANTIZE", [source], [target])
    op.version = (3 if wide else 2) if op.kind == "DEQUANTIZE" else 2 if target.dtype == "int16" else 1
    return op


def _typed_constant(t: Tensor, io: str) -> Tensor:
    """A constant output in the asked type: nothing has to be computed."""
    assert t.quant is not None
    value = dequantize(t.array, t.quant)
    if io == "float32":
        return constant(t.name, value)
    quant = _border_params(t, io)
    return constant(t.name, quantize(value, quant, io), quant)


def _border(inner: Tensor, io: str, name: str) -> Tensor:
    """The tensor outside: it takes the name, and the integer one inside a name of its own."""
    outer = twin(inner, name)
    outer.dtype = io
    outer.quant = None if io == "float32" else _border_params(inner, io)
    inner.name = f"{name}/{inner.dtype}"
    return outer


def _border_params(inner: Tensor, io: str) -> Quant:
    """Parameters of a border of another type than what is inside: the same range, the same step where they allow."""
    assert inner.quant is not None
    span = representable(inner.quant, inner.dtype)
    if io == "int16":
        return activation_params(span, "int16")
    int8 = inner.quant if inner.dtype == "int8" else activation_params(span)
    return Quant.of(int8.scale, int8.zero_point + 128) if io == "uint8" else int8


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
