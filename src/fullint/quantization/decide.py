"""Decide: element types, scales and zero points, and the tables of look-ups, as one value."""

from __future__ import annotations

from dataclasses import replace

from fullint.calibration.signatures import with_graph
from fullint.delegates.targets import lacks_of
from fullint.errors import Blocker, NotIntegerError
from fullint.model.ir import Op, Tensor
from fullint.ops import ROWS, has_int16
from fullint.passes.target_forms import Lacks
from fullint.quantization.assign import assign
from fullint.quantization.assignment import Granularity
from fullint.quantization.feasibility import clamps_by_type, scale_blockers
from fullint.quantization.joined_layers import join_layers
from fullint.quantization.lookup_tables import compute_tables
from fullint.quantization.mixed_precision import squares_apart, wide_operators
from fullint.quantization.operator_settings import NOTHING
from fullint.quantization.stage_values import Assigned, Calibrated
from fullint.quantization.wide_streams import wide_streams
from fullint.quantization.workbench import Workbench
from fullint.reporting import Change
from fullint.targets import target_of

GIVE_SAMPLES = "give samples, to run the given model on: -c DATA"


def decide(bench: Workbench, calibrated: Calibrated) -> Assigned:
    """Parameters of every tensor.

    Raises:
        NotIntegerError: a scale that no float32 number or multiplier holds.
    """
    prepared, given = calibrated.prepared, calibrated
    loaded = prepared.loaded
    with bench.stage("assign"):
        activations = loaded.options.activations
        model = calibrated.model
        joined: list[Change] = []
        if activations == "int8":
            # In 16 bits a sum loses nothing, and weights that share scales lose something.
            model, joined = join_layers(model, calibrated.ranges, prepared.pinned.keys(), _with_settings(calibrated))
        calibrated, types, changes = _types(replace(calibrated, model=model))
        model = calibrated.model
        granularity, symmetric = _granularity(calibrated), _symmetric(calibrated)
        assignment = assign(model, calibrated.measured, granularity, types, activations, prepared.pinned, symmetric)
        found = scale_blockers(model, assignment)
        if found:
            raise refusal(found, calibrated)
        tables = compute_tables(model, assignment, bench.evaluate)
    return Assigned(calibrated, replace(assignment, tables=tables), given, (*joined, *changes))


def _granularity(calibrated: Calibrated) -> Granularity:
    """That of the run, with what is asked for of single operators."""
    found = ((op, calibrated.prepared.asked(n, op).per_tensor) for n, op in calibrated.model.ops())
    return replace(calibrated.prepared.loaded.granularity, chosen={op: v for op, v in found if v is not None})


def _symmetric(calibrated: Calibrated) -> list[Tensor]:
    """Activations that are to have zero point 0, in order."""
    prepared = calibrated.prepared
    asked = (op for n, op in calibrated.model.ops() if prepared.asked(n, op).symmetric and not op.keep_float)
    made = [t for op in asked if not clamps_by_type(op) for t in op.outputs]
    return [*prepared.symmetric_inputs, *(t for t in made if t.dtype == "float32")]


def _types(calibrated: Calibrated) -> tuple[Calibrated, dict[Op, str], tuple[Change, ...]]:
    """Operators that do not compute in the type of the activations, in a model of the form they need, and what is said of it."""
    if calibrated.prepared.loaded.options.activations == "int8":
        calibrated, carried = _with_wide_streams(calibrated)
        calibrated, wide = _with_wide_squares(calibrated)
        named, refused = _named(calibrated), _refused(calibrated)
        carried = {op: kind for op, kind in carried.items() if op not in refused}
        wide = {op: kind for op, kind in wide.items() if op not in refused}
        why = "small values lie too close together for 8 bits: computes in int16"
        changes = [Change("widen", op.origin, op.kind, op.outputs[0].name, why) for op in wide if op not in {**named, **carried}]
        why = "part of a residual stream and its normalizations, which 8 bits would round again and again: computes in int16"
        changes += [Change("widen", op.origin, op.kind, op.outputs[0].name, why) for op in carried if op not in named]
        wide |= carried
        changes += [Change("widen", op.origin, op.kind, op.output_name, "computes in int16, as asked") for op in named]
        return calibrated, {**wide, **named}, tuple(changes)
    model = calibrated.model
    lacks = lacks_of(calibrated.prepared.loaded.options.target)
    narrow = {op: "int8" for _, op in model.ops() if op.kind in ROWS and not _takes_int16(op, lacks) and not op.keep_float}
    return calibrated, {**narrow, **dict.fromkeys(_refused(calibrated), "int8")}, ()


def _with_wide_streams(calibrated: Calibrated) -> tuple[Calibrated, dict[Op, str]]:
    """The model with streams that are carried in int16, and the operators that do, where the target runs them.

    Where the file has parameters of its own, these are kept, and with them the types.
    """
    prepared = calibrated.prepared
    if not target_of(prepared.loaded.options.target).wide_streams or prepared.pinned or calibrated.bounded:
        return calibrated, {}
    model, measured = calibrated.model, calibrated.measured
    done = wide_streams(model.main, measured.ranges)
    if not done.wide:
        return calibrated, {}
    measured = replace(measured, ranges={**measured.ranges, **done.ranges})
    model = with_graph(model, model.main, done.graph)
    return replace(calibrated, model=model, measured=measured), dict.fromkeys(done.wide, "int16")


def _with_wide_squares(calibrated: Calibrated) -> tuple[Calibrated, dict[Op, str]]:
    """The model with squares that can compute in int16 where they have to, and all operators that do."""
    model, measured = calibrated.model, calibrated.measured
    wide = wide_operators(model, measured.ranges)
    done = squares_apart(model.main, wide, measured.ranges)
    kinds = {new: kind for op, kind in wide.items() for new in done.made_by.get(op, (op,))}
    lacks = lacks_of(calibrated.prepared.loaded.options.target)
    kinds = {op: kind for op, kind in kinds.items() if _takes_int16(op, lacks)}
    if not done.made_by:
        return calibrated, kinds
    measured = replace(measured, ranges={**measured.ranges, **done.ranges})
    return replace(calibrated, model=with_graph(model, model.main, done.graph), measured=measured), kinds


def _takes_int16(op: Op, lacks: Lacks) -> bool:
    """Whether the target has a kernel that computes an operator in int16."""
    return has_int16(op) and "int16" not in lacks.get(op.kind, ())


def _named(calibrated: Calibrated) -> dict[Op, str]:
    """Operators that the user wants to compute in int16."""
    wide = calibrated.prepared.is_wide
    return {
        op: "int16"
        for number, op in calibrated.model.ops()
        if wide(number, op) and not op.keep_float and any(t.is_float for t in op.outputs)
    }


def _with_settings(calibrated: Calibrated) -> set[Op]:
    """Operators of which something is asked: they stay what they are."""
    prepared = calibrated.prepared
    return {op for number, op in calibrated.model.ops() if prepared.is_wide(number, op) or prepared.asked(number, op) != NOTHING}


def _refused(calibrated: Calibrated) -> set[Op]:
    """Operators that the user does not want to compute in int16."""
    asked = calibrated.prepared.asked
    return {op for number, op in calibrated.model.ops() if asked(number, op).int16 is False and not op.keep_float}


def refusal(found: list[Blocker], calibrated: Calibrated) -> NotIntegerError:
    """Blockers as an error; where ranges are bounds, samples are the first way out."""
    if not calibrated.bounded:
        return NotIntegerError(found)
    return NotIntegerError([replace(b, way_out=f"{GIVE_SAMPLES}; or {b.way_out}") for b in found])
