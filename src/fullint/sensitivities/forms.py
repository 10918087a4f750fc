"""The forms of a run in which a unit is measured.

float     all integer but the unit in float
int16     all integer, the unit in int16
alone     all float but the unit in integers
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fullint.model.ir import Op
from fullint.ops import has_int16
from fullint.quantization.stage_values import Calibrated
from fullint.quantization.variants import in_float, in_int16
from fullint.sensitivities.units import Unit

FLOAT, INT16, ALONE = "float", "int16", "alone"


def form_of(calibrated: Calibrated, ops: Sequence[Op], unit: Unit, how: str) -> Calibrated:
    """A run with a unit in one of the forms; `ops` are all that could be float."""
    if how == FLOAT:
        return in_float(calibrated, {*unit.ops})
    if how == INT16:
        return in_int16(calibrated, {op.origin for op in unit.ops if has_int16(op)})
    return float_but(calibrated, ops, unit.ops)


def float_but(calibrated: Calibrated, ops: Sequence[Op], integer: Sequence[Op]) -> Calibrated:
    """All in float but some; no error is there to be corrected before it."""
    return replace(in_float(calibrated, {op for op in ops if op not in integer}), refining=())
