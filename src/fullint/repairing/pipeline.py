"""Repair: the fixes of the findings, applied; then verified, executed and certified as `quantize` does.

    load -> select (audit; lift, cancel, keep) -> prepare -> ranges from the file -> decide -> build -> certify

`REPAIR` lists the stages in order; most of them are those of `quantize`.

A half-quantized file holds most of what is needed: the parameters around each float island, the weights, the
biases. What lies inside an island follows from its neighbours or from bounds (`interval_bounds`); where nothing bounds a
value, or the bounds are too wide, samples are asked for, and the half-quantized model itself is run on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fullint.auditing.audit import Finding, audit_model, chosen_rules, read_for_audit
from fullint.auditing.rules import Mend, Rule
from fullint.errors import Blocker, NotIntegerError, UsageError
from fullint.model.tflite import read_model
from fullint.options import RepairOptions, reported, takes
from fullint.quantization.build import build
from fullint.quantization.certify import certify
from fullint.quantization.decide import decide
from fullint.quantization.load import load, require_float
from fullint.quantization.measure import open_all
from fullint.quantization.pipeline import Stage, run
from fullint.quantization.prepare import prepare, require_feasible
from fullint.quantization.report import QuantizeReport, Result, given_bytes, report_unchanged
from fullint.quantization.stage_values import Calibrated
from fullint.quantization.workbench import Workbench
from fullint.repairing.ranges import find_ranges
from fullint.repairing.select import RepairRequest, Selected, require_mendable, select
from fullint.reporting import SCHEMA_VERSION, Report
from fullint.version import __version__

ALWAYS = {
    Mend.STAMP: "what is written is stamped right",
    Mend.SHAPE: "what is written has static shapes",
    Mend.FOLLOW: "it goes, or stays, with the operators beside it",
}
"""Fixes that are no choice, and why."""


@dataclass(frozen=True)
class RepairPlan(Report):
    """What `repair` would do.

    Attributes:
        fix: findings it would fix.
        leave: findings it would leave.
        refused: why it would end without a result, operator by operator; empty where the file, and the samples if
            there are any, say enough.
    """

    schema_version: int
    fix: tuple[Finding, ...]
    leave: tuple[Finding, ...]
    refused: tuple[Blocker, ...]

    def rows(self) -> list[dict[str, Any]]:
        """The findings, and whether each would be fixed."""
        return [{"fix": done, **vars(f)} for done, group in ((True, self.fix), (False, self.leave)) for f in group]


@dataclass(frozen=True)
class RepairReport(Report):
    """Everything `repair` did.

    Attributes:
        status: "repaired", or "nothing-to-repair".
        options: what was asked for: `repair(**options)` repeats the run.
        fixed: the findings that were fixed, as they were in the given file.
        left: what an audit of the result still finds.
        assumptions: what the repair had to assume, in sentences.
        result: the report of the conversion, with its certificate.
    """

    schema_version: int
    fullint: str
    status: str
    options: dict[str, Any]
    fixed: tuple[Finding, ...]
    left: tuple[Finding, ...]
    assumptions: tuple[str, ...]
    result: QuantizeReport

    def rows(self) -> list[dict[str, Any]]:
        """The findings, and whether each is fixed."""
        return [{"fixed": done, **vars(f)} for done, group in ((True, self.fixed), (False, self.left)) for f in group]


@dataclass(frozen=True)
class Repaired:
    """The repaired model's bytes and its report."""

    model: bytes
    report: RepairReport


@takes(RepairOptions)
def repair_plan(options: RepairOptions) -> RepairPlan:
    """What `repair` would fix of what `audit` finds, what it would leave, and what would stop it. Nothing is written.

    Raises:
        ModelFormatError, UsageError: a file that is no model; a rule nobody knows.
    """
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
    """The rules to act on.

    Raises:
        UsageError: a rule nobody knows, or one that cannot be skipped.
    """
    without = chosen_rules(skip) if skip is not None and skip != () else ()
    for rule in without:
        if rule.mend in ALWAYS:
            raise UsageError(f"{rule.name} cannot be skipped: {ALWAYS[rule.mend]}")
    return [rule for rule in chosen_rules(None if only == () else only) if rule not in without]


@takes(RepairOptions)
def repair(options: RepairOptions) -> Repaired:
    """Make a half-quantized or faulty model all integer from the file alone, verified and executed.

    Samples are needed where the file does not say enough, and judge the result otherwise.

    Raises:
        NotIntegerError: operators that cannot be integer, or whose ranges only samples can tell.
        AccuracyError: the result's SQNR against the given model is below `min_sqnr`.
        VerificationError: the result broke a rule of the contract.
        SamplesError, ModelFormatError, UsageError, RuntimeFailure: bad samples, file, options, or a model the
            runtime does not run.
    """
    trail: list[Any] = []
    result: Result = run(REPAIR, _request(options), options.progress, trail)
    return Repaired(result.model, _report(result, options, trail))


def hand_on_sound(bench: Workbench, selected: Selected) -> Selected | Result:
    """A file with nothing to fix is the result as it is; samples, if there are any, must fit it all the same."""
    if selected.planned:
        return selected
    if selected.request.samples is not None:
        open_all(selected, selected.model)
    bench.shapes(selected.entries[0].path)
    data = given_bytes(selected.source)
    return Result(data, report_unchanged(bench, selected, data, "unchanged"))


DECIDE_REPAIR: tuple[Stage, ...] = (prepare, require_feasible, find_ranges, decide)
"""From what was selected to the parameters of all tensors."""
REPAIR: tuple[Stage, ...] = (load, select, require_mendable, hand_on_sound, *DECIDE_REPAIR, build, certify)
REPAIR_PLAN: tuple[Stage, ...] = (load, select, require_mendable, require_float, *DECIDE_REPAIR)


def _request(options: RepairOptions) -> RepairRequest:
    return RepairRequest(
        options.of_quantize(),
        reject_bad_scales=False,
        apply_qat_params=False,
        require_every_output=True,
        rules=frozenset(rule.name for rule in wanted_rules(options.only, options.skip)),
        weights=options.weights,
    )


def _report(result: Result, options: RepairOptions, trail: Sequence[Any]) -> RepairReport:
    """The report, from what the stages left behind."""
    selected = _selected(trail)
    calibrated = [value for value in trail if isinstance(value, Calibrated)]
    assumptions = (*selected.assumptions, *(a for c in calibrated[:1] for a in c.assumptions))
    left = audit_model(read_model(result.model)).findings
    status = "repaired" if selected.planned else "nothing-to-repair"
    fixed = tuple(selected.fixed)
    return RepairReport(SCHEMA_VERSION, __version__, status, reported(options), fixed, left, assumptions, result.report)


def _selected(trail: Sequence[Any]) -> Selected:
    return next(value for value in trail if isinstance(value, Selected))
