"""Dynamic batch sizes are fixed, and what was computed from shapes becomes constant.

    x [-1, 28, 28, 1]                              =>    x [1, 28, 28, 1]
    SHAPE(x) -> STRIDED_SLICE -> PACK -> RESHAPE   =>    const -> RESHAPE

Shapes behind a dynamic input come from the runtime itself, which knows each operator's rule; so do
the values of operators whose inputs are all constant.
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
        model: as read.
        batch: size of dynamic first dimensions.
        shapes: whole shapes of some inputs by name; None stands for the only input.
        shapes_of: input shapes -> shape of each tensor of the file's main graph, in file order.

    Raises:
        UsageError: another dimension is dynamic, or the batch is fixed already at another size.
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
    """Every shape is static from now on, in place."""
    for g in model.graphs:
        for tensor in g.tensors:
            tensor.shape_signature = None


def _given(graph: Graph, shapes: Mapping[str | None, tuple[int, ...]]) -> dict[Tensor, tuple[int, ...]]:
    """The shapes that were asked for, checked against what the model allows."""
    found = {}
    for name, shape in shapes.items():
        if name is None and len(graph.inputs) != 1:
            raise UsageError(f"the model has {len(graph.inputs)} inputs: say which one has the shape, NAME={_comma(shape)}")
        t = next((t for t in graph.inputs if name in (None, t.name)), None)
        if t is None:
            raise UsageError(f'no input is named "{name}"; there are: {", ".join(t.name for t in graph.inputs)}')
        signature = t.shape_signature or t.shape
        if len(shape) != len(signature) or any(s not in (-1, n) for s, n in zip(signature, shape, strict=True)):
            raise UsageError(f'input "{t.name}" has the shape {list(signature)}, where -1 is open; {_comma(shape)} does not fit')
        found[t] = shape
    return found


def _comma(shape: tuple[int, ...]) -> str:
    return ",".join(map(str, shape))


def _static(t: Tensor, batch: int) -> tuple[int, ...]:
    signature = t.shape_signature or t.shape
    if any(n < 0 for n in signature[1:]):
        raise UsageError(
            f'input "{t.name}" has dynamic dimensions besides the batch: {list(signature)}; '
            f"fix them with --shape {_comma(tuple(max(n, 1) for n in signature))}, with the sizes you need"
        )
    if not signature or signature[0] >= 0:
        if batch != 1 and signature and signature[0] != batch:
            raise UsageError(f'input "{t.name}" has a fixed batch of {signature[0]}; --batch {batch} needs a dynamic one')
        return t.shape
    return (batch, *signature[1:])


def _unknown(t: Tensor) -> bool:
    """Whether the file does not say the shape (a -1, or a tensor of unknown rank computed from shapes)."""
    return any(n < 0 for n in t.shape)


def densify(model: Model) -> list[Change]:
    """Put a DENSIFY in front of operators that read sparse constants, in place; folding then makes them dense."""
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
    """Replace operators that compute from constants and static shapes alone by their results, in place."""
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
    return [Change("fold_constants", op.origin, op.kind, op.outputs[0].name, "computed once, here") for op in shape_ops + folded]


def _constant_ops(graph: Graph) -> list[Op]:
    known = {t for t in graph.tensors if t.is_constant and not t.is_variable}
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
