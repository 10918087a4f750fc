"""Rows of reductions that compute new values."""

from __future__ import annotations

from fullint.ops.base import Fault, Observed, OpRow, Role, static

ROWS = (
    OpRow(
        "MEAN",
        (Role.OWN, Role.RAW),
        (Observed(),),
        2,
        "kernels/reduce.cc",
        "input and output scales may differ",
        refuses=static(1),
    ),
    OpRow(
        "REDUCE_PROD",
        (Role.OWN, Role.RAW),
        (Observed(),),
        2,
        "kernels/reduce.cc",
        "multiplies in int32, rescaled after each factor",
        refuses=static(1),
        steps=3,
    ),
    OpRow(
        "SUM",
        (Role.OWN, Role.RAW),
        (Observed(),),
        2,
        "kernels/reduce.cc",
        "written as MEAN times a constant, which is correct on every kernel set",
        refuses=static(1),
        faults={"reference": Fault("the reference kernel does not rescale: it returned -1 for -32")},
    ),
)
