"""Decide: element types, scales and zero points, and the tables of look-ups, as one value."""

from __future__ import annotations

from dataclasses import replace

from fullint.errors import Blocker, NotIntegerError
from fullint.model.ir import Op
from fullint.ops import ROWS
from fullint.quantization.assign import assign
from fullint.quantization.feasibility import scale_blockers
from fullint.quantization.lookup_tables import compute_tables
from fullint.quantization.mixed_precision import wide_operators
from fullint.quantization.stage_values import Assigned, Calibrated
from fullint.quantization.workbench import Workbench
from fullint.reporting import Change

GIVE_SAMPLES = "give samples, to run the given model on: -c DATA"


def decide(bench: Workbench, calibrated: Calibrated) -> Assigned:
    """Parameters of every tensor.

    Raises:
        NotIntegerError: a scale that no float32 number or multiplier holds.
    """
    prepared, model = calibrated.prepared, calibrated.model
    loaded = prepared.loaded
    with bench.stage("assign"):
        types, changes = _types(calibrated)
        activations = loaded.options.activations
        assignment = assign(model, calibrated.measured, loaded.granularity, types, activations, prepared.pinned)
        found = scale_blockers(model, assignment)
        if found:
            raise refusal(found, calibrated)
        tables = compute_tables(model, assignment, bench.evaluate)
    return Assigned(calibrated, replace(assignment, tables=tables), changes)


def _types(calibrated: Calibrated) -> tuple[dict[Op, str], tuple[Change, ...]]:
    """Operators that do not compute in the type of the activations, and what is said of it."""
    model = calibrated.model
    if calibrated.prepared.loaded.options.activations == "int8":
        named = _named(calibrated)
        wide = wide_operators(model, calibrated.ranges)
        why = "small values lie too close together for 8 bits: computes in int16"
        changes = [Change("widen", op.origin, op.kind, op.outputs[0].name, why) for op in wide if op not in named]
        changes += [Change("widen", op.origin, op.kind, op.output_name, "computes in int16, as asked") for op in named]
        return {**wide, **named}, tuple(changes)
    narrow = {
        op: "int8" for _, op in model.ops() if (row := ROWS.get(op.kind)) is not None and not row.int16 and not op.keep_float
    }
    return narrow, ()


def _named(calibrated: Calibrated) -> dict[Op, str]:
    """Operators that the user wants to compute in int16."""
    wide = calibrated.prepared.wide
    return {
        op: "int16"
        for number, op in calibrated.model.ops()
        if (number, op.origin) in wide and not op.keep_float and any(t.is_float for t in op.outputs)
    }


def refusal(found: list[Blocker], calibrated: Calibrated) -> NotIntegerError:
    """Blockers as an error; where ranges are bounds, samples are the first way out."""
    if not calibrated.bounded:
        return NotIntegerError(found)
    return NotIntegerError([replace(b, way_out=f"{GIVE_SAMPLES}; or {b.way_out}") for b in found])
