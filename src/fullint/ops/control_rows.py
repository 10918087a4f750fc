"""Rows of control flow and variables: operators that pass values between graphs or runs."""

from __future__ import annotations

from fullint.ops.base import OpRow, Role, Tied

ROWS = (
    OpRow(
        "WHILE",
        (Role.TIED,),
        (Tied(),),
        1,
        "kernels/while.cc",
        "each loop variable has one scale before, inside and after the loop; body and condition are rewritten together",
        more_inputs=True,
        more_outputs=True,
    ),
    OpRow(
        "IF",
        (Role.RAW, Role.TIED),
        (Tied(),),
        1,
        "kernels/if.cc",
        "both branches use the same scale for each argument and each result",
        more_inputs=True,
        more_outputs=True,
    ),
    OpRow(
        "READ_VARIABLE",
        (Role.RAW,),
        (Tied(),),
        1,
        "kernels/read_variable.cc",
        "a variable has one scale for all writers",
    ),
    OpRow(
        "ASSIGN_VARIABLE",
        (Role.RAW, Role.TIED),
        (Tied(),),
        1,
        "kernels/assign_variable.cc",
        "the value has the variable's scale",
    ),
)
