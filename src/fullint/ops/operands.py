"""Access to an operator's operands by the roles in its row."""

from __future__ import annotations

from fullint.model.ir import Op, Quant, Tensor
from fullint.ops import ROWS, OpRow, Role, Same
from fullint.ops.base import codes


def plain(t: Tensor | None) -> Quant | None:
    """Parameters of a tensor that is quantized per tensor, else None."""
    return t.quant if t is not None and codes(t) and t.quant is not None and not t.quant.per_channel else None


def weighted(op: Op) -> tuple[OpRow, Tensor, Tensor, Tensor | None] | None:
    """(row, data, weights, bias or None) of an operator with weights, else None."""
    row = ROWS.get(op.kind)
    if row is None or row.weight is None:
        return None
    x, w = op.input(row.data), op.input(row.weight)
    return None if x is None or w is None else (row, x, w, op.input(row.bias) if row.bias is not None else None)


def integer_row(op: Op) -> OpRow | None:
    """The row of an operator on quantized int8 or int16 values; None for others, including legacy uint8."""
    values = list(op.values())
    if any(t.dtype == "uint8" and codes(t) for t in values) or not any(codes(t) and t.dtype != "int4" for t in values):
        return None
    return ROWS.get(op.kind)


def same_group(op: Op, row: OpRow) -> list[Tensor]:
    """The inputs and outputs of an operator that must share parameters, according to its row."""
    group = [t for i, t in enumerate(op.inputs) if t is not None and row.role(i) is Role.SAME]
    return group + [t for i, t in enumerate(op.outputs) if isinstance(row.output(i), Same)]
