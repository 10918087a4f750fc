"""The op table: `ROWS[kind]` is all fullint knows about an operator in int8."""

from dataclasses import replace

from fullint.ops import compute, control, elementwise, movement, recurrent, reduction
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

ROWS: dict[str, OpRow] = {
    row.kind: replace(row, int16=INT16.get(row.kind, 0))
    for row in (
        *compute.ROWS,
        *elementwise.ROWS,
        *movement.ROWS,
        *reduction.ROWS,
        *recurrent.ROWS,
        *control.ROWS,
    )
}

NO_INT8_KERNEL = frozenset(
    "SQUARE SIN COS FLOOR CEIL ROUND SIGN POW CUMSUM LOCAL_RESPONSE_NORMALIZATION RFFT2D COMPLEX_ABS ATAN2 L2_POOL_2D"
    " CONV_3D CONV_3D_TRANSPOSE".split()
)
"""Operators whose kernels take no int8 (tried with one-operator models on every kernel set)."""

__all__ = [
    "KERNEL_SETS",
    "NO_INT8_KERNEL",
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
]
