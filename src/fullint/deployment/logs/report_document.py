"""What the report of `readlog` says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fullint.deployment.logs.record import SIMULATED
from fullint.documents import Block, Document, Fact, Line, Table, cut, many
from fullint.documents.wording import MOST_ROWS

if TYPE_CHECKING:
    from fullint.deployment.logs.compilers import CompilerReport
    from fullint.deployment.logs.record import DelegateSaid
    from fullint.deployment.logs.report import LogReport

MOST_KINDS, MOST_ERRORS = 8, 3
"""Kinds of operators, and errors of a delegate, that are shown."""


def log_document(r: LogReport) -> Document:
    """Where the time goes, the float part, and the most that integers can gain."""
    return Document(tuple(_blocks(r)))


def _blocks(r: LogReport) -> Iterator[Block]:
    if r.compiler is not None:
        yield from _of_compiler(r.log, r.compiler)
        return
    yield from _of_run(r)
    for i, other in enumerate(r.others, 2):
        yield Line("")
        yield Line(f"run {i} in the same file", "title")
        yield from _of_run(other)


def _of_compiler(log: str, c: CompilerReport) -> Iterator[Block]:
    yield Line(
        f"{log}: a report of {c.compiler}, no log: {c.taken} of {many(c.operators, 'operator')} on the accelerator", "title"
    )
    if c.causes:
        yield Line("refused by themselves; what follows them is refused for that alone:", depth=1)
    for k in c.causes:
        yield Line(f"{k.count} {k.kind}: {k.status}", depth=2)
    behind = Counter[str]()
    for k in c.kinds:
        behind[k.status] += k.count
    if len(behind) > 1:
        yield Table(("status", "operators"), tuple((status, str(count)) for status, count in behind.most_common()))
    yield from (Fact(label, value) for label, value in c.figures)


def _of_delegate(d: DelegateSaid) -> Iterator[Block]:
    of = f" of {d.of}" if d.of is not None else ""
    took = f"{many(d.nodes, 'operator') if d.nodes is not None else 'some operators'}{of}"
    kernels = f" in {many(d.kernels, 'kernel')}" if d.kernels is not None and d.status == "part" else ""
    cut = f", {many(d.partitions, 'partition')}" if d.partitions is not None else ""
    said = {
        "whole": "takes the whole graph",
        "part": f"takes {took}{kernels}{cut}",
        "none": f"takes nothing{f' of {d.of} operators' if d.of is not None else ''}",
        "taken back": f"was to take {took}{cut}, failed, and was taken back",
        "created": "was created, and took nothing that the log shows",
    }[d.status]
    yield Fact(d.name, said)
    for reason in dict.fromkeys(x.reason for x in d.refused):
        kinds = ", ".join(x.kind for x in d.refused if x.reason == reason)
        yield Fact("", f"refuses {kinds}: {reason}")
    yield from (Fact("", text) for text in d.errors[:MOST_ERRORS])


def _of_run(r: LogReport) -> Iterator[Block]:
    host = f"  {SIMULATED}: its delegates were played by the host" if r.simulated else ""
    nodes = f"{r.nodes} nodes, " if r.nodes is not None else ""
    parts = f"{many(r.partitions, 'partition')}, " if r.partitions is not None else ""
    by = "by the profile" if r.profile else "by the tool, which has no profile of them"
    times = f"{r.total_ms:.1f} ms a run {by}" if r.total_ms else "no times"
    yield Line(f"{r.log}: {nodes}{parts}{times}{host}", "title")
    t = r.timing
    if t is not None:
        named = (
            ("init", t.init_ms),
            ("first", t.first_ms),
            ("warm-up", t.warmup_ms),
            ("mean", t.mean_ms),
            ("median", t.median_ms),
        )
        shown = [f"{name} {ms:.1f} ms" for name, ms in named if ms is not None]
        shown += [many(t.threads, "thread")] if t.threads is not None else []
        shown += [f"{t.memory_mb:.1f} MB"] if t.memory_mb is not None else []
        yield from [Fact("measured", ", ".join(shown))] if shown else []
    for said in r.said:
        yield from _of_delegate(said)
    rows = []
    for d in r.delegates:
        inside = "shown" if d.inside else "not in the log"
        rows.append((d.name, str(d.nodes or "-"), str(d.kernels), f"{d.ms:.2f}", f"{100 * d.share:.1f} %", inside))
    if rows:
        yield Table(("where", "nodes", "kernels", "ms a run", "share", "inside"), tuple(rows))
    for k in r.kinds[:MOST_KINDS]:
        yield Fact(k.kind, f"{100 * k.share:.1f} %, {k.ms:.2f} ms in {many(k.operators, 'operator')}")
    if r.slowest is not None and len(r.kinds) > 1:
        node, kind, ms, share = r.slowest
        yield Fact("slowest", f"{kind} at {node}: {100 * share:.1f} %, {ms:.2f} ms")
    if r.float_part is not None:
        p = r.float_part
        kernels = f" ({', '.join(map(str, p.by_kernel))} in {many(len(p.by_kernel), 'kernel')})" if p.by_kernel else ""
        operators = f"{many(p.operators, 'operator')}{kernels}, {p.operators_ms:.1f} ms"
        yield Fact("in float", f"{operators}; {many(p.conversions, 'conversion')}, {p.conversions_ms:.1f} ms")
        for name, count, ms in p.names[:MOST_ROWS]:
            yield Fact("", f"{count} x {name}: {ms:.1f} ms")
    if r.bound is not None:
        b = r.bound
        alone = f"without the conversions alone {b.conversions_only:.2f} x"
        yield Fact("all integer", f"{b.at_least:.2f} to {b.at_most:.2f} x as fast; {alone}")
        yield from (Fact("", text) for text in b.assumptions)
    for j in r.joined[:MOST_ROWS]:
        yield Line(f"{cut(j.row)}: {'; '.join(j.operators[:4])}", depth=1)
    for w in r.warnings:
        yield Line(w, "note")
