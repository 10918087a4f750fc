"""What the report of `benchmark` says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fullint.deployment.logs.record import SIMULATED
from fullint.documents import Block, Document, Line, Table, cut, many
from fullint.documents.wording import MOST_ROWS

if TYPE_CHECKING:
    from fullint.deployment.benchmark.report import BenchmarkReport, Comparison, ModelTiming, OperatorTime


def benchmark_document(r: BenchmarkReport) -> Document:
    """Latencies, profiles and comparisons."""
    columns = ("model", "ms (median)", "5 to 95 %", "mean", "first", "init", "memory", "runs")
    blocks: list[Block] = [Table(columns, tuple(map(_figures, r.timings)))]
    for t in r.timings:
        blocks += _profile(t)
    for c in r.comparisons:
        blocks += _comparison(c)
    blocks += [Line(n, "note") for n in r.notes]
    blocks += [Line(f"on the device: {line}") for line in r.device_commands]
    return Document(tuple(blocks))


def _figures(t: ModelTiming) -> tuple[str, ...]:
    name = cut(t.model) + (f"  {SIMULATED}" if t.simulated else "")
    spread = f"{t.p5_us / 1e3:.3f} to {t.p95_us / 1e3:.3f}"
    mean, first = f"{t.mean_us / 1e3:.3f} ± {t.std_us / 1e3:.3f}", f"{t.first_us / 1e3:.2f}"
    return name, f"{t.median_us / 1e3:.3f}", spread, mean, first, f"{t.init_ms:.1f}", f"{t.memory_mb:.1f} MiB", str(t.runs)


def _profile(t: ModelTiming) -> Iterator[Block]:
    if not t.operators:
        return
    mark = f"  {SIMULATED}" if t.simulated else ""
    cuts = f", {t.taken} of {t.nodes} operators taken, {many(t.partitions, 'partition')}" if t.taken else ""
    yield Line("")
    yield Line(
        f"{t.model or 'model'}: {t.profile_us / 1e3:.3f} ms a run by the profile, {t.delegate or t.kernels}{cuts}{mark}", "title"
    )
    outer = sorted((o for o in t.operators if not o.nested), key=lambda o: -o.us)
    yield Table(("op", "kind", "ms", "share", "ran as", "output"), tuple(_row(o, mark) for o in outer[:MOST_ROWS]))
    if len(outer) > MOST_ROWS:
        rest = sum(o.us for o in outer[MOST_ROWS:])
        yield Line(f"and {len(outer) - MOST_ROWS} more rows, {rest / 1e3:.3f} ms (--json and --csv list them all)", depth=1)
    if t.not_joined:
        yield Line(t.not_joined, depth=1)


def _row(o: OperatorTime, mark: str) -> tuple[str, ...]:
    ran = f"{o.node_type}{mark}" if o.kind != o.node_type else "LiteRT"
    index = str(o.operator) if o.operator >= 0 else "-"
    return index, o.kind or "-", f"{o.us / 1e3:.3f}", f"{100 * o.share:.1f} %", ran, cut(o.output)


def _comparison(c: Comparison) -> Iterator[Block]:
    faster = "as fast (95 % of the turns of this run)"
    yield Line("")
    yield Line(f"{cut(c.after)} against {cut(c.before)}: {c.ratio:.3f} x ({c.low:.3f} to {c.high:.3f}) {faster}", "title")
    rows = []
    for kind, (a, b) in list(c.kinds.items())[:MOST_ROWS]:
        rows.append((kind, f"{a / 1e3:.3f}", f"{b / 1e3:.3f}", f"{a / b:.2f}" if a > 0 and b > 0 else "-"))
    yield Table(("kind", "before ms", "after ms", "x"), tuple(rows))
    changed = sorted(c.operators, key=lambda o: -max(o.before_us, o.after_us))[: MOST_ROWS // 2]
    if changed:
        cells = ((o.kind, cut(o.output), f"{o.before_us / 1e3:.3f}", f"{o.after_us / 1e3:.3f}") for o in changed)
        yield Table(("operator", "output", "before ms", "after ms"), tuple(cells))
