"""`audit`: findings about operators that are not integer, are integer but wrong, or will cost time or accuracy.

    bytes -> model -> Facts -> for each operator the rules of its scope -> findings

The model is not run; everything is read from the file. A float operator gets one finding, from the first rule that
explains it; an integer operator gets one from every rule that applies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fullint.auditing.layer_names import layer_of
from fullint.auditing.report_document import audit_document
from fullint.auditing.rules import RULES, RULES_BY_NAME, Facts, Found, Mend, Rule, Scope
from fullint.auditing.rules.base import LEVELS, Saturation
from fullint.auditing.saturation import MOST_SAMPLES, measure_saturation
from fullint.calibration.samples import ImageOptions, Reading, open_samples, slots
from fullint.documents import Document
from fullint.errors import FullintError, ModelFormatError, RuntimeFailure, UsageError
from fullint.files import check_name
from fullint.limits import limited
from fullint.model.census import count_float, is_float_op
from fullint.model.ir import Model, Op, Tensor
from fullint.model.tflite import internalise, read_model
from fullint.ops.base import CONVERSIONS
from fullint.ops.macs import macs
from fullint.ops.structure import check_readable
from fullint.options import numbers
from fullint.reporting import SCHEMA_VERSION, Report
from fullint.runtime.damaged_models import diagnosing
from fullint.targets import target_of
from fullint.version import __version__

SUFFIXES = (".tflite", ".lite", ".litert")
"""File name suffixes of models, when a folder is searched."""


@dataclass(frozen=True)
class Finding:
    """What one rule found about one operator, input or output.

    Attributes:
        rule: the rule's name, as `fullint explain` takes it.
        level: "error", "warning" or "note".
        graph: index of the subgraph.
        index: index of the operator in it, -1 for an input or output.
        kind: TFLite's name of the operator, "INPUT" or "OUTPUT".
        output: name of its first output tensor, or of the input or output.
        layer: name of the layer it comes from, if the tensor's name contains it.
        cause: what is wrong, naming the tensors and operators involved.
        evidence: the numbers behind the cause.
        macs_share: the operator's share of the model's multiply-accumulates, 0 to 1.
        fix: what to do about it.
        safe: whether the fix changes the model's results by no more than rounding; `repair` applies others on request only.
        repairable: whether `repair` can fix it.
    """

    rule: str
    level: str
    graph: int
    index: int
    kind: str
    output: str
    layer: str | None
    cause: str
    evidence: dict[str, Any]
    macs_share: float
    fix: str
    safe: bool
    repairable: bool


@dataclass(frozen=True)
class FileAudit:
    """The findings for one model.

    Attributes:
        file: its path, "" for bytes.
        error: why it could not be read, or None.
        not_run: why LiteRT did not run it on the samples, or None.
        operators, float_operators: counted as in `inspect`.
        float_macs_share: the share of multiply-accumulates that float operators perform, 0 to 1.
        counts: number of findings per rule, root causes before their consequences.
        findings: in operator order.
    """

    file: str
    error: str | None = None
    not_run: str | None = None
    operators: int = 0
    float_operators: int = 0
    float_macs_share: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, repr=False)
class AuditReport(Report):
    """The result of `audit`: one `FileAudit` per model."""

    schema_version: int
    fullint: str
    files: tuple[FileAudit, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings of all files."""
        return tuple(f for file in self.files for f in file.findings)

    def worst(self) -> str | None:
        """The highest level among the findings, or None if there are none."""
        return max((f.level for f in self.findings), key=LEVELS.index, default=None)

    def rows(self) -> list[dict[str, Any]]:
        """One row per finding, with the file it belongs to."""
        return [{"file": file.file, **vars(f)} for file in self.files for f in file.findings]

    def document(self) -> Document:
        """What the report says."""
        return audit_document(self)


@diagnosing
def audit(
    *models: str | Path | bytes,
    rule: str | Sequence[str] | None = None,
    target: str = "litert",
    runtime: str | None = None,
    samples: Any = None,
    num_samples: int | None = None,
    mean: float | Sequence[float] = 0.0,
    std: float | Sequence[float] = 255.0,
    layout: str = "NHWC",
    worker_memory: float | None = None,
    worker_seconds: float | None = None,
) -> AuditReport:
    """Find the operators of some models that are not integer, or wrong, and say why. Without samples, nothing is run.

    Args:
        models: paths or bytes of `.tflite` files, or folders to search for them.
        rule: names of the rules to apply, as a sequence or joined by commas; all by default.
        target: where the models will run: "litert", "tflm", "ethos-u", "edgetpu" or several joined by commas (the Edge TPU's
            compiler accepts old operator versions only).
        runtime: release of the runtime, such as "2.5.0": operator versions that are newer are reported. Defaults to the
            release of the target, if the target checks versions.
        samples: to run one model on, as in `quantize`: shows which values saturate, and in which operator that starts.
        num_samples: use the first N samples; 64 at most are used.
        mean, std, layout: of images, as in `quantize`.
        worker_memory, worker_seconds: limits of each process that runs a model, in GB and seconds of one run; as in
            `quantize`.

    Raises:
        ModelFormatError: the only model is not readable; with several models, the report says which are not.
        UsageError: the rule, target or release is unknown, or there is no model.
        SamplesError: the samples do not fit.
    """
    chosen = chosen_rules(rule)
    release = _release(runtime if runtime is not None else target_of(target).runtime or None)
    sources = list(dict.fromkeys(source for model in models for source in _sources(model)))
    if not sources:
        raise UsageError(f"no model found: give files, or folders that contain some ({', '.join(SUFFIXES)})")
    images = ImageOptions(numbers(mean), numbers(std), layout)
    if samples is not None and len(sources) > 1:
        raise UsageError("samples fit one model: audit one at a time with them")
    alone = len(sources) == 1 and not any(isinstance(m, str | Path) and Path(m).is_dir() for m in models)
    files = []
    for source in sources:
        try:
            with limited(worker_memory, worker_seconds):
                files.append(_one(source, chosen, release, samples, num_samples, images))
        except FullintError as e:
            if alone:
                raise
            files.append(FileAudit(_name(source), str(e).removeprefix(f"{_name(source)}: ")))
    return AuditReport(SCHEMA_VERSION, __version__, tuple(files))


def chosen_rules(rule: str | Sequence[str] | None) -> tuple[Rule, ...]:
    """The rules with these names; all rules for None.

    Raises:
        UsageError: a rule is unknown, or no name is given.
    """
    if rule is None:
        return RULES
    parts = rule.split(",") if isinstance(rule, str) else [n for r in rule for n in r.split(",")]
    names = [p.strip() for p in parts if p.strip()]
    if not names:
        raise UsageError("no rule is given; leave the option out to apply all rules")
    unknown = [n for n in names if n not in RULES_BY_NAME]
    if unknown:
        raise UsageError(f'unknown rule "{unknown[0]}"; the rules are: {", ".join(RULES_BY_NAME)}')
    return tuple(r for r in RULES if r.name in names)


def look(facts: Facts) -> Iterator[tuple[Op | Tensor, Rule, Found]]:
    """What all rules find, each with the operator or tensor it is about."""
    for graph in facts.model.graphs:
        if graph in facts.model.entries:
            for t in dict.fromkeys((*graph.inputs, *graph.outputs)):
                yield from ((t, r, f) for r in RULES if Scope.END in r.scopes and (f := r.find_end(t, graph, facts)))
        for op in graph.ops:
            yield from ((op, r, f) for r in RULES if Scope.EVERY in r.scopes and (f := r.find(op, facts)))
            if any(t.is_float for t in op.values()):
                border = op.kind in CONVERSIONS or (facts.quantized and op in facts.id_casts)
                yield from _first(op, Scope.BORDER if border else Scope.FLOAT, facts)
            else:
                yield from ((op, r, f) for r in RULES if Scope.INTEGER in r.scopes and (f := r.find(op, facts)))


def _first(op: Op, scope: Scope, facts: Facts) -> Iterator[tuple[Op, Rule, Found]]:
    for rule in RULES:
        if scope in rule.scopes and (found := rule.find(op, facts)):
            yield op, rule, found
            return


def finding(what: Op | Tensor, rule: Rule, found: Found, facts: Facts) -> Finding:
    """The finding as it appears in reports."""
    level = found.level or rule.level
    evidence = dict(found.evidence)
    if isinstance(what, Op):
        number, _ = facts.place[what]
        share = macs(what) / facts.total_macs if facts.total_macs else 0.0
        place = (number, what.origin, what.custom_code or what.kind, what.output_name, layer_of(what))
    else:
        graph = next(g for g in facts.model.entries if what in (*g.inputs, *g.outputs))
        share, end = 0.0, "INPUT" if what in graph.inputs else "OUTPUT"
        place = (facts.model.graphs.index(graph), -1, end, what.name, None)
    mends = (found.mend or rule.mend) is not Mend.NONE
    return Finding(rule.name, level, *place, found.cause, evidence, round(share, 6), found.fix, rule.safe_for(what, found), mends)


def audit_model(
    model: Model,
    rules: Sequence[Rule] = RULES,
    runtime: tuple[int, ...] | None = None,
    saturation: Mapping[Tensor, Saturation] | None = None,
) -> FileAudit:
    """The findings of these rules for a model in memory."""
    facts = Facts(model, runtime, saturation)
    chosen = set(rules)
    findings = tuple(finding(what, r, f, facts) for what, r, f in look(facts) if r in chosen)
    floats = sum(macs(op) for op in facts.place if is_float_op(op))
    return FileAudit(
        file="",
        operators=len(facts.place),
        float_operators=count_float(model),
        float_macs_share=round(floats / facts.total_macs, 6) if facts.total_macs else 0.0,
        counts={r.name: n for r in RULES if (n := sum(f.rule == r.name for f in findings))},
        findings=findings,
    )


def _one(
    source: Path | bytes,
    rules: Sequence[Rule],
    runtime: tuple[int, ...] | None,
    samples: Any,
    num_samples: int | None,
    images: ImageOptions,
) -> FileAudit:
    model = read_for_audit(source)
    saturation = not_run = None
    if samples is not None:
        most = min(num_samples or MOST_SAMPLES, MOST_SAMPLES)
        read = [*open_samples(samples, slots(model, tuple(model.main.inputs)), Reading(most, images))]
        try:
            saturation = measure_saturation(model, read)
        except RuntimeFailure as e:  # the findings may say why
            not_run = str(e)
    return replace(audit_model(model, rules, runtime, saturation), file=_name(source), not_run=not_run)


def read_for_audit(source: str | Path | bytes) -> Model:
    """Read a model without rejecting invalid scales, since rules report those.

    Raises:
        ModelFormatError: it is not a TFLite model, or its structure is broken; the message starts with the path.
    """
    try:
        model = read_model(source)
        internalise(model, None if isinstance(source, bytes) else Path(source).absolute().parent)
        check_readable(model, scales=False)
    except ModelFormatError as e:
        name = _name(source)
        raise ModelFormatError(str(e) if str(e).startswith(name) else f"{name}: {e}") from e
    return model


def _sources(model: str | Path | bytes) -> list[Path | bytes]:
    if isinstance(model, bytes):
        return [model]
    check_name(model)
    path = Path(model)
    if not path.is_dir():
        return [path]
    return [*models_in(path)]


def models_in(folder: Path) -> list[Path]:
    """Files of a folder, and of those below it, that are models by their names."""
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())


def _name(source: str | Path | bytes) -> str:
    return "" if isinstance(source, bytes) else str(source)


def _release(runtime: str | None) -> tuple[int, ...] | None:
    if runtime is None:
        return None
    try:
        numbers = tuple(int(part) for part in runtime.split("."))
        return (*numbers, 0, 0)[: max(3, len(numbers))]
    except ValueError as e:
        raise UsageError(f'runtime must be a release such as 2.5.0, not "{runtime}"') from e
