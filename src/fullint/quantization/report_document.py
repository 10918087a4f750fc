"""What the report of `quantize` says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fullint.documents import Block, Document, Fact, Line, Table, many, size, some, spans
from fullint.documents.wording import MOST_ROWS
from fullint.frontends.report_document import conversion_fact
from fullint.options import model_name
from fullint.verification.report_document import certificate_blocks

if TYPE_CHECKING:
    from fullint.quantization.range_effect import NarrowedRange, RangesReport
    from fullint.quantization.report import QuantizeReport
    from fullint.quantization.stage_values import MixedReport, MixedStep, TriedForm

REQUANTIZES_SHOWN = 5
RANGES_SHOWN = 5


def quantize_document(report: QuantizeReport) -> Document:
    """The whole report."""
    return Document((_title(report), *quantize_blocks(report)))


def _title(report: QuantizeReport) -> Line:
    name = model_name(report.options)
    if report.status == "already-integer":
        return Line(f"{name}: already all integer; verified, run, and copied unchanged", "title")
    before, after = report.sizes["before"], report.sizes["after"]
    return Line(f"{name}: all integer{_but(report)}, {size(after)} (was {size(before)})", "title")


def _but(report: QuantizeReport) -> str:
    kept = report.kept_float
    if kept:
        how = "left as they were" if any(k.rule == "leave" for k in kept) else "kept in float"
        return f" except {many(len(kept), 'operator')} {how}"
    return " between float inputs and outputs" if report.float_operators else ""


def quantize_blocks(report: QuantizeReport) -> Iterator[Block]:
    """All but the title."""
    for k in report.kept_float[:MOST_ROWS]:
        yield Fact("left as it was" if k.rule == "leave" else "kept in float", f'op {k.index} {k.kind} "{k.output}"')
    if len(report.kept_float) > MOST_ROWS:
        yield Fact("", f"and {len(report.kept_float) - MOST_ROWS} more")
    if report.conversion is not None:
        yield conversion_fact(report.conversion)
    yield Fact("operators", f"{report.operators}, {report.float_operators} of them float  ({some(report.operator_counts)})")
    convs = report.conv_2d
    if convs.total:
        bias = "int64" if report.options.get("activations") == "int16" else "int32"
        yield Fact("CONV_2D", f"{convs.int8_weights_int32_bias} of {convs.total} with int8 weights and {bias} bias")
    if report.requantizes:
        yield Fact("requantizes", str(len(report.requantizes)))
    for r in report.requantizes[:REQUANTIZES_SHOWN]:
        yield Fact("", f"before {r.kind}, op {r.index}: {r.why}")
    for c in report.changes:
        if c.rule == "split_outputs":
            yield Fact("split", c.why.removeprefix("taken off: "))
    yield from _ends(report)
    if report.certificate is not None:
        yield from certificate_blocks(report.certificate)
    if report.ranges is not None:
        yield from _ranges(report.ranges)
    if report.mixed is not None:
        yield from _mixed(report.mixed)
    if report.trials:
        yield from _trials(report.trials)
    if report.corrected is not None and report.corrected.sqnr_db is not None and report.corrected is not report.certificate:
        yield Fact("corrected", f"{report.corrected.sqnr_db:.1f} dB against {report.corrected.reference}")
    spent = ", ".join(f"{name} {seconds:.2f}" for name, seconds in report.seconds.items())
    yield Fact("time", f"{sum(report.seconds.values()):.2f} s ({spent})")
    for finding in report.sample_findings:
        yield Line(f"samples: {finding.text}", "warning")
    for warning in report.warnings:
        yield Line(warning, "warning")


def _ranges(ranges: RangesReport) -> Iterator[Block]:
    """Ranges that were not made by min-max, those first that left out most of it, and what they gave."""
    counts: dict[str, int] = {}
    for t in ranges.tensors:
        counts[t.method] = counts.get(t.method, 0) + 1
    methods = ", ".join(f"{method} for {many(n, 'tensor')}" for method, n in counts.items())
    gave = f"; {ranges.sqnr_db:.1f} dB on {many(ranges.samples, 'sample')}" if ranges.sqnr_db is not None else ""
    plain = ", no model with min-max" if ranges.minmax_sqnr_db is None else f", {ranges.minmax_sqnr_db:.1f} dB with min-max"
    yield Fact("ranges", f"{methods}{gave}{plain if gave else ''}")
    for t in sorted(ranges.tensors, key=_kept)[:RANGES_SHOWN]:
        (low, high), (first, last) = t.chosen, t.minmax
        cut = f"[{low:.4g}, {high:.4g}] of [{first:.4g}, {last:.4g}], {100 * t.outside:.3g} % of the values outside"
        yield Fact("", f'"{t.tensor}" {t.method}: {cut}')


def _mixed(mixed: MixedReport) -> Iterator[Block]:
    """Which operators compute in int16, what each gave and cost, and what would be too slow."""
    gave = f"{mixed.before_sqnr_db:.1f} -> {mixed.after_sqnr_db:.1f} dB on {many(mixed.samples, 'sample')}"
    measured = f", {mixed.measured_latency:.2f} x measured here" if mixed.measured_latency is not None else ""
    slower = f"latency {mixed.predicted_latency:.2f} x by kernel times{measured}"
    yield Fact("int16", f"{gave}; {slower}" if mixed.chosen else f"{mixed.before_sqnr_db:.1f} dB: no operator chosen")
    kept = [s for s in mixed.steps if s.kept]
    if kept:
        yield Table(("operators", "types", "output", "gain dB", "SQNR dB", "latency"), tuple(map(_step, kept)))
    yield from _not_reached(mixed, [s for s in mixed.steps if not s.kept])


def _step(s: MixedStep) -> tuple[str, ...]:
    kinds = some({kind: s.kinds.count(kind) for kind in s.kinds})
    return (spans(s.operators), kinds, s.output, f"{s.gain_db:+.1f}", f"{s.sqnr_db:.1f}", f"{s.latency:.2f} x")


def _not_reached(mixed: MixedReport, dear: Sequence[MixedStep]) -> Iterator[Block]:
    """What is to be said where less was reached than wanted."""
    if mixed.reached:
        return
    right = mixed.accuracy
    of_accuracy = "" if right is None else f"{100 * right.after:.1f} % right, the float model {100 * right.before:.1f} %"
    got = (
        of_accuracy if mixed.wanted_sqnr_db is None else f"{mixed.after_sqnr_db:.1f} dB of the {mixed.wanted_sqnr_db:.1f} wanted"
    )
    said = f"mixed: {got}, with operators that are cheap in int16"
    if not dear:
        yield Line(f"{said}; no others were seen to help", "warning")
        return
    last = dear[-1]
    more = ",".join(map(str, sorted({*mixed.chosen, *(i for s in dear for i in s.operators)})))
    near = "it has" if mixed.wanted_sqnr_db is not None and last.sqnr_db >= mixed.wanted_sqnr_db else "it still has only"
    cost = f"{near} {last.sqnr_db:.1f} dB, at {last.latency:.1f} times the latency"
    yield Line(f"{said}; with --int16 {more} {cost}", "warning")


def _trials(trials: Sequence[TriedForm]) -> Iterator[Block]:
    """What the best effort tried, and what of it was kept."""
    kept = [t for t in trials if t.kept]
    yield Fact("tried", f"{many(len(trials), 'change')}, {len(kept) or 'none'} kept")
    for t in kept:
        yield Fact("", f"{t.what}: {t.gain_db:+.1f} dB")


def _kept(t: NarrowedRange) -> float:
    """Share of the range of min-max that was kept."""
    whole = max(t.minmax[1], 0.0) - min(t.minmax[0], 0.0)
    return (t.chosen[1] - t.chosen[0]) / whole if whole else 1.0


def _ends(report: QuantizeReport) -> Iterator[Block]:
    """What the codes of inputs and outputs stand for."""
    for label, ends in (("input", report.inputs), ("output", report.outputs)):
        for e in ends[:MOST_ROWS]:
            coded = (
                f", {e.low:.4g} to {e.high:.4g}: scale {e.scale:.6g}, zero point {e.zero_point}" if e.scale is not None else ""
            )
            yield Fact(label, f'"{e.name}" {e.dtype}{coded}')
    read = report.normalization
    if read is not None:
        mean, std = (",".join(f"{v:g}" for v in read[key]) for key in ("mean", "std"))
        yield Fact("images", f"(pixel - {mean}) / {std}, {read['layout']}")
