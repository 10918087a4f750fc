"""The structural rules of a valid model: `structure_problems` yields a sentence per broken rule, without changing the model.

The structure is checked when a model is read and after each pass. For the all-integer contract see `verification.contract`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fullint.errors import ModelFormatError, VerificationError
from fullint.model.ir import NUMPY_TYPES, Graph, Model, Op, Quant, Tensor
from fullint.model.numerics import RANGES
from fullint.model.subgraphs import calling_itself
from fullint.ops import ROWS, Role, Tied
from fullint.ops.control_flow import call_problems

MAX_RANK = 8
COMPUTED = (Role.OWN, Role.WEIGHT, Role.BIAS, Role.DERIVED)
NO_NUMBERS = ("resource", "variant", "string")
"""Types of constants that no kernel computes with."""


MAX_ELEMENTS = 2**31


def check_structure(model: Model) -> None:
    """Raise VerificationError if the structure is broken, which means that a pass has a bug."""
    problems = list(structure_problems(model))
    if problems:
        raise VerificationError(problems)


def check_readable(model: Model, *, scales: bool = True) -> None:
    """Raise ModelFormatError if a file's structure is broken; `scales` says whether to check quantization parameters too."""
    problems = list(structure_problems(model, scales=scales))
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise ModelFormatError(f"the TFLite model is damaged: {problems[0]}{more}")


def structure_problems(model: Model, *, scales: bool = True) -> Iterator[str]:
    """Each broken structural rule, as a sentence."""
    if (circle := calling_itself(model)) is not None:
        yield f"subgraph {model.graphs.index(circle)} calls itself"
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
        yield from (f"{name}: {p}" for p in (*_arity_problems(op), *call_problems(op)))
        for t in op.inputs:
            if t is not None and t not in ready and not t.is_constant and not t.is_variable and t.size:
                yield f'{name} reads "{t.name}" before anything writes it'
        for t in op.outputs:
            if t in produced or t in graph.inputs:
                yield f'{name} writes "{t.name}", which is already written'
            if t.buffer is not None and not t.is_variable:
                yield f'{name} writes the constant "{t.name}"'
        produced.update(op.outputs)
        ready.update(op.outputs)
        for t in op.operands():
            if t not in known:  # new tensors are added to the list by `sync_tensors`
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
        yield f"has {len(op.inputs)} inputs, but needs {required}"
    if not row.more_inputs and len(op.inputs) > len(row.inputs):
        yield f"has {len(op.inputs)} inputs, but its kernel takes {len(row.inputs)}"
    if not row.more_outputs and len(op.outputs) > len(row.outputs):
        yield f"has {len(op.outputs)} outputs, but its kernel writes {len(row.outputs)}"
    for i, t in enumerate(op.inputs):
        if t is not None and t.is_constant and row.role(i) in COMPUTED and t.dtype in NO_NUMBERS:
            yield f'reads "{t.name}", which is {t.dtype}'
    if row.outputs and not op.outputs and not isinstance(row.outputs[0], Tied):
        yield "has no output"


def _tensor_problems(t: Tensor, scales: bool) -> Iterator[str]:
    if len(t.shape) > MAX_RANK or any(n < -1 for n in t.shape):
        yield f'tensor "{t.name}" has the invalid shape {list(t.shape)}'
        return
    if t.size > MAX_ELEMENTS:
        yield f'tensor "{t.name}" of shape {list(t.shape)} has too many elements'
        return
    if t.buffer is not None and t.sparsity is None and t.dtype in NUMPY_TYPES:
        needed = t.size * np.dtype(NUMPY_TYPES[t.dtype]).itemsize
        if t.buffer.data.nbytes != needed:
            yield f'the constant "{t.name}" {t.dtype}{list(t.shape)} needs {needed} bytes, but has {t.buffer.data.nbytes}'
    if scales and t.quant is not None:
        yield from quant_problems(t, t.quant)


def quant_problems(t: Tensor, quant: Quant) -> Iterator[str]:
    """Each problem of a tensor's quantization parameters on their own, as a sentence."""
    if not quant.scale.size:
        return
    if quant.per_channel and not (0 <= quant.axis < len(t.shape) and quant.scale.size == t.shape[quant.axis]):
        yield f'tensor "{t.name}" has {quant.scale.size} scales along axis {quant.axis} of {list(t.shape)}'
    if t.dtype in RANGES:
        if not (np.isfinite(quant.scale).all() and (quant.scale >= 0).all()):
            yield f'tensor "{t.name}" has a scale that is negative, infinite or NaN'
        low, high = RANGES[t.dtype]
        if ((quant.zero_point < low) | (quant.zero_point > high)).any():
            yield f'tensor "{t.name}" {t.dtype} has a zero point outside the range of its type'
