"""Prepare: the float model in the form the op table speaks of, and the refusals that need no ranges."""

from __future__ import annotations

from functools import partial

from fullint.calibration.samples import WAYS
from fullint.delegates.targets import lacks_of
from fullint.errors import NotIntegerError, UsageError
from fullint.model.ir import Model
from fullint.model.subgraphs import LOOKUP, copy_model
from fullint.ops.structure import check_structure
from fullint.passes import prepare as run_passes
from fullint.passes.engine import sweep
from fullint.passes.expand_constants import expand_dequantize
from fullint.passes.input_ids import ids_as_integers
from fullint.passes.named_operators import keep_in_float
from fullint.passes.qat_params import apply_qat_params, forget_float_params, rounds_values
from fullint.passes.static_shapes import densify, fix_batch, fold_constants, forget_signatures
from fullint.passes.target_forms import forms_without
from fullint.quantization.feasibility import blockers, clamps_by_type, reads_of_nothing, without_int16
from fullint.quantization.operator_settings import NOTHING, asked_for
from fullint.quantization.range_selection import select_ranges
from fullint.quantization.stage_values import Loaded, Prepared
from fullint.quantization.workbench import Workbench
from fullint.reporting import Change
from fullint.targets import Target, target_of


def require_samples(bench: Workbench, loaded: Loaded) -> Loaded:
    """Raise UsageError where there is nothing to calibrate on, not even parameters of training, or too much."""
    samples, synthetic, stats = loaded.request.samples, loaded.options.synthetic, loaded.options.stats
    if stats is not None and synthetic:
        raise UsageError("give stats or synthetic, not both")
    if samples is None and stats is None and not synthetic and not rounds_values(loaded.model):
        raise UsageError("no representative samples; " + WAYS)
    if samples is not None and synthetic:
        raise UsageError("give samples or synthetic, not both")
    return loaded


def prepare(bench: Workbench, loaded: Loaded) -> Prepared:
    """A prepared copy of the model.

    Raises:
        UsageError: an option names an operator or input that is not there.
        NotIntegerError: a variable is read that nothing gives a value.
    """
    options, target = loaded.options, target_of(loaded.options.target)
    undefined = reads_of_nothing(loaded.model)
    if undefined:
        raise NotIntegerError(undefined)
    with bench.stage("prepare"):
        model, twins = copy_model(loaded.model)
        asked = asked_for(model, options)
        chosen = () if any(op.keep_float for _, op in model.ops()) else asked.keep
        keep_in_float(chosen)
        for number, graph in enumerate(model.graphs):
            graph.origin = number
        ranges = select_ranges(model, options.range_choices)
        pinned = {twins[t]: params for t, params in loaded.pinned.items()}
        changes = _fix_shapes(bench, loaded, model)
        changes += densify(model)
        forget_float_params(model)
        if loaded.request.apply_qat_params:
            found, done = apply_qat_params(model)
            pinned |= found
            changes += done
        changes += sweep(model, expand_dequantize)
        for entry in loaded.entries:
            changes += fold_constants(entry.view(model), bench.evaluate)
        ids = ids_as_integers(model)
        changes += ids
        check_structure(model)
        forms = forms_without(lacks_of(target.name), options.activations)
        changes += run_passes(
            model, bench.evaluate, target.looks_up(options.activations), wide=options.activations == "int16", forms=forms
        )
        # each loop has its own copies of its graphs by now, in another order
        settings = asked.settings(model)
    behind = " behind a CAST, since float32 is asked for" if options.io_types[0] == "float32" else ""
    notes = tuple(f'input "{c.output}" {c.why}{behind}' for c in ids)
    warnings = _warnings(model, target, options.activations, loaded.packed.unreadable)
    warnings += tuple(f"recipe: the model has no {item}, which a rule names" for item in asked.idle)
    asked_of = {(n, op): settings.get((n, op.origin), {}).get(op.kind, NOTHING) for n, op in model.ops()}
    clamped = [op for (_, op), s in asked_of.items() if s.symmetric and clamps_by_type(op)]
    warnings += tuple(f'symmetric: {op.kind} "{op.output_name}" keeps the zero point that its kernel needs' for op in clamped)
    if options.int16 is not None and not target.int16:
        warnings += (f"int16: {target.name} has no kernels for it, and leaves these operators to the CPU",)
    warnings += tuple(f"{whom} has no effect: it became part of other operators" for whom in asked.without_effect(model))
    return Prepared(
        loaded,
        model,
        pinned,
        len(chosen),
        tuple(changes),
        warnings,
        frozenset(),
        notes,
        ranges,
        settings,
        asked.symmetric_inputs,
    )


def _fix_shapes(bench: Workbench, loaded: Loaded, model: Model) -> list[Change]:
    """Static shapes everywhere, in place."""
    changes: list[Change] = []
    options, several = loaded.options, len(loaded.entries) > 1
    for entry in loaded.corrected or loaded.entries:  # the given file may be one that does not run
        one = entry.view(model)
        inputs = {None, *(t.name for t in one.main.inputs)}
        shapes = {n: s for n, s in options.shapes.items() if n in inputs or not several}
        changes += fix_batch(one, options.batch, partial(bench.shapes, entry.path), shapes)
    forget_signatures(model)
    return changes


def _warnings(model: Model, target: Target, activations: str, unreadable: str) -> tuple[str, ...]:
    said = (unreadable,) if unreadable else ()
    tables = [op for _, op in model.ops() if op.kind == LOOKUP]
    if not tables or target.looks_up(activations):
        return said
    names = ", ".join(f'"{op.outputs[0].name}"' for op in tables[:3])
    return (
        *said,
        f"{len(tables)} look-ups ({names}) will not run on {target.name}: {target.why}",
    )


def require_feasible(bench: Workbench, prepared: Prepared) -> Prepared:
    """Raise NotIntegerError where an operator has no integer form, whatever its ranges."""
    found = blockers(prepared.model) + without_int16(prepared.model, prepared.is_wide)
    if found:
        raise NotIntegerError(found)
    return prepared
