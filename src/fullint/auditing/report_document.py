"""What the reports of `audit`, `inspect` and `explain` say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fullint.documents import Block, Document, Line, Table, cut, many, size, some, spans
from fullint.documents.wording import MOST_ROWS

if TYPE_CHECKING:
    from fullint.auditing.audit import AuditReport, FileAudit, Finding
    from fullint.auditing.explain import RulePage
    from fullint.auditing.inspect import Inspection
    from fullint.delegates.micro_kernels import OptimizedKernels, SlowOperator
    from fullint.delegates.micro_memory import MicroMemory


def audit_document(report: AuditReport) -> Document:
    """The findings of one file; of several, a table with their counts."""
    if len(report.files) == 1:
        return Document(tuple(_of_file(report.files[0])))
    columns = ("file", "operators", "float", "MACs in float", "errors", "warnings", "notes", "rules")
    last = (
        f"{many(len(report.files), 'file')}, {many(len(report.findings), 'finding')}; audit one file, or use --json, to see them"
    )
    return Document.of(Table(columns, tuple(map(_row, report.files))), Line(""), Line(last))


def _row(f: FileAudit) -> tuple[str, ...]:
    if f.error:
        return (f.file, *["-"] * 6, f.error)
    levels = Counter(x.level for x in f.findings)
    counts = (str(levels[level]) for level in ("error", "warning", "note"))
    rules = ", ".join(f"{n} {rule}" for rule, n in f.counts.items())
    return (f.file, str(f.operators), str(f.float_operators), f"{100 * f.float_macs_share:.1f} %", *counts, rules)


def _of_file(f: FileAudit) -> Iterator[Block]:
    if f.error:
        yield Line(f.error, "title")
        return
    share = f", {100 * f.float_macs_share:.1f} % of the multiply-accumulates" if f.float_operators else ""
    of = f"{many(f.operators, 'operator')}, {f.float_operators} of them float{share}"
    yield Line(f"{f.file or 'model'}: {of}; {many(len(f.findings), 'finding')}", "title")
    if f.not_run:
        yield Line(f"not run on the samples: {f.not_run}", "warning")
    for rule, count in f.counts.items():
        found = [x for x in f.findings if x.rule == rule]
        levels = ", ".join(f"{n} {level}" for level, n in Counter(x.level for x in found).items())
        yield Line("")
        yield Line(f"{rule} ({levels})", "heading", 1)
        yield from (finding_line(x) for x in found[:MOST_ROWS])
        if count > MOST_ROWS:
            yield Line(f"and {count - MOST_ROWS} more (--json lists them all)", depth=2)
        ways = list(dict.fromkeys(x.fix for x in found))
        more = f", and {len(ways) - 1} like it" if len(ways) > 1 else ""
        yield Line(f"fix: {ways[0]}{more}{_how(found[0])}", depth=2)


def _how(x: Finding) -> str:
    """The command that fixes a finding, if there is one."""
    if not x.repairable:
        return ""
    return " (fullint repair)" if x.safe else " (fullint repair --unsafe-fixes)"


def finding_line(x: Finding) -> Line:
    """One finding: where, and what is wrong."""
    where = f"op {x.index}" if x.index >= 0 else "the"
    where = f"subgraph {x.graph} {where}" if x.graph else where
    layer = f" (layer {x.layer})" if x.layer and x.layer != x.output else ""
    macs = f", {100 * x.macs_share:.1f} % of MACs" if x.macs_share >= 0.0005 else ""
    return Line(f'{where} {x.kind} "{cut(x.output)}"{layer}{macs}: {x.cause}', depth=2)


def inspection_document(found: Inspection) -> Document:
    """Inputs, outputs, signatures and the table of operators; or a snippet and nothing else, so that it can go to a file."""
    blocks = map(_code_line, found.snippet.splitlines()) if found.snippet else _of_inspection(found)
    return Document(tuple(blocks))


def _code_line(line: str) -> Line:
    """A line of code; its indentation is depth, which every rendering keeps."""
    depth = (len(line) - len(line.lstrip(" "))) // 2
    return Line(line[2 * depth :], depth=depth)


MOST_ALIVE = 4
"""Tensors of the peak that are named."""


def _of_inspection(found: Inspection) -> Iterator[Block]:
    counts = f"{many(found.operators, 'operator')}, {found.float_operators} of them float"
    macs = f"{found.macs / 1e6:.2f} M MACs, {many(found.subgraphs, 'subgraph')}"
    yield Line(f"{found.file or 'model'}: {size(found.file_bytes)}, {counts}, {macs}", "title")
    for what, tensors in (("input", found.inputs), ("output", found.outputs)):
        for t in tensors:
            signature = f" (signature {list(t.shape_signature)})" if t.shape_signature else ""
            quantization = f" {t.quantization}" if t.quantization else ""
            yield Line(f'{what} "{t.name}" {t.dtype}{list(t.shape)}{signature}{quantization}', depth=1)
    for s in found.signatures:
        ins, outs = (", ".join(str(n) for n, _ in pairs) for pairs in (s.inputs, s.outputs))
        yield Line(f"signature {s.key}: {ins} -> {outs}", depth=1)
    if found.micro is not None:
        yield from _of_memory(found.micro)
    columns = ("op", "kind", "version", "types", "output", "shape", "MACs", "constants")
    rows = []
    for o in found.operator_list:
        index = f"{o.graph}:{o.index}" if found.subgraphs > 1 else str(o.index)
        shape = "x".join(map(str, o.output_shape))
        macs = f"{o.macs:,}" if o.macs else ""
        rows.append((index, o.kind, str(o.version), o.dtypes, o.output, shape, macs, size(o.constant_bytes)))
    yield Table(columns, tuple(rows))


def _of_memory(m: MicroMemory) -> Iterator[Block]:
    arena = f"{m.persistent:,} B persistent, {m.activations:,} B activations and scratch buffers"
    yield Line(f"arena {m.arena:,} B on a 64-bit host ({arena}), less where pointers are shorter; {m.source}", depth=1)
    shown = ", ".join(f'"{cut(t.name)}" {t.bytes:,} B' for t in m.alive[:MOST_ALIVE])
    more = f" and {len(m.alive) - MOST_ALIVE} more" if len(m.alive) > MOST_ALIVE else ""
    yield Line(f"most is alive at op {m.peak}: {shown}{more}", depth=1)
    yield Line(f"flash {m.flash:,} B", depth=1)
    yield Line(f"tflite::MicroMutableOpResolver<{len(m.resolver)}> resolver;", depth=1)
    yield from (Line(f"resolver.{line};", depth=1) for line in m.resolver)
    for library in m.optimized:
        yield from _of_library(library)


def _of_library(library: OptimizedKernels) -> Iterator[Block]:
    total = library.operators + len(library.slow)
    share = f"{100 * library.macs_share:.1f} % of the MACs"
    yield Line(f"{library.library}'s fastest kernels: {library.operators} of {many(total, 'operator')}, {share}", depth=1)
    reasons: dict[str, list[SlowOperator]] = {}
    for op in library.slow:
        reasons.setdefault(op.why, []).append(op)
    for why, ops in reasons.items():
        kinds = some(Counter(op.kind for op in ops))
        yield Line(f"not {kinds} (op {spans([op.index for op in ops])}): {why}", depth=2)


def rules_document(rules: Sequence[RulePage]) -> Document:
    """The list of rules."""
    rows = []
    for r in rules:
        fix = "none" if not r.repairable else "safe" if r.safe else "unsafe"
        rows.append((r.rule, r.level, fix, r.summary))
    return Document.of(Table(("rule", "level", "fix", "what"), tuple(rows)))


def pages_document(rules: Sequence[RulePage]) -> Document:
    """The manual pages of rules."""
    lines = "\n\n".join((r.page or "").strip() for r in rules).splitlines()
    return Document(tuple(Line(line) for line in lines))
