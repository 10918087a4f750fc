"""Partitions, logs and benchmarks for people: rich tables on standard output."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from fullint.cli.render.models import MOST_ROWS, console, cut, many, size
from fullint.deployment.logs.record import SIMULATED

if TYPE_CHECKING:
    from rich.console import Console

    from fullint.deployment.benchmark import BenchmarkReport, Comparison, ModelTiming
    from fullint.deployment.delegates import PartitionReport
    from fullint.deployment.logs import LogReport


def show_partition(report: PartitionReport) -> None:
    """The report of `fullint partition`."""
    out = console()
    _cut(out, report)
    if report.after is not None:
        out.print()
        _cut(out, report.after)
        out.print(
            f"\n{many(report.partitions, 'partition')} ({report.kernels} by the delegate) become "
            f"{report.after.partitions} ({report.after.kernels})"
        )


def _cut(out: Console, r: PartitionReport) -> None:
    out.print(f"{r.model or 'model'}, target {r.target}: {r.line}", markup=False, style="bold")
    out.print(
        f"  {many(r.kernels, 'kernel')} of the delegate, {100 * r.taken_macs_share:.1f} % of the multiply-accumulates; "
        f"{size(r.crossing_bytes)} cross the borders in a run"
    )
    if len(r.pieces) > 1:
        table = Table("piece", "runs on", "operators", "kinds", "MACs", "in", "out", box=None)
        for i, p in enumerate(r.pieces[:MOST_ROWS]):
            kinds = ", ".join(f"{n} {k}" for k, n in list(p.kinds.items())[:3]) + (", …" if len(p.kinds) > 3 else "")
            where = "delegate" if p.taken else "CPU"
            macs = f"{100 * p.macs_share:.1f} %"
            table.add_row(str(i), where, str(len(p.operators)), kinds, macs, str(len(p.inputs)), str(len(p.outputs)))
        out.print(table)
        if len(r.pieces) > MOST_ROWS:
            out.print(f"  and {len(r.pieces) - MOST_ROWS} more pieces (--json has them all)")
    for x in r.refused[:MOST_ROWS]:
        out.print(f'  not taken  op {x.index} {x.kind} "{cut(x.output)}": {x.reason}', markup=False)
    if len(r.refused) > MOST_ROWS:
        rest = Counter(x.kind for x in r.refused[MOST_ROWS:])
        out.print(f"  and {len(r.refused) - MOST_ROWS} more: {', '.join(f'{n} {k}' for k, n in rest.items())}")
    out.print(f"  rules from {r.source}", markup=False)


def show_log(r: LogReport) -> None:
    """The report of `fullint readlog`."""
    out = console()
    host = f"  {SIMULATED}: its delegates were played by the host" if r.simulated else ""
    nodes = f"{r.nodes} nodes, " if r.nodes is not None else ""
    parts = f"{many(r.partitions, 'partition')}, " if r.partitions is not None else ""
    out.print(f"{r.log}: {nodes}{parts}{r.total_ms:.1f} ms a run by the profile{host}", markup=False, style="bold")
    table = Table("where", "nodes", "kernels", "ms a run", "share", "inside", box=None)
    for d in r.delegates:
        inside = "shown" if d.inside else "not in the log"
        table.add_row(escape(d.name), str(d.nodes or "-"), str(d.kernels), f"{d.ms:.2f}", f"{100 * d.share:.1f} %", inside)
    out.print(table)
    if r.float_part is not None:
        p = r.float_part
        kernels = f" ({', '.join(map(str, p.by_kernel))} in {many(len(p.by_kernel), 'kernel')})" if p.by_kernel else ""
        out.print(
            f"  in float       {many(p.operators, 'operator')}{kernels}, {p.operators_ms:.1f} ms; "
            f"{many(p.conversions, 'conversion')}, {p.conversions_ms:.1f} ms"
        )
        for name, count, ms in p.names[:MOST_ROWS]:
            out.print(f"                 {count} x {name}: {ms:.1f} ms", markup=False)
    if r.bound is not None:
        b = r.bound
        out.print(f"  all integer    {b.at_least:.2f} to {b.at_most:.2f} x as fast; conversions alone {b.conversions_only:.2f} x")
        for text in b.assumptions:
            out.print(f"                 {text}", markup=False)
    for j in r.joined[:MOST_ROWS]:
        out.print(f"  {cut(j.row)}: {'; '.join(j.operators[:4])}", markup=False)
    for w in r.warnings:
        out.print(f"[yellow]note:[/yellow] {escape(w)}")


def show_benchmark(r: BenchmarkReport) -> None:
    """The report of `fullint benchmark`."""
    out = console()
    table = Table("model", "ms (median)", "5 to 95 %", "mean", "first", "init", "memory", "runs", box=None)
    for t in r.timings:
        spread = f"{t.p5_us / 1e3:.3f} to {t.p95_us / 1e3:.3f}"
        mean, first = f"{t.mean_us / 1e3:.3f} ± {t.std_us / 1e3:.3f}", f"{t.first_us / 1e3:.2f}"
        figures = (f"{t.median_us / 1e3:.3f}", spread, mean, first, f"{t.init_ms:.1f}", f"{t.memory_mb:.1f} MiB", str(t.runs))
        table.add_row(escape(cut(t.model)) + (f"  {SIMULATED}" if t.simulated else ""), *figures)
    out.print(table)
    for t in r.timings:
        _profile(out, t)
    for c in r.comparisons:
        _comparison(out, c)
    for n in r.notes:
        out.print(f"[yellow]note:[/yellow] {escape(n)}")
    for line in r.device_commands:
        out.print(f"on the device: {line}", markup=False, soft_wrap=True)


def _profile(out: Console, t: ModelTiming) -> None:
    if not t.operators:
        return
    outer = [o for o in t.operators if not o.nested]
    mark = f"  {SIMULATED}" if t.simulated else ""
    cuts = f", {t.taken} of {t.nodes} operators taken, {many(t.partitions, 'partition')}" if t.taken else ""
    name = t.delegate or t.kernels
    out.print(
        f"\n{t.model or 'model'}: {t.profile_us / 1e3:.3f} ms a run by the profile, {name}{cuts}{mark}",
        markup=False,
        style="bold",
    )
    table = Table("op", "kind", "ms", "share", "ran as", "output", box=None)
    for o in sorted(outer, key=lambda o: -o.us)[:MOST_ROWS]:
        ran = f"{o.node_type}{mark}" if o.kind != o.node_type else "LiteRT"
        index = str(o.operator) if o.operator >= 0 else "-"
        table.add_row(index, o.kind or "-", f"{o.us / 1e3:.3f}", f"{100 * o.share:.1f} %", escape(ran), escape(cut(o.output)))
    out.print(table)
    if len(outer) > MOST_ROWS:
        rest = sum(o.us for o in sorted(outer, key=lambda o: -o.us)[MOST_ROWS:])
        out.print(f"  and {len(outer) - MOST_ROWS} more rows, {rest / 1e3:.3f} ms (--json and --csv have them all)")
    if t.not_joined:
        out.print(f"  {t.not_joined}", markup=False)


def _comparison(out: Console, c: Comparison) -> None:
    faster = "as fast (95 % of the turns of this run)"
    out.print(
        f"\n{cut(c.after)} against {cut(c.before)}: {c.ratio:.3f} x ({c.low:.3f} to {c.high:.3f}) {faster}",
        markup=False,
        style="bold",
    )
    table = Table("kind", "before ms", "after ms", "x", box=None)
    for kind, (a, b) in list(c.kinds.items())[:MOST_ROWS]:
        table.add_row(escape(kind), f"{a / 1e3:.3f}", f"{b / 1e3:.3f}", f"{a / b:.2f}" if a > 0 and b > 0 else "-")
    out.print(table)
    changed = sorted(c.operators, key=lambda o: -max(o.before_us, o.after_us))[: MOST_ROWS // 2]
    if changed:
        table = Table("operator", "output", "before ms", "after ms", box=None)
        for o in changed:
            table.add_row(o.kind, escape(cut(o.output)), f"{o.before_us / 1e3:.3f}", f"{o.after_us / 1e3:.3f}")
        out.print(table)
