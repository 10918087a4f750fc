"""What the report of `partition` says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fullint.documents import Block, Document, Line, Table, cut, many, size, some
from fullint.documents.wording import MOST_ROWS

if TYPE_CHECKING:
    from fullint.deployment.partition import Partition, PartitionReport


def partition_document(report: PartitionReport) -> Document:
    """How the graph is cut, before and after the repair if that was asked for."""
    blocks = list(_cut(report))
    after = report.after
    if after is not None:
        blocks += [Line(""), *_cut(after), Line("")]
        before = f"{many(report.partitions, 'partition')} ({report.kernels} by the delegate)"
        blocks.append(Line(f"{before} become {after.partitions} ({after.kernels})"))
    return Document(tuple(blocks))


def _cut(r: PartitionReport) -> Iterator[Block]:
    yield Line(f"{r.model or 'model'}, target {r.target}: {r.line}", "title")
    kernels = f"{many(r.kernels, 'kernel')} of the delegate, {100 * r.taken_macs_share:.1f} % of the multiply-accumulates"
    yield Line(f"{kernels}; {size(r.crossing_bytes)} cross the borders in a run", depth=1)
    if len(r.pieces) > 1:
        columns = ("partition", "runs on", "operators", "kinds", "MACs", "in", "out")
        yield Table(columns, tuple(_row(i, p) for i, p in enumerate(r.pieces[:MOST_ROWS])))
        if len(r.pieces) > MOST_ROWS:
            yield Line(f"and {len(r.pieces) - MOST_ROWS} more partitions (--json lists them all)", depth=1)
    for x in r.refused[:MOST_ROWS]:
        yield Line(f'not taken  op {x.index} {x.kind} "{cut(x.output)}": {x.reason}', depth=1)
    if len(r.refused) > MOST_ROWS:
        rest = Counter(x.kind for x in r.refused[MOST_ROWS:])
        yield Line(f"and {len(r.refused) - MOST_ROWS} more: {some(rest, len(rest))}", depth=1)
    yield Line(f"rules from {r.source}", depth=1)


def _row(index: int, p: Partition) -> tuple[str, ...]:
    where, macs = "delegate" if p.taken else "CPU", f"{100 * p.macs_share:.1f} %"
    return str(index), where, str(len(p.operators)), some(p.kinds, 3), macs, str(len(p.inputs)), str(len(p.outputs))
