"""Operators side by side in one model, each with inputs and outputs of its own.

    x' --A--> a' --B--> b'        =>        x' --A--> a'      a' --B--> b'
                                                (inputs: x' and a')

What each of them computes is then its own: nothing that came before it counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fullint.model.ir import Graph, Model, Op, Tensor, twin
from fullint.model.subgraphs import below


@dataclass(frozen=True, eq=False)
class Isolated:
    """Operators side by side.

    Attributes:
        model: the model to run.
        inputs: activations that its inputs stand for, in order.
        outputs: those that its outputs stand for.
    """

    model: Model
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def operators_alone(ops: Sequence[Op], version: int) -> Isolated:
    """Each operator by itself; what it reads that is no constant is an input.

    Args:
        ops: without variables; their outputs are all different.
        version: of the model's schema.
    """
    given: dict[Tensor, Tensor] = {}
    copies: list[Op] = []
    results: dict[Tensor, Tensor] = {}
    for op in ops:
        made = {t: given.setdefault(t, twin(t)) for t in op.inputs if t is not None and not t.is_constant}
        copies.append(copied(op, made, {}))
        results |= {t: made[t] for t in op.outputs}
    return joined(given, copies, results, version)


def joined(given: Mapping[Tensor, Tensor], ops: list[Op], results: Mapping[Tensor, Tensor], version: int) -> Isolated:
    """Copies of operators as a model.

    Args:
        given: what they read of the model they come from -> input.
        ops: the copies.
        results: what they make there -> output.
        version: of the model's schema.
    """
    graph = Graph("isolated", [], [*given.values()], [*results.values()], ops)
    graph.sync_tensors()
    return Isolated(Model(below(graph), version=version), tuple(given), tuple(results))


def copied(op: Op, made: dict[Tensor, Tensor], instead: Mapping[Tensor, Tensor]) -> Op:
    """An operator that reads and makes tensors of its own; what it makes is added to `made`."""
    inputs = [None if t is None else made.get(t, instead.get(t, t)) for t in op.inputs]
    outputs = [twin(t) for t in op.outputs]
    made.update(zip(op.outputs, outputs, strict=True))
    return replace(op, inputs=inputs, outputs=outputs, options={**op.options})
