"""About how long it takes to try another form of a run: by a table, not by the clock, so that the same input has the same report.

s = operators x 0.45 ms + bytes of constants x 5 ns + samples x us of all kernels

That is to decide, to build, and to run the result; measured on an x86-64 CPU, with a chain of 2,000 operators and with 500 MB of
weights. What the float model answers is known, or costs as much again.
"""

from __future__ import annotations

from collections.abc import Collection

from fullint.model.ir import Model, Op
from fullint.ops.kernel_times import kernel_us

OPERATOR_SECONDS = 0.45e-3
BYTE_SECONDS = 5e-9
FEW_SECONDS, MORE_SECONDS, MOST_SECONDS = 0.5, 10.0, 60.0
"""Spent on advice by a fast run, in a warning, and in place of a result. A fast run takes two and a half times as long as a
trial, and half a second or more before and after its stages."""


def seconds_of_advice(effort: str, *, refused: bool) -> float:
    """That may be spent on trials of which only words come: in a warning, or in place of a result."""
    if effort == "fast":
        return FEW_SECONDS
    return MOST_SECONDS if refused else MORE_SECONDS


def trial_seconds(model: Model, samples: int, wide: Collection[Op] = ()) -> float:
    """Of one trial.

    Args:
        model: prepared.
        samples: number of them that judge.
        wide: operators of the main graph with 16-bit activations.
    """
    wide = set(wide)
    weights = {id(t.buffer): t.buffer.data.nbytes for _, op in model.ops() for t in op.inputs if t is not None and t.buffer}
    run = sum(kernel_us(op, "int16" if op in wide else "int8") for op in model.main.ops) / 1e6
    return len(model.main.ops) * OPERATOR_SECONDS + sum(weights.values()) * BYTE_SECONDS + samples * run
