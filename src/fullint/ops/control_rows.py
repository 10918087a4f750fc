"""Rows of control flow and state: operators that hand values from graph to graph or from run to run."""

from __future__ import annotations

from fullint.ops.base import OpRow, Role, Tied

ROWS = (
    OpRow(
        "WHILE",
        (Role.TIED,),
        (Tied(),),
        1,
        "kernels/while.cc",
        "what a loop carries has one scale, before, in and after it; body and condition are rewritten together",
    ),
    OpRow(
        "IF",
        (Role.RAW, Role.TIED),
        (Tied(),),
        1,
        "kernels/if.cc",
        "both branches read their arguments, and write their results, in one scale",
    ),
    OpRow(
        "READ_VARIABLE",
        (Role.RAW,),
        (Tied(),),
        1,
        "kernels/read_variable.cc",
        "a variable has one scale, whoever writes it",
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
