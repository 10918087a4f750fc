"""What the report of `readlog` says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fullint.deployment.logs.record import SIMULATED
from fullint.documents import Block, Document, Fact, Line, Table, cut, many
from fullint.documents.wording import MOST_ROWS

if TYPE_CHECKING:
    from fullint.deployment.logs.analysis import LogReport


def log_document(r: LogReport) -> Document:
    """Where the time goes, the float part, and the most that integers can gain."""
    return Document(tuple(_blocks(r)))


def _blocks(r: LogReport) -> Iterator[Block]:
    host = f"  {SIMULATED}: its delegates were played by the host" if r.simulated else ""
    nodes = f"{r.nodes} nodes, " if r.nodes is not None else ""
    parts = f"{many(r.partitions, 'partition')}, " if r.partitions is not None else ""
    yield Line(f"{r.log}: {nodes}{parts}{r.total_ms:.1f} ms a run by the profile{host}", "title")
    rows = []
    for d in r.delegates:
        inside = "shown" if d.inside else "not in the log"
        rows.append((d.name, str(d.nodes or "-"), str(d.kernels), f"{d.ms:.2f}", f"{100 * d.share:.1f} %", inside))
    yield Table(("where", "nodes", "kernels", "ms a run", "share", "inside"), tuple(rows))
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
