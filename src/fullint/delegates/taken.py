"""Which operators of a graph a delegate accepts: the table's verdicts, and conditions that depend on the whole graph."""

from __future__ import annotations

from collections.abc import Collection

from fullint.delegates.table import AcceptanceTable
from fullint.model.ir import Graph, Op, Tensor, Uses


def verdicts(graph: Graph, table: AcceptanceTable, *, expands: bool = False) -> dict[Op, str | None]:
    """Operator -> why the delegate does not accept it, or None if it does.

    Args:
        graph: the graph.
        table: the delegate's table.
        expands: whether the delegate expands a DEQUANTIZE or DENSIFY of a constant in advance (XNNPACK does).
    """
    uses, static, unpack = Uses(graph), set[Tensor](), dict[Tensor, Op]()
    verdict: dict[Op, str | None] = {}
    for op in graph.ops:
        if expands and _expands(op, static):
            static.update(op.outputs)
            unpack[op.outputs[0]] = op
            verdict[op] = None
            continue
        verdict[op] = table.no(op, static)
        if verdict[op] is not None:
            for t in op.inputs:
                if t in unpack and t is not None:
                    verdict[unpack[t]] = f"its reader op {op.origin} {op.kind} is not delegated"
    if expands:
        _variables(graph, uses, verdict)
    return verdict


def _expands(op: Op, static: Collection[Tensor]) -> bool:
    """Whether the operator is a DEQUANTIZE or DENSIFY of a constant, which the delegate runs once in advance."""
    x = op.input(0)
    if x is None or len(op.inputs) != 1 or len(op.outputs) != 1 or op.kind not in ("DEQUANTIZE", "DENSIFY"):
        return False
    if op.kind == "DENSIFY":
        return x.is_constant and x.sparsity is not None and x.dtype in ("float16", "int8", "float32")
    known = x.is_constant or x in static
    return known and x.sparsity is None and x.dtype in ("float16", "int8") and op.outputs[0].dtype == "float32"


def _variables(graph: Graph, uses: Uses, verdict: dict[Op, str | None]) -> None:
    """Accept a VAR_HANDLE if a delegated operator reads or writes its variable, in place."""
    for op in graph.ops:
        if op.kind == "VAR_HANDLE":
            used = any(verdict.get(reader, "") is None for reader, _ in uses.of(op.outputs[0]))
            verdict[op] = None if used else "no delegated operator reads or writes its variable"
