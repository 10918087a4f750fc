"""What a legal model is (`structure_problems`) and what an all-integer one is (`contract_problems`).

Both return sentences, one per broken rule, and change nothing. The structure is checked when a model
is read and after each pass; the contract on the bytes that are about to be handed out, read again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np

from fullint.errors import ModelFormatError, VerificationError
from fullint.model.ir import NUMPY_TYPES, Buffer, Graph, Model, Op, Quant, Tensor
from fullint.model.numerics import RANGES, bias_scales
from fullint.ops import ROWS, Fixed, OpRow, Role, Same, Tied

BIAS_SCALE_TOLERANCE = 1e-5
"""Relative. A float32 product is exact to 6e-8; LiteRT itself does not check int8 convolutions."""
MAX_RANK = 8
MAX_ELEMENTS = 2**31


def check_structure(model: Model) -> None:
    """Raise VerificationError where the structure is broken (a pass has a bug)."""
    problems = list(structure_problems(model))
    if problems:
        raise VerificationError(problems)


def check_readable(model: Model, *, scales: bool = True) -> None:
    """Raise ModelFormatError where a file's structure is broken; without `scales`, its parameters are not looked at."""
    problems = list(structure_problems(model, scales=scales))
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise ModelFormatError(f"the TFLite model is damaged: {problems[0]}{more}")


def structure_problems(model: Model, *, scales: bool = True) -> Iterator[str]:
    """Every broken rule of structure."""
    for number, graph in enumerate(model.graphs):
        where = f"subgraph {number}: " if number else ""
        for problem in _graph_problems(graph, scales):
            yield where + problem


def _graph_problems(graph: Graph, scales: bool) -> Iterator[str]:
    for tensor in graph.tensors:
        yield from _tensor_problems(tensor, scales)
    known = set(graph.tensors)
    ready = set(graph.inputs)
    produced: set[Tensor] = set()
    for index, op in enumerate(graph.ops):
        name = f"op {index} {op.kind}"
        yield from (f"{name}: {p}" for p in _arity_problems(op))
        for t in op.inputs:
            if t is not None and t not in ready and not t.is_constant and not t.is_variable and t.size:
                yield f'{name} reads "{t.name}" before anything writes it'
        for t in op.outputs:
            if t in produced or t in graph.inputs:
                yield f'{name} writes "{t.name}", which is written already'
            if t.buffer is not None and not t.is_variable:
                yield f'{name} writes the constant "{t.name}"'
        produced.update(op.outputs)
        ready.update(op.outputs)
        for t in op.operands():
            if t not in known:  # new tensors are listed when the graph is synchronised
                known.add(t)
                yield from _tensor_problems(t, scales)
    yield from (f'the graph output "{t.name}" is never written' for t in graph.outputs if t not in ready and not t.is_constant)


def _arity_problems(op: Op) -> Iterator[str]:
    row = ROWS.get(op.kind)
    if row is None:
        return
    optional = op.kind == "RESHAPE"
    spare = (Role.BIAS, Role.DERIVED, Role.TIED)
    required = 1 if optional else sum(role not in spare for role in row.inputs)
    if sum(op.input(i) is not None for i in range(required)) < required:
        yield f"has {len(op.inputs)} inputs, needs {required}"
    if row.outputs and not op.outputs and not isinstance(row.outputs[0], Tied):
        yield "has no output"


def _tensor_problems(t: Tensor, scales: bool) -> Iterator[str]:
    if len(t.shape) > MAX_RANK or any(n < -1 for n in t.shape):
        yield f'tensor "{t.name}" has the impossible shape {list(t.shape)}'
        return
    if t.size > MAX_ELEMENTS:
        yield f'tensor "{t.name}" of shape {list(t.shape)} has too many elements'
        return
    if t.buffer is not None and t.sparsity is None and t.dtype in NUMPY_TYPES:
        needed = t.size * np.dtype(NUMPY_TYPES[t.dtype]).itemsize
        if t.buffer.data.nbytes != needed:
            yield f'the constant "{t.name}" {t.dtype}{list(t.shape)} needs {needed} bytes, the file has {t.buffer.data.nbytes}'
    if scales and t.quant is not None:
        yield from quant_problems(t, t.quant)


def quant_problems(t: Tensor, quant: Quant) -> Iterator[str]:
    """What is wrong with the parameters of a tensor, by themselves."""
    if not quant.scale.size:
        return
    if quant.per_channel and not (0 <= quant.axis < len(t.shape) and quant.scale.size == t.shape[quant.axis]):
        yield f'tensor "{t.name}" has {quant.scale.size} scales along axis {quant.axis} of {list(t.shape)}'
    if t.dtype in RANGES:
        if not (np.isfinite(quant.scale).all() and (quant.scale >= 0).all()):
            yield f'tensor "{t.name}" has a scale that is not a positive number'
        low, high = RANGES[t.dtype]
        if ((quant.zero_point < low) | (quant.zero_point > high)).any():
            yield f'tensor "{t.name}" {t.dtype} has a zero point outside its type'


def contract_problems(model: Model, float_io: bool = False, kept: Collection[tuple[int, int]] = frozenset()) -> Iterator[str]:
    """Every operator or tensor that breaks the all-integer contract.

    Args:
        model: as read from the bytes that will be handed out.
        float_io: whether one QUANTIZE per graph input and one DEQUANTIZE per output may touch float.
        kept: (graph, index) of operators that may be float, since they were asked for.
    """
    yield from structure_problems(model)
    entries = model.entries
    if not float_io:
        yield from (
            f'graph input or output "{t.name}" is {t.dtype}' for g in entries for t in (*g.inputs, *g.outputs) if t.is_float
        )
    shared: dict[Buffer, Tensor] = {}
    for number, graph in enumerate(model.graphs):
        border = _io_ops(graph) if float_io and graph in entries else set()
        for index, op in enumerate(graph.ops):
            name = f'op {index} {op.kind} "{op.output_name}"'
            if op not in border and (number, index) not in kept:
                yield from (f"{name}: {p}" for p in _op_problems(op))
        for tensor in graph.tensors:
            yield from _static_problems(tensor)
            if tensor.buffer is not None:
                yield from _sharing_problems(shared.setdefault(tensor.buffer, tensor), tensor)


def _io_ops(graph: Graph) -> set[Op]:
    ends = set(graph.inputs), set(graph.outputs)
    first = {op for op in graph.ops if op.kind == "QUANTIZE" and op.inputs[0] in ends[0]}
    return first | {op for op in graph.ops if op.kind == "DEQUANTIZE" and op.outputs[0] in ends[1]}


def _static_problems(t: Tensor) -> Iterator[str]:
    if any(n < 0 for n in (*t.shape, *(t.shape_signature or ()))):
        yield f'tensor "{t.name}" has a dynamic shape'
    if t.dtype == "int8" and t.quant is not None and not (t.quant.scale > 0).all():
        yield f'tensor "{t.name}" has a scale of zero'


def _sharing_problems(a: Tensor, b: Tensor) -> Iterator[str]:
    same = a.dtype == b.dtype and (a.quant is b.quant or (a.quant is not None and a.quant.same_as(b.quant)))
    zeros = a.dtype == b.dtype == "int32" and a.buffer is not None and not a.buffer.data.any()
    if a is not b and not same and not zeros:
        yield f'the constants "{a.name}" and "{b.name}" share bytes but not type and parameters'


def _op_problems(op: Op) -> Iterator[str]:
    floats = [t for t in op.values() if t.is_float]
    if floats:
        yield f'touches float tensor "{floats[0].name}"'
        return
    row = ROWS.get(op.kind)
    if row is None or not any(t.dtype == "int8" or (t.dtype == "int16" and t.quant is not None) for t in op.values()):
        return
    yield from _row_problems(op, row)


def _row_problems(op: Op, row: OpRow) -> Iterator[str]:
    if any(t.dtype == "int8" and t.quant is None for t in op.values()) and op.kind != "CAST":
        if any(t.quant is not None for t in op.outputs):
            yield "mixes raw int8 and quantized int8"
        return
    if op.version < row.version_of(op):
        yield f"is stamped version {op.version}, int8 is version {row.version_of(op)}"
    group = [t for i, t in enumerate(op.inputs) if t is not None and row.role(i) is Role.SAME]
    for i, t in enumerate(op.outputs):
        match row.output(i):
            case Fixed() as fixed if t.quant is None or not fixed.of_type(t.dtype).same_as(t.quant):
                yield f'output "{t.name}" must have {fixed.of_type(t.dtype)}'
            case Same():
                group.append(t)
            case _:
                pass
    moved = any(isinstance(row.output(i), Same) for i in range(len(op.outputs)))  # a comparison knows both scales
    quants = [t.quant for t in group if t.quant is not None and moved]
    if any(not q.same_as(quants[0]) for q in quants):
        yield "operands that must share scale and zero point do not"
    if row.weight is not None:
        yield from _weight_problems(op, row)


def _weight_problems(op: Op, row: OpRow) -> Iterator[str]:
    x, w = op.input(row.data), op.input(row.weight or 0)
    b = op.input(row.bias) if row.bias is not None else None
    if x is None or w is None or x.quant is None or w.quant is None:
        yield "has no scales for its data or weights"
        return
    if w.dtype != "int8" or (w.quant.zero_point != 0).any():
        yield f'weights "{w.name}" must be int8 with zero point 0'
    elif w.buffer is not None and (w.array == -128).any():
        yield f'weights "{w.name}" hold -128, outside [-127, 127]'
    if w.quant.per_channel and w.quant.axis != row.axis:
        yield f"weights' scales run along axis {w.quant.axis}, the kernel takes {row.axis}"
    if b is None:
        return
    kind = "int64" if x.dtype == "int16" else "int32"
    if b.dtype != kind or b.quant is None or (b.quant.zero_point != 0).any():
        yield f'bias "{b.name}" must be {kind} with zero point 0'
        return
    expected = bias_scales(float(x.quant.scale[0]), w.quant.scale)
    if b.quant.scale.size != expected.size:
        yield f'bias "{b.name}" has {b.quant.scale.size} scales, the weights {expected.size}'
    elif not np.allclose(b.quant.scale, expected, rtol=BIAS_SCALE_TOLERANCE, atol=0):
        worst = int(np.argmax(np.abs(b.quant.scale / expected - 1)))
        yield f"bias scale {b.quant.scale[worst]:g} is not s_in * s_w = {expected[worst]:g}"
