"""Fix dynamic dimensions, and fold what is computed from shapes and constants.

    x [-1, 28, 28, 1]                              =>    x [1, 28, 28, 1]
    SHAPE(x) -> STRIDED_SLICE -> PACK -> RESHAPE   =>    const -> RESHAPE

The runtime computes the shapes that depend on a dynamic input, and the values of operators whose inputs are all constant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from fullint.errors import UsageError
from fullint.model.ir import Buffer, Graph, Model, Op, Tensor
from fullint.ops import traits_of
from fullint.ops.make import make_op
from fullint.passes.engine import Evaluate
from fullint.reporting import Change

ShapesOf = Callable[[list[tuple[int, ...]]], Sequence[tuple[int, ...]]]

_MOST_ELEMENTS = 2**26


def fix_batch(
    model: Model, batch: int, shapes_of: ShapesOf, shapes: Mapping[str | None, tuple[int, ...]] | None = None
) -> list[Change]:
    """Give every tensor of the main graph a static shape, in place.

    Args:
        model: the model as read.
        batch: size for dynamic first dimensions.
        shapes_of: input shapes -> shape of each tensor of the file's main graph, in file order.
        shapes: complete shapes of inputs by name; the name None stands for the only input.

    Raises:
        UsageError: another dimension is dynamic, or the batch is already fixed at another size.
    """
    graph = model.main
    given = _given(graph, shapes or {})
    wanted = [given[t] if t in given else _static(t, batch) for t in graph.inputs]
    changed = [(t, s) for t, s in zip(graph.inputs, wanted, strict=True) if t.shape != s]
    if changed or any(_unknown(t) for t in graph.tensors) or any(op.kind == "SHAPE" for op in graph.ops):
        found = shapes_of(wanted)
        for tensor, shape in zip(graph.tensors, found, strict=False):
            if not tensor.is_constant:
                tensor.shape = tuple(shape)
    dynamic = [t for t in graph.inputs if t.shape_signature and -1 in t.shape_signature]
    return [Change("fix_batch", -1, "INPUT", t.name, f"dynamic batch fixed at {batch}") for t in dynamic]


def forget_signatures(model: Model) -> None:
    """Remove all shape signatures, so that every shape is static, in place."""
    for g in model.graphs:
        for tensor in g.tensors:
            tensor.shape_signature = None


def _given(graph: Graph, shapes: Mapping[str | None, tuple[int, ...]]) -> dict[Tensor, tuple[int, ...]]:
    """The requested shapes by input tensor, checked against the model's shape signatures."""
    found = {}
    for name, shape in shapes.items():
        if name is None and len(graph.inputs) != 1:
            raise UsageError(f"--shape: the model has {len(graph.inputs)} inputs; name the one meant, NAME={_comma(shape)}")
        t = next((t for t in graph.inputs if name in (None, t.name)), None)
        if t is None:
            raise UsageError(f'--shape: unknown input "{name}"; the inputs are: {", ".join(t.name for t in graph.inputs)}')
        signature = t.shape_signature or t.shape
        if len(shape) != len(signature) or any(s not in (-1, n) for s, n in zip(signature, shape, strict=True)):
            raise UsageError(f'--shape {_comma(shape)} does not fit input "{t.name}" of shape {list(signature)} (-1 = dynamic)')
        found[t] = shape
    return found


def _comma(shape: tuple[int, ...]) -> str:
    return ",".join(map(str, shape))


def _static(t: Tensor, batch: int) -> tuple[int, ...]:
    signature = t.shape_signature or t.shape
    if any(n < 0 for n in signature[1:]):
        raise UsageError(
            f'input "{t.name}" has dynamic dimensions other than the batch: {list(signature)}; '
            f"fix them with --shape {_comma(tuple(max(n, 1) for n in signature))} (put in the sizes you need)"
        )
    if not signature or signature[0] >= 0:
        if batch != 1 and signature and signature[0] != batch:
            raise UsageError(f'--batch {batch}: the batch of input "{t.name}" is not dynamic, but fixed at {signature[0]}')
        return t.shape
    return (batch, *signature[1:])


def _unknown(t: Tensor) -> bool:
    """Whether the shape contains -1, so that the file does not determine it."""
    return any(n < 0 for n in t.shape)


def densify(model: Model) -> list[Change]:
    """Insert a DENSIFY before operators that read sparse constants, in place; `fold_constants` then expands them."""
    changes = []
    for graph in model.graphs:
        dense: dict[Tensor, Tensor] = {}
        ops: list[Op] = []
        for op in graph.ops:
            for i, t in enumerate(op.inputs):
                if t is not None and t.sparsity is not None and op.kind != "DENSIFY":
                    if t not in dense:
                        dense[t] = Tensor(f"{t.name}/dense", t.shape, t.dtype, quant=t.quant)
                        ops.append(make_op("DENSIFY", [t], [dense[t]]))
                        ops[-1].origin = op.origin
                        changes.append(Change("densify", op.origin, op.kind, t.name, "sparse constant made dense"))
                    op.inputs[i] = dense[t]
            ops.append(op)
        graph.ops = ops
        graph.sync_tensors()
    return changes


def fold_constants(model: Model, evaluate: Evaluate) -> list[Change]:
    """Replace operators that depend only on constants and static shapes by their results, in place."""
    graph = model.main
    for op in graph.ops:
        if op.kind in ("SHAPE", "RANK") and op.inputs[0] is not None and all(n >= 0 for n in op.inputs[0].shape):
            shape = op.inputs[0].shape
            value = np.asarray(shape if op.kind == "SHAPE" else len(shape), op.outputs[0].dtype)
            op.outputs[0].buffer, op.outputs[0].shape = Buffer.of(value), value.shape
    shape_ops = [op for op in graph.ops if op.outputs and op.outputs[0].buffer is not None and op.kind in ("SHAPE", "RANK")]
    graph.ops = [op for op in graph.ops if op not in shape_ops]
    folded = _constant_ops(graph)
    if folded:
        _evaluate(model, graph, folded, evaluate)
        gone = set(folded)
        graph.ops = [op for op in graph.ops if op not in gone]
    return [
        Change(
            "fold_constants", op.origin, op.kind, op.outputs[0].name, "computed in advance: depends on constants and shapes only"
        )
        for op in shape_ops + folded
    ]


def _constant_ops(graph: Graph) -> list[Op]:
    made = {t for op in graph.ops for t in op.outputs}.union(graph.inputs)
    known = {t for t in graph.tensors if not t.is_variable and (t.is_constant or (t.size == 0 and t not in made))}  # no bytes
    found = []
    for op in graph.ops:
        traits = traits_of(op.kind)
        plain = not traits.effects and not traits.random and not any(op.subgraphs())
        values = plain and op.kind != "DEQUANTIZE" and all(t is None or t in known for t in op.inputs)
        if values and op.outputs and all(t.size <= _MOST_ELEMENTS and t not in graph.outputs for t in op.outputs):
            found.append(op)
            known.update(op.outputs)
    return found


def _evaluate(model: Model, graph: Graph, folded: list[Op], evaluate: Evaluate) -> None:
    made = [t for op in folded for t in op.outputs]
    inside = set(folded)
    read_outside = {t for op in graph.ops if op not in inside for t in op.inputs}
    wanted = [t for t in made if t in read_outside] or made[-1:]
    part = Graph("constants", [], [], wanted, folded)
    part.sync_tensors()
    for tensor, value in zip(wanted, evaluate(Model([part], version=model.version)), strict=True):
        tensor.buffer, tensor.shape = Buffer.of(value), tuple(value.shape)
