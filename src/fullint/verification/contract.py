"""The all-integer contract: `contract_problems` yields a sentence per broken rule, without changing the model.

It is checked on the bytes that will be written, read back. `ops.structure` checks what a legal model is;
`operator_checks` what each operator must satisfy.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from fullint.model.ir import Buffer, Graph, Model, Op, Tensor
from fullint.ops.base import INTO_INTEGERS
from fullint.ops.structure import structure_problems
from fullint.verification.operator_checks import CHECKS


def contract_problems(model: Model, float_io: bool = False, kept: Collection[tuple[int, int]] = frozenset()) -> Iterator[str]:
    """Each operator or tensor that breaks the all-integer contract, as a sentence.

    Args:
        model: as read from the bytes that will be written.
        float_io: whether one QUANTIZE, or CAST to integers, per graph input and one DEQUANTIZE per graph output may touch float.
        kept: (graph, index) of operators that may be float because `keep_float` names them.
    """
    yield from structure_problems(model)
    entries = model.entries
    if not float_io:
        of_kept = {t for number, index in kept for t in model.graphs[number].ops[index].values()}
        yield from (
            f'graph input or output "{t.name}" is {t.dtype}'
            for g in entries
            for t in (*g.inputs, *g.outputs)
            if t.is_float and t not in of_kept
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
    first = {op for op in graph.ops if op.kind in INTO_INTEGERS and op.inputs[0] in ends[0] and not op.outputs[0].is_float}
    return first | {op for op in graph.ops if op.kind == "DEQUANTIZE" and op.outputs[0] in ends[1]}


def _static_problems(t: Tensor) -> Iterator[str]:
    if any(n < 0 for n in (*t.shape, *(t.shape_signature or ()))):
        yield f'tensor "{t.name}" has a dynamic shape'
    if t.dtype == "int8" and t.quant is not None and not (t.quant.scale > 0).all():
        yield f'tensor "{t.name}" has a scale that is not positive'


def _sharing_problems(a: Tensor, b: Tensor) -> Iterator[str]:
    same = a.dtype == b.dtype and (a.quant is b.quant or (a.quant is not None and a.quant.same_as(b.quant)))
    zeros = a.dtype == b.dtype == "int32" and a.buffer is not None and not a.buffer.data.any()
    if a is not b and not same and not zeros:
        yield f'the constants "{a.name}" and "{b.name}" share a buffer but differ in type or parameters'


def _op_problems(op: Op) -> Iterator[str]:
    floats = [t for t in op.values() if t.is_float]
    if floats:
        yield f'has the float operand "{floats[0].name}"'
        return
    yield from (breach.text for check in CHECKS.values() if (breach := check(op)) is not None)
