"""What each report says of single operators, for the pictures of its models.

audit finding "float-compute" at op 4      =>      op 4: mark "float-compute", fact "finding: why", fact "fix: what to do"
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from fullint.auditing.audit import AuditReport, Finding
from fullint.comparing.report import CompareReport
from fullint.deployment.benchmark.report import BenchmarkReport, ModelTiming
from fullint.deployment.logs.report import LogReport
from fullint.deployment.partition import PartitionReport
from fullint.model.ir import Model
from fullint.pages.graphs import Overlay
from fullint.quantization.report import QuantizeReport
from fullint.repairing.report import RepairReport
from fullint.reporting import Change, Report
from fullint.sensitivities.report import SensitivityReport

_OpFacts = dict[int, list[tuple[str, str]]]


def overlays(report: Report, models: Sequence[Model]) -> list[Overlay]:
    """One for each model, in the order in which the report has them: the given one, then the result."""
    if isinstance(report, AuditReport):
        return [_of_findings(report.findings)]
    if isinstance(report, PartitionReport):
        return [_of_partition(report)]
    if isinstance(report, QuantizeReport):
        return [_of_changes(report.changes), Overlay()]
    if isinstance(report, RepairReport):
        return [_of_repair(report), _of_findings(report.left)]
    if isinstance(report, CompareReport):
        return _of_compare(report, models)
    if isinstance(report, SensitivityReport):
        return [_of_sensitivity(report)]
    if isinstance(report, LogReport):
        return [_of_log(report)]
    if isinstance(report, BenchmarkReport):
        return [_of_timing(t) for t in report.timings]
    return [Overlay()] * len(models)


def _facts(found: Iterable[tuple[int, str, str]]) -> _OpFacts:
    facts: _OpFacts = defaultdict(list)
    for index, label, text in found:
        facts[index].append((label, text))
    return facts


def _of_repair(report: RepairReport) -> Overlay:
    found = _of_findings(report.fixed)
    done = _of_changes(report.result.changes).facts
    facts = {i: [*found.facts.get(i, ()), *done.get(i, ())] for i in {*found.facts, *done}}
    return Overlay(facts, found.marks)


def _of_findings(findings: Sequence[Finding]) -> Overlay:
    found = [x for x in findings if x.graph == 0 and x.index >= 0]
    said = ((x.index, label, text) for x in found for label, text in ((f"{x.level}: {x.rule}", x.cause), ("fix", x.fix)) if text)
    marks: dict[int, list[str]] = defaultdict(list)
    for x in found:
        marks[x.index].append(x.rule)
    return Overlay(_facts(said), marks)


def _of_partition(report: PartitionReport) -> Overlay:
    pieces = {op: i if p.taken else -1 for i, p in enumerate(report.pieces) for op in p.operators}
    marks = {x.index: ["not taken"] for x in report.refused}
    return Overlay(_facts((x.index, f"not taken by {report.target}", x.reason) for x in report.refused), marks, pieces)


def _of_changes(changes: Sequence[Change]) -> Overlay:
    return Overlay(_facts((c.index, "done" if c.done else "not done", c.why) for c in changes if c.index >= 0))


def _of_compare(report: CompareReport, models: Sequence[Model]) -> list[Overlay]:
    places = {name: i for i, op in enumerate(models[0].main.ops) for name in (t.name for t in op.outputs)}
    said: list[tuple[int, str, str]] = []
    marks: dict[int, list[str]] = {}
    twins: dict[int, list[int]] = {}
    for x in report.operators:
        figures = (("SQNR", x.sqnr_db), ("SQNR of what it adds itself", x.added_db), ("SQNR of what it inherits", x.inherited_db))
        said += [(x.index, label, f"{db:.1f} dB") for label, db in figures if db is not None]
        said += [(x.index, "saturated", f"{100 * part:.2f} %") for part in (x.saturated,) if part]
        said += [(x.index, label, text) for label, text in (("cause", x.cause), ("fix", x.fix)) if text]
        twins[x.index] = [places[x.exact_output]] if x.exact_output in places else []
        if x.suspect:
            marks[x.index] = ["suspect"]
    measures = (
        ("SQNR", "dB", True, {x.index: x.sqnr_db for x in report.operators}),
        ("SQNR of what it adds itself", "dB", True, {x.index: x.added_db for x in report.operators if x.added_db is not None}),
    )
    return [Overlay(), Overlay(_facts(said), marks, measures=measures, twins=twins)]


def _of_sensitivity(report: SensitivityReport) -> Overlay:
    said: list[tuple[int, str, str]] = []
    shares: dict[int, float] = {}
    for unit in report.units:
        for op in unit.operators:
            gains = (("if it stayed float", unit.float_gain_db), ("in int16", unit.int16_gain_db))
            said += [(op, "integer alone", f"{db:.1f} dB at the outputs") for db in (unit.alone_db,) if db is not None]
            said += [(op, label, f"{db:+.1f} dB") for label, db in gains if db is not None]
            if unit.share is not None:
                shares[op] = 100 * unit.share
    return Overlay(_facts(said), measures=(("share of the outputs' noise", "%", False, shares),))


def _of_log(report: LogReport) -> Overlay:
    """A row's time is the first of its operators', and said at all of them."""
    times: dict[int, float] = defaultdict(float)
    said: list[tuple[int, str, str]] = []
    for row in report.joined:
        if row.indices:
            times[row.indices[0]] += 1000 * row.ms
        others = f" with {len(row.indices) - 1} more" if len(row.indices) > 1 else ""
        said += [(i, "time in the log", f"{1000 * row.ms:,.1f} us, the row {row.row}{others}") for i in row.indices]
    measures: Sequence[tuple[str, str, bool, Mapping[int, float]]] = (("time in the log", "us", False, times),)
    return Overlay(_facts(said), measures=measures)


def _of_timing(timing: ModelTiming) -> Overlay:
    times: dict[int, float] = defaultdict(float)
    said: list[tuple[int, str, str]] = []
    for x in timing.operators:
        if x.operator >= 0 and x.subgraph == 0:
            times[x.operator] += x.us
            said.append((x.operator, "time", f"{x.us:,.1f} us, {100 * x.share:.1f} %, as {x.node_type}"))
    measures: Sequence[tuple[str, str, bool, Mapping[int, float]]] = (("time", "us", False, times),)
    return Overlay(_facts(said), measures=measures)
