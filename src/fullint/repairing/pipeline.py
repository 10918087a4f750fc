"""`repair`: apply the fixes of the audit's findings, then verify, run and certify the result as `quantize` does.

    load -> select (audit; lift, cancel, keep) -> prepare -> ranges from the file -> decide -> build -> certify

`REPAIR` lists the stages in order; most are shared with `quantize`.

A half-quantized file contains most of what is needed: the parameters around each float island, the weights and the biases.
Ranges inside an island are derived from its neighbours or from bounds (`interval_bounds`). Where there is no bound, or the
bounds are too wide, samples are required, and the half-quantized model itself is run on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fullint.auditing.audit import audit_model, chosen_rules, read_for_audit
from fullint.auditing.rules import RULES_BY_NAME, Facts, Mend, Rule
from fullint.errors import Blocker, NotIntegerError, UsageError
from fullint.model.ir import Model
from fullint.model.tflite import read_model
from fullint.options import QuantizeOptions, RepairOptions, recipe_of_run, reported, takes, with_recipe
from fullint.quantization.build import build
from fullint.quantization.certify import certify
from fullint.quantization.decide import decide
from fullint.quantization.load import load, require_float
from fullint.quantization.on_target import require_target
from fullint.quantization.opened import open_all
from fullint.quantization.pipeline import DECIDE, Stage, run
from fullint.quantization.prepare import prepare, require_feasible
from fullint.quantization.report import Result, given_bytes, report_unchanged
from fullint.quantization.search import search
from fullint.quantization.stage_values import Calibrated, Loaded, Request
from fullint.quantization.workbench import Workbench
from fullint.repairing.ranges import find_ranges
from fullint.repairing.report import Repaired, RepairPlan, RepairReport
from fullint.repairing.select import RepairRequest, Selected, require_mendable, select
from fullint.reporting import SCHEMA_VERSION
from fullint.runtime.damaged_models import diagnosing
from fullint.version import __version__

__all__ = ["RepairPlan", "RepairReport", "Repaired", "repair", "repair_plan"]

SMALL_WEIGHTS = "it is a float model whose weights are stored in fewer bits"
ALWAYS = {
    Mend.STAMP: "a written model always has correct versions",
    Mend.SHAPE: "a written model always has static shapes",
    Mend.FOLLOW: "it depends on the operators next to it",
}
"""Fixes that cannot be skipped, and why."""


@takes(RepairOptions)
@diagnosing
def repair_plan(options: RepairOptions) -> RepairPlan:
    """Which findings `repair` would fix, which it would leave, and what would stop it. Nothing is written.

    Raises:
        ModelFormatError, UsageError: the file is not a model; a rule is unknown.
    """
    options = with_recipe(options)
    request = _request(options)
    trail: list[Any] = []
    refused: tuple[Blocker, ...] = ()
    try:
        run(REPAIR_PLAN, request, None, trail)
    except NotIntegerError as e:
        refused = e.blockers
    fixed = tuple(_selected(trail).fixed)
    everything = audit_model(read_for_audit(options.source)).findings
    known = {(f.rule, f.graph, f.index, f.output) for f in fixed}
    leave = tuple(f for f in everything if (f.rule, f.graph, f.index, f.output) not in known)
    return RepairPlan(SCHEMA_VERSION, fixed, leave, refused)


def wanted_rules(only: str | Sequence[str] | None, skip: str | Sequence[str] | None) -> list[Rule]:
    """The rules whose findings to fix: those in `only` (all by default) without those in `skip`.

    Raises:
        UsageError: a rule is unknown, or cannot be skipped.
    """
    without = chosen_rules(skip) if skip is not None and skip != () else ()
    for rule in without:
        if rule.mend in ALWAYS:
            raise UsageError(f"{rule.name} cannot be skipped: {ALWAYS[rule.mend]}")
    return [rule for rule in chosen_rules(None if only == () else only) if rule not in without]


@takes(RepairOptions)
@diagnosing
def repair(options: RepairOptions) -> Repaired:
    """Make a half-quantized or faulty model all integer, from the file alone where possible; the result is verified and run.

    Samples are required if the file lacks ranges; otherwise they are used to judge the result.

    Raises:
        NotIntegerError: an operator cannot be integer, or needs samples for its range.
        AccuracyError: the result's SQNR against the input model is below `min_sqnr`.
        VerificationError: the result breaks a rule of the contract.
        SamplesError, ModelFormatError, UsageError, RuntimeFailure: the samples, the file or an option is invalid, or the
            runtime does not run the model.
    """
    options = with_recipe(options)
    trail: list[Any] = []
    result: Result = run(REPAIR, _request(options), options.progress, trail)
    return Repaired(result.model, _report(result, options, trail))


def quantize_hybrid(bench: Workbench, loaded: Loaded) -> Loaded | Result:
    """What `quantize` makes of a float model whose weights are stored in fewer bits; any other model is handed on.

    Raises:
        UsageError: there are no samples, and such a model has no ranges.
    """
    if not is_hybrid(loaded.model):
        return loaded
    if loaded.request.samples is None:
        raise UsageError(f"{SMALL_WEIGHTS}: give samples (-c DATA), and repair does what fullint quantize does")
    options = loaded.options
    if options.min_sqnr == RepairOptions.min_sqnr:
        options = replace(options, min_sqnr=QuantizeOptions.min_sqnr)  # the bar of what is done
    value: Any = replace(
        loaded, request=Request(options), options=options, reference="the given model", assumptions=(SMALL_WEIGHTS,)
    )
    stages: tuple[Stage, ...] = (*DECIDE, build, search, require_target, certify)
    for stage in stages:
        value = stage(bench, value)
    result: Result = value
    return result


def require_activations(bench: Workbench, loaded: Loaded) -> Loaded:
    """Raise UsageError where a plan would be that of `quantize`."""
    if is_hybrid(loaded.model):
        raise UsageError(f"{SMALL_WEIGHTS}: repair does what fullint quantize does; see fullint quantize --plan")
    return loaded


def is_hybrid(model: Model) -> bool:
    """Whether no activation is quantized, but some weights are stored in fewer bits than they are computed in."""
    facts = Facts(model)
    stores = RULES_BY_NAME["hybrid-weights"].find
    return not facts.quantized and any(stores(op, facts) is not None for op in facts.place)


def hand_on_sound(bench: Workbench, selected: Selected) -> Selected | Result:
    """Return the file unchanged if there is nothing to fix; samples, if given, are still checked."""
    if selected.planned:
        return selected
    if selected.request.samples is not None:
        open_all(selected, selected.model)
    bench.shapes(selected.entries[0].path)
    data = given_bytes(selected.source)
    ignored = [name for name in ("int16", "allow_lost", "keep_float", "rules") if getattr(selected.options, name)]
    said = [f"{', '.join(ignored)}: no effect, since nothing is repaired"] if ignored else []
    return Result(data, report_unchanged(bench, selected, data, "unchanged", said))


DECIDE_REPAIR: tuple[Stage, ...] = (prepare, require_feasible, find_ranges, decide)
"""The stages from `Selected` to the parameters of all tensors."""
MEND: tuple[Stage, ...] = (select, require_mendable, hand_on_sound, *DECIDE_REPAIR, build, search, require_target, certify)
REPAIR: tuple[Stage, ...] = (load, quantize_hybrid, *MEND)
REPAIR_PLAN: tuple[Stage, ...] = (load, require_activations, select, require_mendable, require_float, *DECIDE_REPAIR)


def _request(options: RepairOptions) -> RepairRequest:
    return RepairRequest(
        options.of_quantize(),
        reject_bad_scales=False,
        apply_qat_params=False,
        require_every_output=True,
        can_split=False,
        rules=frozenset(rule.name for rule in wanted_rules(options.only, options.skip)),
        weights=options.weights,
        unsafe_fixes=options.unsafe_fixes,
    )


def _report(result: Result, options: RepairOptions, trail: Sequence[Any]) -> RepairReport:
    """The report, from the values that the stages returned (`trail`)."""
    selected = next((value for value in trail if isinstance(value, Selected)), None)
    if selected is None:
        return _of_hybrid(result, options)
    calibrated = [value for value in trail if isinstance(value, Calibrated)]
    assumptions = (*selected.assumptions, *(a for c in calibrated[:1] for a in c.assumptions))
    left = audit_model(read_model(result.model)).findings
    inner = replace(result.report, recipe=recipe_of_run(options).tables())
    status = "repaired" if selected.planned else "nothing-to-repair"
    fixed = tuple(selected.fixed)
    return RepairReport(SCHEMA_VERSION, __version__, status, reported(options), fixed, left, assumptions, inner, selected.unsafe)


def _of_hybrid(result: Result, options: RepairOptions) -> RepairReport:
    """The report where repair did what quantize does."""
    found = audit_model(read_for_audit(options.source)).findings
    left = audit_model(read_model(result.model)).findings
    gone = {(f.rule, f.graph, f.output) for f in left}
    fixed = tuple(f for f in found if (f.rule, f.graph, f.output) not in gone)
    return RepairReport(SCHEMA_VERSION, __version__, "quantized", reported(options), fixed, left, (SMALL_WEIGHTS,), result.report)


def _selected(trail: Sequence[Any]) -> Selected:
    return next(value for value in trail if isinstance(value, Selected))
