"""What the report of `partition` says."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

from fullint.documents import Block, Document, Line, Table, cut, many, size, some, spans
from fullint.documents.wording import MOST_ROWS

if TYPE_CHECKING:
    from fullint.deployment.partition import Partition, PartitionReport, Refusal

WIDTH, NAME = 72, 32
"""Characters of a line of a reason, and of a name in it: with its indent it fits a terminal of 80."""
MOST_KINDS, MOST_SPANS = 3, 24
NAMES = re.compile(r'"([^"]*)"')


def partition_document(report: PartitionReport) -> Document:
    """How the graph is cut, before and after the repair if that was asked for."""
    blocks = list(_of_target(report))
    for other in report.others:
        blocks += [Line(""), *_of_target(other)]
    return Document(tuple(blocks))


def _of_target(report: PartitionReport) -> list[Block]:
    blocks = list(_cut(report))
    after = report.after
    if after is not None:
        blocks += [Line(""), *_cut(after), Line("")]
        before = f"{many(report.partitions, 'partition')} ({report.kernels} by the delegate)"
        blocks.append(Line(f"{before} become {after.partitions} ({after.kernels})"))
    return blocks


def _cut(r: PartitionReport) -> Iterator[Block]:
    yield Line(f"{r.model or 'model'}, target {r.target}:", "title")
    yield from (Line(text, depth=1) for text in wrap(r.line, WIDTH))
    kernels = f"{many(r.kernels, 'kernel')} of the delegate, {100 * r.taken_macs_share:.1f} % of the MACs"
    yield Line(f"{kernels}; {size(r.crossing_bytes)} cross the borders", depth=1)
    if len(r.pieces) > 1:
        columns = ("partition", "runs on", "operators", "kinds", "MACs", "in", "out")
        yield Table(columns, tuple(_row(i, p) for i, p in enumerate(r.pieces[:MOST_ROWS])))
        if len(r.pieces) > MOST_ROWS:
            yield Line(f"and {len(r.pieces) - MOST_ROWS} more partitions (--json lists them all)", depth=1)
    groups = _by_reason(r.refused)
    for said, refused in groups[:MOST_ROWS]:
        first, *rest_of_it = wrap(f"not taken: {_operators(refused)}", WIDTH)
        yield Line(first, depth=1)
        yield from (Line(text, depth=2) for text in rest_of_it)
        yield from (Line(text, depth=3) for text in wrap(said, WIDTH))
    if len(groups) > MOST_ROWS:
        rest = Counter(x.kind for _, refused in groups[MOST_ROWS:] for x in refused)
        yield Line(f"and {len(groups) - MOST_ROWS} more reasons: {some(rest, len(rest))}", depth=1)
    if r.one_cut is not None:
        one = r.one_cut
        yield Line(f'op {one.index} {one.kind} "{cut(one.output, NAME)}" alone cuts the graph:', depth=1)
        yield Line(f"without it {many(one.partitions, 'partition')}, {one.kernels} by the delegate", depth=3)
    yield from (Line(text, depth=1) for text in wrap(f"says {r.source}", WIDTH))


def _by_reason(refused: Sequence[Refusal]) -> list[tuple[str, list[Refusal]]]:
    """Refusals with the same reason but for the names in it, which the first one's stand for."""
    groups: dict[str, list[Refusal]] = {}
    for x in refused:
        groups.setdefault(NAMES.sub("", x.reason), []).append(x)
    return [(NAMES.sub(lambda m: f'"{cut(m[1], NAME)}"', found[0].reason), found) for found in groups.values()]


def _operators(refused: Sequence[Refusal]) -> str:
    """Which operators: 3 CONV_2D (op 4-6), 1 MUL (op 9); the output's name where it is one alone."""
    if len(refused) == 1:
        (one,) = refused
        return f'op {one.index} {one.kind} "{cut(one.output, NAME)}"'
    kinds = list(dict.fromkeys(x.kind for x in refused))
    places = {kind: sorted(x.index for x in refused if x.kind == kind) for kind in kinds}
    shown = [f"{len(at)} {kind} (op {_few(at)})" for kind, at in itertools.islice(places.items(), MOST_KINDS)]
    return ", ".join(shown) + (f" and {len(kinds) - MOST_KINDS} kinds more" if len(kinds) > MOST_KINDS else "")


def _few(numbers: Sequence[int]) -> str:
    text = spans(numbers)
    return text if len(text) <= MOST_SPANS else f"{text[:MOST_SPANS].rpartition(', ')[0]}, …"


def _row(index: int, p: Partition) -> tuple[str, ...]:
    where, macs = "delegate" if p.taken else "CPU", f"{100 * p.macs_share:.1f} %"
    return str(index), where, str(len(p.operators)), some(p.kinds, 2), macs, str(len(p.inputs)), str(len(p.outputs))
