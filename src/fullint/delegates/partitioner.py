"""The runtime's algorithm for partitioning a graph (LiteRT, graph_info.cc, greedy).

    epoch 0, 1, 2, …    the first operator whose inputs are ready decides whether the epoch is delegated; every ready
                        operator with the same verdict joins, repeatedly, until none is left

The runtime's "yielding N partitions" counts all epochs; the delegate's kernels are the delegated ones. Operators that use
resources, and control flow, keep their order (a chain of control edges).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from fullint.model.ir import Graph, Op, Tensor

CONTROL = ("IF", "WHILE", "CALL_ONCE")


@dataclass(eq=False)
class Subset:
    """One epoch of the partitioning.

    Attributes:
        taken: whether it is delegated.
        ops: its operators, in the order they joined.
        inputs, outputs: tensors that enter and leave it; `inputs` includes constants.
    """

    taken: bool
    ops: list[Op] = field(default_factory=list)
    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)


def subsets(graph: Graph, taken: Collection[Op], *, greedy: bool = True) -> list[Subset]:
    """The operators of a graph, grouped into the runtime's epochs.

    Args:
        graph: the graph.
        taken: the operators the delegate accepts.
        greedy: False keeps the order of execution (the runtime's disable_delegate_clustering).
    """
    return _Partitioner(graph, set(taken), greedy=greedy).run()


def has_side_effect(op: Op) -> bool:
    """Whether the runtime keeps the operator's order relative to others with side effects."""
    return op.kind in CONTROL or any(t.dtype == "resource" for t in op.values())


class _Partitioner:
    """Runs the algorithm once; `run` returns the epochs."""

    def __init__(self, graph: Graph, taken: set[Op], *, greedy: bool) -> None:
        self.graph, self.taken, self.greedy = graph, taken, greedy
        self.waiting: set[Tensor] = {t for op in graph.ops for t in op.outputs}
        self.made: dict[Tensor, Subset] = {}
        chain = [op for op in graph.ops if has_side_effect(op)]
        self.before: dict[Op, Op] = dict(zip(chain[1:], chain, strict=False)) if greedy else {}
        self.done: set[Op] = set()
        self.found: list[Subset] = []

    def run(self) -> list[Subset]:
        left: Sequence[Op] = list(self.graph.ops)
        while left:
            first = next((op for op in left if self._ready(op)), None)
            assert first is not None, "an operator waits for itself"
            self.found.append(Subset(first in self.taken))
            self._fill(left)
            left = [op for op in left if op not in self.done]
        for t in self.graph.outputs:
            if t in self.made:
                _add(self.made[t].outputs, t)
        return self.found

    def _fill(self, left: Sequence[Op]) -> None:
        while True:
            joined = False
            for op in left:
                if op not in self.done and self._ready(op) and (op in self.taken) == self.found[-1].taken:
                    self._join(op)
                    joined = True
                elif joined and not self.greedy and op not in self.done:
                    return
            if not joined:
                return

    def _ready(self, op: Op) -> bool:
        return all(t is None or t not in self.waiting for t in op.inputs) and self.before.get(op, op) in {*self.done, op}

    def _join(self, op: Op) -> None:
        subset = self.found[-1]
        subset.ops.append(op)
        self.done.add(op)
        for t in op.outputs:
            self.waiting.discard(t)
            self.made[t] = subset
        for x in op.inputs:
            if x is None or self.made.get(x) is subset:
                continue
            _add(subset.inputs, x)
            if x in self.made:
                _add(self.made[x].outputs, x)


def _add(tensors: list[Tensor], t: Tensor) -> None:
    if t not in tensors:
        tensors.append(t)
