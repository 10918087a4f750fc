"""The runtime's algorithm for partitioning a graph (LiteRT, graph_info.cc, greedy).

    epoch 0, 1, 2, …    the first operator whose inputs are ready decides whether the epoch is delegated; every ready
                        operator with the same verdict joins, repeatedly, until none is left

The runtime's "yielding N partitions" counts all epochs; the delegate's kernels are the delegated ones. Operators that use
resources, and control flow, keep their order (a chain of control edges). What is ready waits in a heap for each verdict, so that
each operator is looked at once; operators come after those that they read, so the first of a heap is the next that joins.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from fullint.model.ir import Graph, Op, Tensor

CONTROL = ("IF", "WHILE", "CALL_ONCE")


@dataclass(frozen=True, eq=False)
class Subset:
    """One epoch of the partitioning.

    Attributes:
        taken: whether it is delegated.
        ops: its operators, in the order they joined.
        inputs, outputs: tensors that enter and leave it; `inputs` includes constants.
    """

    taken: bool
    ops: Sequence[Op]
    inputs: Sequence[Tensor]
    outputs: Sequence[Tensor]


def subsets(graph: Graph, taken: Collection[Op], *, greedy: bool = True) -> list[Subset]:
    """The operators of a graph, grouped into the runtime's epochs.

    Args:
        graph: the graph.
        taken: the operators the delegate accepts.
        greedy: False keeps the order of execution (the runtime's disable_delegate_clustering).
    """
    accepted = set(taken)
    if greedy:
        epochs = _greedy(graph, accepted)
    else:
        epochs = [list(ops) for _, ops in itertools.groupby(graph.ops, lambda op: op in accepted)]
    return _with_borders(graph, epochs, accepted)


def has_side_effect(op: Op) -> bool:
    """Whether the runtime keeps the operator's order relative to others with side effects."""
    return op.kind in CONTROL or any(t.dtype == "resource" for t in op.values())


def _greedy(graph: Graph, taken: AbstractSet[Op]) -> list[list[Op]]:
    ops = graph.ops
    waits, readers = _dependencies(graph)
    ready: dict[bool, list[int]] = {True: [], False: []}
    for i, op in enumerate(ops):
        if not waits[i]:
            ready[op in taken].append(i)
    epochs: list[list[Op]] = []
    while ready[True] or ready[False]:
        heap = min((h for h in ready.values() if h), key=lambda h: h[0])
        epochs.append([])
        while heap:
            i = heapq.heappop(heap)
            epochs[-1].append(ops[i])
            for reader in readers[i]:
                waits[reader] -= 1
                if not waits[reader]:
                    heapq.heappush(ready[ops[reader] in taken], reader)
    assert sum(map(len, epochs)) == len(ops), "an operator waits for itself"
    return epochs


def _dependencies(graph: Graph) -> tuple[list[int], list[list[int]]]:
    """How many other operators each one waits for, and which ones wait for it, by index."""
    made = {t: i for i, op in enumerate(graph.ops) for t in op.outputs}
    waits: list[int] = []
    readers: list[list[int]] = [[] for _ in graph.ops]
    last: int | None = None
    for i, op in enumerate(graph.ops):
        before = {made[t] for t in op.inputs if t is not None and t in made}
        if has_side_effect(op):
            before |= {last} if last is not None else set()
            last = i
        waits.append(len(before))
        for j in before:
            readers[j].append(i)
    return waits, readers


def _with_borders(graph: Graph, epochs: Sequence[Sequence[Op]], taken: AbstractSet[Op]) -> list[Subset]:
    """The epochs with what enters and leaves them, in the order in which it is read."""
    enter: list[dict[Tensor, None]] = [{} for _ in epochs]
    leave: list[dict[Tensor, None]] = [{} for _ in epochs]
    made: dict[Tensor, int] = {}
    for number, ops in enumerate(epochs):
        for op in ops:
            made |= dict.fromkeys(op.outputs, number)
            for t in op.inputs:
                if t is None or made.get(t) == number:
                    continue
                enter[number][t] = None
                if t in made:
                    leave[made[t]][t] = None
    for t in graph.outputs:
        if t in made:
            leave[made[t]][t] = None
    return [Subset(ops[0] in taken, ops, [*i], [*o]) for ops, i, o in zip(epochs, enter, leave, strict=True)]
