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
from pathlib import Path
from typing import Any

from fullint.auditing.audit import Finding, audit_model, chosen_rules, read_for_audit
from fullint.auditing.rules import Mend, Rule
from fullint.errors import Blocker, NotIntegerError, UsageError
from fullint.model.tflite import read_model
from fullint.quantization.build import build
from fullint.quantization.certify import certify
from fullint.quantization.decide import decide
from fullint.quantization.load import checked_source, load, require_float
from fullint.quantization.measure import open_all
from fullint.quantization.options import Options
from fullint.quantization.pipeline import Stage, run
from fullint.quantization.prepare import prepare, require_feasible
from fullint.quantization.report import QuantizeReport, Result, given_bytes, report_unchanged
from fullint.quantization.stage_values import Calibrated
from fullint.quantization.workbench import Workbench
from fullint.repairing.ranges import find_ranges
from fullint.repairing.select import RepairRequest, Selected, require_mendable, select
from fullint.reporting import SCHEMA_VERSION, Progress, Report
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
        fixed: the findings that were fixed, as they were in the given file.
        left: what an audit of the result still finds.
        assumptions: what the repair had to assume, in sentences.
        result: the report of the conversion, with its certificate.
    """

    schema_version: int
    fullint: str
    status: str
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


def repair_plan(
    model: str | Path | bytes,
    samples: Any = None,
    *,
    only: str | Sequence[str] | None = None,
    skip: str | Sequence[str] | None = None,
    keep_float: str | int | Sequence[str | int] | None = None,
    batch: int = 1,
    shape: str | Sequence[str] = (),
) -> RepairPlan:
    """What `repair` would fix of what `audit` finds, what it would leave, and what would stop it. Nothing is written.

    Args:
        model: path or bytes of a `.tflite`.
        samples: as in `repair`: with them, ranges need not be in the file.
        only: as in `repair`.
        skip: as in `repair`.
        keep_float: as in `repair`.
        batch: as in `repair`.
        shape: as in `repair`.

    Raises:
        ModelFormatError, UsageError: a file that is no model; a rule nobody knows.
    """
    options = Options(keep_float=keep_float, batch=batch, shape=shape)
    options.check()
    request = _request(model, samples, options, wanted_rules(only, skip), "auto")
    trail: list[Any] = []
    refused: tuple[Blocker, ...] = ()
    try:
        run(REPAIR_PLAN, request, None, trail)
    except NotIntegerError as e:
        refused = e.blockers
    fixed = tuple(_selected(trail).fixed)
    everything = audit_model(read_for_audit(model)).findings
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


def repair(
    model: str | Path | bytes,
    samples: Any = None,
    *,
    only: str | Sequence[str] | None = None,
    skip: str | Sequence[str] | None = None,
    keep_float: str | int | Sequence[str | int] | None = None,
    weights: str = "auto",
    num_samples: int | None = None,
    io: str = "auto",
    batch: int = 1,
    threads: int | None = None,
    min_sqnr: float = 15.0,
    target: str = "litert",
    shape: str | Sequence[str] = (),
    mean: float | Sequence[float] = 0.0,
    std: float | Sequence[float] = 255.0,
    layout: str = "NHWC",
    progress: Progress | None = None,
) -> Repaired:
    """Make a half-quantized or faulty model all integer from the file alone, verified and executed.

    Args:
        model: path or bytes of a `.tflite` that a quantizer made.
        samples: representative samples, as in `quantize`: needed where the file does not say enough, used to judge
            the result otherwise.
        only: rules whose findings to fix, in a sequence or joined by commas; all by default.
        skip: rules whose findings to leave as they are.
        keep_float: operators that stay as they are: indices, types or output names, in a sequence or with commas between.
        weights: "auto" (one scale per tensor where the whole file has it so, else one per channel),
            "per-channel" or "per-tensor".
        num_samples: use the first this many samples.
        io: type of the inputs and outputs that were float, or of each ("int8,float32"): "int8", "uint8", "int16",
            "float32" or "auto".
        batch: size to fix a dynamic batch at.
        threads: samples run at the same time; the number of cores by default.
        min_sqnr: dB against the given model below which there is no result.
        target: where the result is to run: "litert", "tflm", "ethos-u" or "edgetpu".
        shape: shape of an input with dynamic dimensions: "1,224,224,3", or "NAME=1,224,224,3" for each.
        mean: how a folder of images becomes samples, as in `quantize`.
        std: the same.
        layout: the same.
        progress: called with (stage, done, total) as the work goes on.

    Raises:
        NotIntegerError: operators that cannot be integer, or whose ranges only samples can tell.
        AccuracyError: the result's SQNR against the given model is below `min_sqnr`.
        VerificationError: the result broke a rule of the contract.
        SamplesError, ModelFormatError, UsageError, RuntimeFailure: bad samples, file, options, or a model the
            runtime does not run.
    """
    if weights not in ("auto", "per-channel", "per-tensor"):
        raise UsageError(f'weights must be auto, per-channel or per-tensor, not "{weights}"')
    options = Options(
        keep_float=keep_float,
        num_samples=num_samples,
        io=io,
        batch=batch,
        threads=threads,
        min_sqnr=min_sqnr,
        target=target,
        shape=shape,
        mean=mean,
        std=std,
        layout=layout,
    )
    options.check()
    request = _request(model, samples, options, wanted_rules(only, skip), weights)
    trail: list[Any] = []
    result: Result = run(REPAIR, request, progress, trail)
    return Repaired(result.model, _report(result, trail))


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


def _request(model: str | Path | bytes, samples: Any, options: Options, rules: Sequence[Rule], weights: str) -> RepairRequest:
    return RepairRequest(
        checked_source(model),
        samples,
        options,
        reject_bad_scales=False,
        apply_qat_params=False,
        require_every_output=True,
        rules=frozenset(rule.name for rule in rules),
        weights=weights,
    )


def _report(result: Result, trail: Sequence[Any]) -> RepairReport:
    """The report, from what the stages left behind."""
    selected = _selected(trail)
    calibrated = [value for value in trail if isinstance(value, Calibrated)]
    assumptions = (*selected.assumptions, *(a for c in calibrated[:1] for a in c.assumptions))
    left = audit_model(read_model(result.model)).findings
    status = "repaired" if selected.planned else "nothing-to-repair"
    return RepairReport(SCHEMA_VERSION, __version__, status, tuple(selected.fixed), left, assumptions, result.report)


def _selected(trail: Sequence[Any]) -> Selected:
    return next(value for value in trail if isinstance(value, Selected))
