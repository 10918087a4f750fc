"""What a legal model is (`structure_problems`) and what an all-integer one is (`contract_problems`).

Both return sentences, one per broken rule, and change nothing. The structure is checked when a model
is read and after each pass; the contract on the bytes that are about to be handed out, read again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np

from fullint.model.ir import Buffer, Graph, Model, Op, Tensor
from fullint.model.numerics import bias_scales
from fullint.ops import ROWS, Fixed, OpRow, Role, Same
from fullint.ops.structure import structure_problems

BIAS_SCALE_TOLERANCE = 1e-5
"""Relative. A float32 product is exact to 6e-8; LiteRT itself does not check int8 convolutions."""


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
