"""Take the last CONCATENATION or PACK off an output, so that each part is an output with a scale of its own.

    boxes, scores --CONCATENATION--> y --RESHAPE--> out          =>         boxes, scores
                                                                           out = np.concatenate([boxes, scores], 2).reshape(...)

`find_splits` decides, `split_graph` returns the graph without the joins. The code that has to be added where the model is
used is part of the split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fullint.model.ir import Graph, Model, Op, Tensor, Uses
from fullint.ops import traits_of

_TAILS = ("RESHAPE", "TRANSPOSE", "SQUEEZE", "EXPAND_DIMS", "DEQUANTIZE")
"""Operators behind a join that NumPy repeats in one call."""


@dataclass(frozen=True, eq=False)
class Split:
    """An output that can be taken apart.

    Attributes:
        output: the output.
        join: the CONCATENATION or PACK.
        parts: its operands, the new outputs.
        tail: the operators between the join and the output, in execution order.
        code: Python that makes the old output of the new ones, as real values.
    """

    output: Tensor
    join: Op
    parts: tuple[Tensor, ...]
    tail: tuple[Op, ...]
    code: str


def find_splits(graph: Graph) -> list[Split]:
    """The outputs of a graph that can be taken apart."""
    uses = Uses(graph)
    return [s for t in dict.fromkeys(graph.outputs) if (s := _split(t, graph, uses)) is not None]


def _split(out: Tensor, graph: Graph, uses: Uses) -> Split | None:
    tail: list[Op] = []
    op = uses.producer.get(out)
    while op is not None and op.kind in _TAILS and all(t is None or t.is_constant for t in op.inputs[1:]):
        tail.insert(0, op)
        op = uses.producer.get(op.inputs[0]) if op.inputs[0] is not None else None
    if op is None or not traits_of(op.kind).joins or op.options.get("fused_activation_function"):
        return None
    parts = tuple(t for t in op.inputs if t is not None)
    known = {*graph.inputs, *graph.outputs}
    own = len({*parts}) == len(parts) > 1 and known.isdisjoint(parts) and not any(t.is_constant for t in parts)
    inner = [t for o in (op, *tail) for t in o.outputs if t is not out]
    private = all(t not in graph.outputs and len(uses.of(t)) == 1 for t in inner) and not uses.of(out)
    if not own or not private:
        return None
    return Split(out, op, parts, tuple(tail), _code(out, op, tail, parts))


def _code(out: Tensor, join: Op, tail: Sequence[Op], parts: Sequence[Tensor]) -> str:
    """The NumPy expression that makes the old output."""
    names = ", ".join(f'out["{t.name}"]' for t in parts)
    axis = join.options.get("axis", 0)
    text = f"np.{'stack' if join.kind == 'PACK' else 'concatenate'}([{names}], axis={axis})"
    for op in tail:
        order = op.input(1)
        if op.kind == "TRANSPOSE" and order is not None:
            text += f".transpose({', '.join(map(str, order.array.reshape(-1)))})"
        elif op.kind != "DEQUANTIZE":
            text += f".reshape({', '.join(map(str, op.outputs[0].shape))})"
    return f'out["{out.name}"] = {text}'


def split_graph(graph: Graph, splits: Sequence[Split]) -> Graph:
    """The graph without these joins; tensors are shared with the given one."""
    gone = {op for s in splits for op in (s.join, *s.tail)}
    parts = {s.output: s.parts for s in splits}
    outputs = [p for t in graph.outputs for p in parts.get(t, (t,))]
    new = replace(graph, outputs=outputs, ops=[op for op in graph.ops if op not in gone], tensors=list(graph.tensors))
    new.sync_tensors()
    return new


def split_outputs(model: Model) -> list[Split]:
    """Split all outputs of the entries that can be, in place, and return what was done."""
    done: list[Split] = []
    for graph in model.entries:
        splits = find_splits(graph)
        parts = {s.output: s.parts for s in splits}
        new = split_graph(graph, splits)
        graph.outputs, graph.ops, graph.tensors = new.outputs, new.ops, new.tensors
        for signature in model.signatures:
            if signature.graph is graph:
                signature.outputs = [
                    (p.name if t in parts else name, p) for name, t in signature.outputs for p in parts.get(t, (t,))
                ]
        done += splits
    return done
