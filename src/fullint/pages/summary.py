"""The few lines above the pictures: what was float, why, what was done, how good it is, what is left.

float before   6 of 82 CONV_2D, 4.8 % of the multiply-accumulates: op 5, 23, 32, 36, 48, 58
why            5 times shared-constant-conflict: Operators that share one constant … (op 5, 23, 36, 48, 58)
done           5 times: give each operator its own copy
check          28.9 dB against the given model on 16 random samples; worst output "…:1": 23.8 dB
time           about 4.3 ms on one core of a desktop, by a table; most in op 100 CONV_2D 5 %, …
left           nothing that has to be done; judge it on samples of your data (-c)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from fullint.auditing.audit import Finding
from fullint.auditing.explain import explain
from fullint.auditing.rules.base import LEVELS
from fullint.documents import Block, Fact, cut, many, some, spans
from fullint.model.census import is_float_op
from fullint.model.ir import Model, Op
from fullint.ops.kernel_times import operator_us
from fullint.ops.macs import macs
from fullint.quantization.report import QuantizeReport
from fullint.repairing.report import RepairReport
from fullint.reporting import Report

_MOST_FIXES = 4
_MOST_SLOW = 3


def summary(report: Report, models: Sequence[Model]) -> Iterator[Block]:
    """Facts for the top of a page about a model and what was made of it; nothing for other reports."""
    if len(models) != 2 or not isinstance(report, QuantizeReport | RepairReport):
        return
    before, after = (m.main.ops for m in models)
    yield Fact("float before", _floats(before))
    if isinstance(report, RepairReport):
        yield from _why(report.fixed)
    was, now = (sum(map(is_float_op, ops)) for ops in (before, after))
    yield Fact("", f"{was} of {len(before)} operators touched floats; {now} of {len(after)} do now")
    result = report.result if isinstance(report, RepairReport) else report
    yield from _check(result)
    yield from _time(after)
    yield Fact("left", _left(report, result))


def _why(fixed: Sequence[Finding]) -> Iterator[Block]:
    """The causes in a sentence each, and what was done about each; without those that follow from others."""
    groups: dict[str, list[Finding]] = {}
    for f in fixed:
        groups.setdefault(f.rule, []).append(f)
    label = "why"
    for rule, found in sorted(groups.items(), key=lambda item: -LEVELS.index(item[1][0].level)):
        says = explain(rule).rules[0].summary.rstrip(".")
        yield Fact(label, f"{many(len(found), 'time')} {rule}: {says} (op {cut(spans([f.index for f in found]))})")
        label = ""
    label = "done"
    for fix, count in Counter(f.fix.partition(":")[0] for f in fixed).most_common(_MOST_FIXES):
        yield Fact(label, f"{many(count, 'time')}: {fix}")
        label = ""


def _time(ops: Sequence[Op]) -> Iterator[Block]:
    """Where the time goes by the table of kernel times."""
    times = {i: operator_us(op) for i, op in enumerate(ops)}
    total = sum(times.values())
    most = sorted(times, key=lambda i: -times[i])[:_MOST_SLOW]
    if total and not any(map(is_float_op, ops)):
        named = ", ".join(f"op {i} {ops[i].kind} {100 * times[i] / total:.0f} %" for i in most)
        yield Fact("time", f"about {total / 1000:.1f} ms on one core of a desktop, by a table; most in {named}")


def _floats(ops: Sequence[Op]) -> str:
    found = [(i, op) for i, op in enumerate(ops) if is_float_op(op) and macs(op)]
    if not found:
        return "no operator that multiplies"
    kinds = Counter(op.kind for _, op in found)
    all_of = Counter(op.kind for op in ops)
    total = sum(macs(op) for op in ops) or 1
    share = sum(macs(op) for _, op in found) / total
    said = ", ".join(f"{n} of {all_of[kind]} {kind}" for kind, n in kinds.items())
    return f"{said}, {100 * share:.1f} % of the multiply-accumulates: op {cut(spans([i for i, _ in found]))}"


def _check(report: QuantizeReport) -> Iterator[Block]:
    c = report.certificate
    if c is None:
        return
    samples = (
        f"{c.samples} random samples: only real ones (-c) tell how good it is"
        if c.drawn or c.uncalibrated
        else many(c.samples, "sample")
    )
    known = [(o.sqnr_db, o.name) for o in c.outputs if o.sqnr_db is not None]
    if c.sqnr_db is None or not known:
        yield Fact("check", f"ran on {samples}")
        return
    db, name = min(known)
    worst = f'; worst output "{cut(name)}": {db:.1f} dB' if len(known) > 1 else ""
    yield Fact("check", f"{c.sqnr_db:.1f} dB of signal to noise against {c.reference} on {samples}{worst}")
    yield Fact("", "20 dB: a tenth of the size of the values; 30 dB: a thirtieth; 40 dB: a hundredth")


def _left(report: Report, result: QuantizeReport) -> str:
    c = result.certificate
    again = "; judge it on samples of your data (-c)" if c is not None and (c.drawn or c.uncalibrated) else ""
    return f"{_needed(report)}{again}"


def _needed(report: Report) -> str:
    if not isinstance(report, RepairReport):
        return "nothing" if isinstance(report, QuantizeReport) and not report.kept_float else "operators that were kept in float"
    needed = [f for f in (*report.left, *report.unsafe) if f.level != "note"]
    if needed:
        return some(Counter(f"{f.rule} ({f.level})" for f in needed))
    notes = f" ({many(len(report.left), 'note')} below)" if report.left else ""
    return f"nothing that has to be done{notes}"
