"""The op table: `ROWS[kind]` is all fullint knows about an operator in int8."""

from fullint.ops import compute, elementwise, movement, reduction
from fullint.ops.base import (
    KERNEL_SETS,
    Fault,
    Fixed,
    Observed,
    OpRow,
    Output,
    Raw,
    Role,
    Same,
)

ROWS: dict[str, OpRow] = {row.kind: row for row in (*compute.ROWS, *elementwise.ROWS, *movement.ROWS, *reduction.ROWS)}

__all__ = ["KERNEL_SETS", "ROWS", "Fault", "Fixed", "Observed", "OpRow", "Output", "Raw", "Role", "Same"]
