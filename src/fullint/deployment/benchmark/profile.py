"""The profiler's events as rows, matched with the model's operators.

Operators that the runtime runs itself are reported with their index. Operators inside a delegate's kernel are reported with
their position in that kernel only, and XNNPACK fuses or drops some (a RESHAPE, a clamp). So the rows of a kernel are
aligned in order with the operators of its partition. If they do not fit, none of that kernel's rows is matched.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from fullint.delegates import xnnpack
from fullint.delegates.partitioner import Subset
from fullint.delegates.xnnpack_kernels import KERNEL_NAMES, MOVES
from fullint.deployment.benchmark.report import OperatorTime
from fullint.deployment.partition import ask
from fullint.model.ir import Model, Op
from fullint.ops.macs import macs
from fullint.runtime.litert_c_api import DELEGATE_OPERATOR, DELEGATE_PROFILED

BOTH, ONLY_ROW, ONLY_OP, AGAIN = range(4)
CLAMP = "Clamp"
INSIDE = (DELEGATE_OPERATOR, DELEGATE_PROFILED)


@dataclass(frozen=True)
class EventRow:
    """One event of the profiler, over all runs.

    Attributes:
        tag: name of the operator or kernel.
        kind: kind of event, as in `runtime.litert_c_api`.
        index: index of the operator, or position in the delegate's kernel.
        subgraph: index of the subgraph.
        nested: whether it ran inside another operator, whose time includes it.
        us: mean time per run, in microseconds.
        first_us: time in the first run, in microseconds.
        calls: calls per run.
    """

    tag: str
    kind: int
    index: int
    subgraph: int
    nested: bool
    us: float
    first_us: float
    calls: int


def join(rows: Sequence[EventRow], model: Model) -> tuple[tuple[OperatorTime, ...], str]:
    """Match rows with the model's operators.

    Args:
        rows: in order of execution.
        model: the model that was run.

    Returns:
        The rows with their operators, and why some could not be matched ("" if all were).
    """
    kernels = _kernels(rows)
    pieces = [s for s in ask(model, xnnpack.TARGET.name)[1] if s.taken] if any(k >= 0 for k in kernels) else []
    total = sum(r.us for r in rows if not r.nested) or 1.0
    known = _matched(rows, kernels, pieces)
    joined = {kernels[i] for i in known}
    found, lost = [], set[int]()
    for i, (row, kernel) in enumerate(zip(rows, kernels, strict=True)):
        op = known.get(i) if kernel >= 0 or row.kind in INSIDE else _own(row, model)
        if op is None and not row.nested and not (kernel in joined and _kinds(row.tag) & MOVES):
            lost.add(kernel)
        where = (op.origin, op.kind, op.output_name) if op is not None else (-1, "", "")
        graph_index = row.subgraph if row.kind not in INSIDE else -1 if row.nested else 0
        share = row.us / total
        found.append(
            OperatorTime(row.tag, kernel, row.index, row.us, row.calls, share, *where, row.first_us, graph_index, row.nested)
        )
    names = ", ".join(f"kernel {k}" if k >= 0 else "the runtime" for k in sorted(lost))
    return tuple(found), f"rows of {names} could not be matched with operators of the model" if lost else ""


def _kernels(rows: Sequence[EventRow]) -> list[int]:
    """Number of the delegate kernel of each row, -1 outside kernels; an index that does not increase starts the next kernel.

    Kernels nested in other operators are not counted: they belong to subgraphs, whose partitions are unknown.
    """
    found, kernel, last = [], -1, -1
    inside = False
    for row in rows:
        if row.kind not in INSIDE or row.nested:
            found.append(-1)
            inside = False
            continue
        if not inside or row.index <= last:
            kernel += 1
        inside, last = True, row.index
        found.append(kernel)
    return found


def _own(row: EventRow, model: Model) -> Op | None:
    """The operator of a row that the runtime ran itself, found by its index, or None."""
    if row.subgraph >= len(model.graphs):
        return None
    ops = model.graphs[row.subgraph].ops
    return ops[row.index] if row.index < len(ops) and ops[row.index].kind == row.tag else None


def _matched(rows: Sequence[EventRow], kernels: Sequence[int], pieces: Sequence[Subset]) -> dict[int, Op]:
    known: dict[int, Op] = {}
    for number in range(max(kernels, default=-1) + 1):
        own = [i for i, k in enumerate(kernels) if k == number]
        if number < len(pieces):
            ops = sorted(pieces[number].ops, key=lambda op: op.origin)
            known |= _aligned([rows[i].tag for i in own], own, ops)
    return known


def _aligned(tags: Sequence[str], places: Sequence[int], ops: Sequence[Op]) -> dict[int, Op]:
    """The cheapest alignment of rows with operators in order, as row -> operator; empty if there is none.

    A row that moves data may belong to no operator (a reshape before a matrix product). An operator without
    multiply-accumulates may have no row (fused, or nothing to do), and a row with an unknown name may be any of those. Each
    of these costs 1. A fused activation may have its own row.
    """
    best = [[(math.inf, 0)] * (len(ops) + 1) for _ in range(len(tags) + 1)]
    best[-1] = [
        (float(len(ops) - j), ONLY_OP) if not any(macs(op) for op in ops[j:]) else (math.inf, 0) for j in range(len(ops) + 1)
    ]
    kinds = [_kinds(tag) for tag in tags]
    heavy = [macs(op) > 0 for op in ops]
    for i in reversed(range(len(tags))):
        moves = bool(kinds[i] & MOVES)
        for j in reversed(range(len(ops) + 1)):
            ways = [(best[i + 1][j][0] + 1, ONLY_ROW)] if moves else []
            if j and tags[i].startswith(CLAMP) and ops[j - 1].options.get("fused_activation_function"):
                ways.append((best[i + 1][j][0], AGAIN))
            if j < len(ops) and not kinds[i] and not heavy[j]:
                ways.append((best[i + 1][j + 1][0] + 1, BOTH))
            if j < len(ops) and ops[j].kind in kinds[i]:
                ways.append((best[i + 1][j + 1][0], BOTH))
            if j < len(ops) and not heavy[j]:
                ways.append((best[i][j + 1][0] + 1, ONLY_OP))
            best[i][j] = min(ways, default=(math.inf, 0))
    return _walked(best, places, ops) if math.isfinite(best[0][0][0]) else {}


def _walked(best: Sequence[Sequence[tuple[float, int]]], places: Sequence[int], ops: Sequence[Op]) -> dict[int, Op]:
    found, i, j = dict[int, Op](), 0, 0
    while i < len(places):
        step = best[i][j][1]
        if step in (BOTH, AGAIN):
            found[places[i]] = ops[j - (step == AGAIN)]
        i, j = i + (step != ONLY_OP), j + (step in (BOTH, ONLY_OP))
    return found


@cache
def _kinds(tag: str) -> frozenset[str]:
    return next(
        (frozenset(kinds.split()) for pattern, kinds in KERNEL_NAMES if re.match(pattern, tag, re.IGNORECASE)), frozenset()
    )
