"""Reports for people: rich tables on standard output. The same facts as the JSON, fewer of them."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fullint.frontends.report import Conversion
from fullint.quantization.report import QuantizeReport
from fullint.reporting import SCHEMA_VERSION
from fullint.verification.report import Certificate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fullint.auditing.audit import AuditReport, FileAudit, Finding
    from fullint.auditing.inspect import Inspection
    from fullint.auditing.rules import Rule
    from fullint.demo import DemoReport
    from fullint.frontends import Converted, Environment
    from fullint.quantization.pipeline import Plan
    from fullint.repairing.pipeline import RepairPlan, RepairReport


PIPE_WIDTH = 200
MOST_ROWS = 20
"""Findings of one rule that are shown; JSON has all."""


def console() -> Console:
    """Standard output: as wide as the terminal, and wide enough for whole lines where it is a pipe."""
    found = Console(highlight=False, soft_wrap=True)
    return found if found.is_terminal else Console(highlight=False, soft_wrap=True, width=PIPE_WIDTH)


def show_quantize(report: QuantizeReport, output: str) -> None:
    """The report of `fullint quantize`."""
    out = console()
    if report.status == "already-integer":
        out.print(f"{output}: the model was all integer already; verified, run, and copied unchanged")
    else:
        before, after = report.sizes["before"], report.sizes["after"]
        border = " between float inputs and outputs" if report.float_operators else ""
        kept = len(report.kept_float)
        how = "left as they were" if any(k.rule == "leave" for k in report.kept_float) else "kept in float"
        border = f" except {many(kept, 'operator')} {how}" if kept else border
        out.print(f"[bold]{output}[/bold]: all integer{border}, {size(after)} (was {size(before)})")
        for k in report.kept_float[:MOST_ROWS]:
            left = "left           " if k.rule == "leave" else "kept in float  "
            out.print(f'  {left}op {k.index} {k.kind} "{k.output}"', markup=False)
        if kept > MOST_ROWS:
            out.print(f"                 and {kept - MOST_ROWS} more")
    if report.conversion is not None:
        _conversion(out, report.conversion)
    convs = report.conv_2d
    out.print(f"  operators      {report.operators}, {report.float_operators} of them float  ({_counts(report.operator_counts)})")
    bias = "int64" if report.options.get("activations") == "int16" else "int32"
    if convs.total:
        out.print(f"  CONV_2D        {convs.int8_weights_int32_bias} of {convs.total} with int8 weights and {bias} bias")
    if report.requantizes:
        out.print(f"  requantizes    {len(report.requantizes)}")
        for r in report.requantizes[:5]:
            out.print(f"                 before {r.kind}, op {r.index}: {r.why}", markup=False)
    if report.certificate is not None:
        _certificate(out, report.certificate)
    spent = ", ".join(f"{name} {seconds:.2f}" for name, seconds in report.seconds.items())
    out.print(f"  time           {sum(report.seconds.values()):.2f} s ({spent})")
    for warning in report.warnings:
        out.print(f"[yellow]warning:[/yellow] {warning}")


def _conversion(out: Console, c: Conversion) -> None:
    """Which tool made the float model, and how near it is to the original."""
    versions = ", ".join(f"{name} {version}" for name, version in c.versions.items())
    near = f"{c.sqnr_db:.0f} dB against {c.framework}" if c.sqnr_db is not None else "not compared"
    out.print(f"  converted by   {c.tool} ({versions}), {near}", markup=False)


def show_converted(made: Converted, output: str) -> None:
    """What `fullint convert` made."""
    out = console()
    out.print(f"[bold]{output}[/bold]: float, {size(len(made.model))}")
    _conversion(out, made.conversion)


def show_environment(e: Environment) -> None:
    """Where a front end runs from now on."""
    out = console()
    done = f"made in {e.seconds:.0f} s" if e.created else "there already"
    out.print(f"{e.framework}: {done}, {many(len(e.packages), 'package')}, {e.folder}", markup=False)


def _certificate(out: Console, c: Certificate) -> None:
    held = "drawn at random" if c.drawn else "held back from calibration" if c.held_back else "that calibrated too"
    figure = f"{c.sqnr_db:.1f} dB" if c.sqnr_db is not None else "no float output"
    out.print(f"  SQNR           {figure} against {c.reference}, {many(c.samples, 'sample')} {held}")
    for o in c.outputs:
        parts = []
        if o.sqnr_db is not None:
            parts.append(f"{o.sqnr_db:.1f} dB")
        if o.top1_agreement is not None:
            parts.append(f"same top class in {100 * o.top1_agreement:.1f} %")
        if o.equal is not None:
            parts.append(f"{100 * o.equal:.2f} % equal")
        out.print(f"    {o.name}: {', '.join(parts)}", markup=False)
    for k in c.kernel_sets:
        apart = f", at most {many(k.disagreement_steps or 0, 'step')} from XNNPACK" if k.name != "xnnpack" else ""
        text = many(k.samples, "sample") + apart
        text = text if k.status == "ran" else "; ".join(k.facts)
        out.print(f"  {k.name:<14} {k.status}: {text}", markup=False)


def show_inspection(found: Inspection, name: str) -> None:
    """The tables of `fullint inspect`."""
    out = console()
    out.print(
        f"[bold]{name}[/bold]: {size(found.file_bytes)}, {found.operators} operators, {found.float_operators} of them float, "
        f"{found.macs / 1e6:.2f} M MACs, {found.subgraphs} subgraph{'s' if found.subgraphs != 1 else ''}"
    )
    for what, tensors in (("input", found.inputs), ("output", found.outputs)):
        for t in tensors:
            signature = f" (signature {list(t.shape_signature)})" if t.shape_signature else ""
            out.print(f'  {what} "{t.name}" {t.dtype}{list(t.shape)}{signature} {t.quantization or ""}', markup=False)
    for s in found.signatures:
        ins, outs = (", ".join(str(n) for n, _ in pairs) for pairs in (s.inputs, s.outputs))
        out.print(f"  signature {s.key}: {ins} -> {outs}", markup=False)
    table = Table("op", "kind", "version", "types", "output", "shape", "MACs", "constants", box=None)
    for o in found.operator_list:
        index = f"{o.graph}:{o.index}" if found.subgraphs > 1 else str(o.index)
        shape = "x".join(str(n) for n in o.output_shape)
        table.add_row(
            index, o.kind, str(o.version), o.dtypes, o.output, shape, f"{o.macs:,}" if o.macs else "", size(o.constant_bytes)
        )
    out.print(table)


def show_demo(report: DemoReport) -> None:
    """Before and after, side by side."""
    out = console()
    table = Table("", "float", "all integer", title="handwritten digits, a small trained network", title_justify="left", box=None)
    table.add_row("operators", str(report.before.operators), str(report.after.operators))
    table.add_row("float operators", str(report.before.float_operators), str(report.after.float_operators))
    table.add_row("CONV_2D int8 weights, int32 bias", report.before.conv_2d, report.after.conv_2d)
    table.add_row("size", size(report.before.bytes), size(report.after.bytes))
    table.add_row(
        f"accuracy on {report.test_digits} digits",
        f"{100 * report.before.accuracy:.2f} %",
        f"{100 * report.after.accuracy:.2f} %",
    )
    table.add_row("latency (median, 1 thread)", f"{report.before.latency_us:.0f} us", f"{report.after.latency_us:.0f} us")
    out.print(table)
    if report.quantize.certificate is not None:
        _certificate(out, report.quantize.certificate)


def show_audit(report: AuditReport) -> None:
    """The findings of one file; of several, a table and their counts."""
    out = console()
    if len(report.files) == 1:
        _file_audit(out, report.files[0])
        return
    table = Table("file", "operators", "float", "MACs in float", "errors", "warnings", "notes", "rules", box=None)
    for f in report.files:
        levels = Counter(x.level for x in f.findings)
        counts = [str(levels[level]) for level in ("error", "warning", "note")]
        share = f"{100 * f.float_macs_share:.1f} %"
        rules = ", ".join(f"{n} {rule}" for rule, n in f.counts.items())
        cells = ["-"] * 6 if f.error else [str(f.operators), str(f.float_operators), share, *counts]
        table.add_row(escape(f.file), *cells, escape(f.error or rules))
    out.print(table)
    out.print(
        f"\n{many(len(report.files), 'file')}, {many(len(report.findings), 'finding')}; one file alone, or --json, shows each"
    )


def _file_audit(out: Console, f: FileAudit) -> None:
    share = f", {100 * f.float_macs_share:.1f} % of the multiply-accumulates" if f.float_operators else ""
    of = f"{many(f.operators, 'operator')}, {f.float_operators} of them float{share}"
    out.print(f"{f.file or 'model'}: {of}; {many(len(f.findings), 'finding')}", markup=False, style="bold")
    for rule, count in f.counts.items():
        found = [x for x in f.findings if x.rule == rule]
        levels = ", ".join(f"{n} {level}" for level, n in Counter(x.level for x in found).items())
        out.print(f"\n  {rule} ({levels})", markup=False, style="bold")
        for x in found[:MOST_ROWS]:
            _finding(out, x)
        if count > MOST_ROWS:
            out.print(f"    and {count - MOST_ROWS} more (--json has them all)")
        ways = list(dict.fromkeys(x.fix for x in found))
        more = f", and {len(ways) - 1} like it" if len(ways) > 1 else ""
        out.print(f"    fix: {ways[0]}{more}{' (fullint repair)' if found[0].repairable else ''}", markup=False)


def _finding(out: Console, x: Finding) -> None:
    where = f"op {x.index}" if x.index >= 0 else "the"
    where = f"subgraph {x.graph} {where}" if x.graph else where
    layer = f" (layer {x.layer})" if x.layer and x.layer != x.output else ""
    macs = f", {100 * x.macs_share:.1f} % of MACs" if x.macs_share >= 0.0005 else ""
    out.print(f'    {where} {x.kind} "{cut(x.output)}"{layer}{macs}: {x.cause}', markup=False)


def show_plan(plan: RepairPlan) -> None:
    """What `repair --dry-run` says."""
    out = console()
    for title, findings in (("to be fixed", plan.fix), ("left as they are", plan.leave)):
        out.print(f"{title}: {len(findings)}", style="bold")
        for rule in dict.fromkeys(f.rule for f in findings):
            found = [f for f in findings if f.rule == rule]
            unsafe = "" if found[0].safe else ", changes what the model computes"
            out.print(f"  {rule} ({len(found)}{unsafe}): {found[0].fix}", markup=False)
            for f in found[:MOST_ROWS]:
                _finding(out, f)
            if len(found) > MOST_ROWS:
                out.print(f"    and {len(found) - MOST_ROWS} more")
    if plan.refused:
        out.print("it would end without a result:", style="bold")
    for b in plan.refused[:MOST_ROWS]:
        out.print(f"  {b}", markup=False)


def show_repair(report: RepairReport, output: str) -> None:
    """The report of `fullint repair`."""
    out = console()
    if report.status == "nothing-to-repair":
        out.print(f"{output}: nothing to repair; copied unchanged", markup=False)
        return
    counts = ", ".join(f"{n} {rule}" for rule, n in Counter(f.rule for f in report.fixed).items())
    out.print(f"fixed {many(len(report.fixed), 'finding')}: {counts}")
    show_quantize(report.result, output)
    for text in report.assumptions:
        out.print(f"  assumed        {text}", markup=False)
    left = Counter(f"{f.rule} ({f.level})" for f in report.left)
    if left:
        out.print(f"  left           {', '.join(f'{n} {rule}' for rule, n in left.items())}", markup=False)


def show_rules(rules: Sequence[Rule]) -> None:
    """The list of `fullint explain`."""
    table = Table("rule", "level", "fix", "what", box=None)
    for r in rules:
        fix = "none" if r.mend.value == "none" else "safe" if r.safe else "unsafe"
        table.add_row(r.name, r.level, fix, r.summary)
    console().print(table)


def rules_json(rules: Sequence[Rule]) -> str:
    """Rules and their pages as JSON."""
    body = [
        {
            "rule": r.name,
            "level": r.level,
            "summary": r.summary,
            "safe": r.safe,
            "repairable": r.mend.value != "none",
            "page": r.page,
        }
        for r in rules
    ]
    return json.dumps({"schema_version": SCHEMA_VERSION, "rules": body}, indent=2, ensure_ascii=False)


def cut(name: str, most: int = 60) -> str:
    """The end of a long name."""
    return name if len(name) <= most else f"…{name[1 - most :]}"


def plan_json(plan: Plan) -> str:
    """The assignment as JSON: every tensor's and every operand's parameters, and the cuts."""
    a = plan.assignment
    tensors = [
        {"tensor": t.name, "scale": q.scale.tolist(), "zero_point": q.zero_point.tolist()}
        for t, q in ((t, e.quant) for t, e in a.tensors().items())
    ]
    operands = [
        {
            "op": op.origin,
            "kind": op.kind,
            "input": i,
            "axis": q.axis,
            "scale": q.scale.tolist(),
            "zero_point": q.zero_point.tolist(),
        }
        for (op, i), q in ((o, e.quant) for o, e in a.operands().items())
    ]
    cuts = [{"op": c.op.origin, "kind": c.op.kind, "input": c.input, "why": c.why} for c in a.cuts]
    body = {"schema_version": SCHEMA_VERSION, "tensors": tensors, "operands": operands, "cuts": cuts, "notes": a.notes}
    return json.dumps(body, indent=2, ensure_ascii=False)


def many(count: int, noun: str) -> str:
    """A count with its noun: 1 operator, 2 operators."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _counts(counts: dict[str, int], most: int = 4) -> str:
    named = [f"{n} {k}" for k, n in list(counts.items())[:most]]
    return ", ".join(named) + (", …" if len(counts) > most else "")


def size(n: int) -> str:
    """Bytes in the unit that fits."""
    if n < 10_000:
        return f"{n} B"
    return f"{n / 1e3:.1f} kB" if n < 1_000_000 else f"{n / 1e6:.2f} MB"
