"""The op table: `ROWS[kind]` is everything fullint knows about an operator in int8."""

from dataclasses import replace

from fullint.model.ir import Op
from fullint.ops import compute, elementwise, movement, recurrent, reduction
from fullint.ops import control_rows as control
from fullint.ops.base import (
    KERNEL_SETS,
    Derived,
    Fault,
    Fixed,
    Given,
    Observed,
    OpRow,
    Output,
    Raw,
    Role,
    Same,
    Tied,
)
from fullint.ops.int16 import INT16
from fullint.ops.traits import Traits, traits_of

ROWS: dict[str, OpRow] = {
    row.kind: replace(row, int16=INT16.get(row.kind, 0), traits=traits_of(row.kind))
    for row in (
        *compute.ROWS,
        *elementwise.ROWS,
        *movement.ROWS,
        *reduction.ROWS,
        *recurrent.ROWS,
        *control.ROWS,
    )
}


def has_int16(op: Op) -> bool:
    """Whether a kernel computes it with int16 activations."""
    row = ROWS.get(op.kind)
    return row is not None and bool(row.int16)


__all__ = [
    "KERNEL_SETS",
    "ROWS",
    "Derived",
    "Fault",
    "Fixed",
    "Given",
    "Observed",
    "OpRow",
    "Output",
    "Raw",
    "Role",
    "Same",
    "Tied",
    "Traits",
    "has_int16",
    "traits_of",
]
