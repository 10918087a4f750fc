"""`readlog`: where the time goes, which part of it is float, and how much an all-integer model can gain at most.

    speed-up <= total / (total - float)        Amdahl's law, if the float part took no time at all

`[avg ms]` is per call; a run spends avg * calls. Rows of the initialization are nested (ModifyGraphWithDelegate calls
AllocateTensors) and must not be added up.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fullint.deployment.logs.compilers import CompilerReport, compiler_report
from fullint.deployment.logs.read import parse_runs, read_text
from fullint.deployment.logs.record import INIT, INTERNAL, RUN, BenchLog, LogRow, Section
from fullint.deployment.logs.report import Bound, DelegateTime, FloatPart, Joined, KindTime, LogReport, Timing
from fullint.errors import LogFormatError
from fullint.model.census import is_float_op
from fullint.model.ir import Model, Op, Uses
from fullint.model.tflite import read_model
from fullint.ops.base import CONVERSIONS
from fullint.ops.structure import check_readable
from fullint.reporting import SCHEMA_VERSION
from fullint.runtime.damaged_models import diagnosing

_FLOAT = re.compile(r"\b(F32|F16)\b")
_INTEGER = re.compile(r"\b(QS8|QU8|QC8|QD8|S8|U8)\b")
_CONVERT = re.compile(r"Delegate/(Convert|Copy)\b")
_MOSTLY = 0.8
"""If the rows inside a delegate add up to this share of a delegate's time (or its inverse), they are that delegate's."""


@diagnosing
def readlog(log: str | Path, model: str | Path | bytes | None = None) -> LogReport:
    """Read a `benchmark_model` log: where the time goes, and what an all-integer model can gain.

    Also what delegates print without it, the report of edgetpu_compiler, and Vela's summary.

    Args:
        log: path of the log, in the old or the new format, with or without what logcat puts before each line.
        model: the model that was measured, to name the operators of each row.

    Raises:
        LogFormatError: it is not a log of benchmark_model, or broken; the message gives the line number.
        ModelFormatError: the model cannot be read.
    """
    text = read_text(log)
    name = str(log)
    read = read_model(model) if model is not None else None
    if read is not None:
        check_readable(read, scales=False)
    if (compiler := compiler_report(text)) is not None:
        return _of_compiler(name, compiler)
    try:
        records = parse_runs(text)
    except LogFormatError as e:
        raise LogFormatError(f"{log}: {e}") from e
    model_name = str(model) if isinstance(model, str | Path) else None
    first, *others = [analyse(record, name, read, model_name) for record in records]
    return replace(first, others=tuple(others))


def _of_compiler(name: str, compiler: CompilerReport) -> LogReport:
    """The report of a compiler, which has no times."""
    return LogReport(
        SCHEMA_VERSION,
        name,
        None,
        "",
        False,
        compiler.operators,
        None,
        0.0,
        None,
        (),
        None,
        None,
        profile=False,
        compiler=compiler,
    )


def analyse(record: BenchLog, name: str = "", model: Model | None = None, model_name: str | None = None) -> LogReport:
    """Analyse a log record."""
    run, inside = record.section(RUN), record.section(INTERNAL)
    total = run.run_ms if run is not None else (record.inference_us or 0.0) / 1e3
    delegates = _delegates(record, run, inside, total)
    part = _float_part(run, inside)
    spent = _float_ms(delegates, part)
    measured = record.inference_us / 1e3 if record.inference_us is not None else None
    return LogReport(
        schema_version=SCHEMA_VERSION,
        log=name,
        model=model_name,
        graph=record.graph,
        simulated=record.simulated,
        nodes=_nodes(record, run),
        partitions=record.delegates[-1].partitions if record.delegates else None,
        total_ms=round(total, 3),
        measured_ms=measured,
        delegates=delegates,
        float_part=part,
        bound=_bound(total, spent, part) if part is not None and total > spent > 0 else None,
        joined=tuple(_joined(run, model)) if run is not None and model is not None and not _other(record, run, model) else (),
        warnings=(*_warnings(record, run, delegates, model), *record.unread),
        profile=run is not None,
        said=record.said,
        timing=_timing(record),
        kinds=_kinds(run, total),
        slowest=_slowest(run, total),
    )


def _timing(record: BenchLog) -> Timing:
    named = dict(record.parameters)
    threads = next((named[n] for n in ("Num threads", "#threads used for CPU inference") if n in named), "")
    runs = record.runs.values if record.runs is not None else {}
    return Timing(
        init_ms=_ms(record.init_us),
        first_ms=_ms(record.first_us),
        warmup_ms=_ms(record.warmup_us),
        mean_ms=_ms(record.inference_us),
        median_ms=_ms(runs.get("median")),
        threads=int(threads) if threads.isdecimal() else None,
        memory_mb=record.memory_mb if record.memory_mb is not None else record.peak_mb,
    )


def _ms(us: float | None) -> float | None:
    return None if us is None else round(us / 1e3, 3)


def _own_rows(run: Section | None) -> list[LogRow]:
    """Rows of operators that the runtime runs itself."""
    return [r for r in run.rows if "Delegate" not in r.node_type] if run is not None else []


def _kinds(run: Section | None, total: float) -> tuple[KindTime, ...]:
    found: dict[str, list[LogRow]] = {}
    for r in _own_rows(run):
        found.setdefault(r.node_type, []).append(r)
    times = [
        KindTime(kind, len(rows), round(ms := sum(r.run_ms for r in rows), 3), round(ms / total, 4) if total else 0.0)
        for kind, rows in found.items()
    ]
    return tuple(sorted(times, key=lambda k: -k.ms))


def _slowest(run: Section | None, total: float) -> tuple[int, str, float, float] | None:
    row = max(_own_rows(run), key=lambda r: r.run_ms, default=None)
    if row is None or not total:
        return None
    return row.node, row.node_type, round(row.run_ms, 3), round(row.run_ms / total, 4)


def _nodes(record: BenchLog, run: Section | None) -> int | None:
    """Number of the model's operators: those that delegates run, and those that the runtime runs itself."""
    first = next((d.of for d in record.delegates if d.of is not None), None)
    if first is not None or run is None:
        return first
    alone = sum("Delegate" not in r.node_type for r in run.rows)
    return sum(d.nodes for d in record.delegates) + alone


def _delegates(record: BenchLog, run: Section | None, inside: Section | None, total: float) -> tuple[DelegateTime, ...]:
    if run is None:
        return ()
    named = {d.name: d.nodes for d in record.delegates}
    groups: dict[str, list[LogRow]] = {}
    for r in run.rows:
        groups.setdefault(r.node_type if "Delegate" in r.node_type else "none", []).append(r)
    shown = inside.run_ms if inside is not None else 0.0
    found = []
    for name, rows in groups.items():
        ms = sum(r.run_ms for r in rows)
        known = name == "none" or bool(shown and _MOSTLY <= shown / max(ms, 1e-9) <= 1 / _MOSTLY)
        nodes = len(rows) if name == "none" else named.get(name)
        found.append(DelegateTime(name, nodes, len(rows), round(ms, 3), round(ms / total, 4) if total else 0.0, known))
    return tuple(sorted(found, key=lambda d: -d.ms))


def _float_part(run: Section | None, inside: Section | None) -> FloatPart | None:
    """Float operators and conversions inside delegates, recognised by the types in the rows' names."""
    rows = inside.rows if inside is not None else ()
    if not rows:
        return None
    converts = [r for r in rows if _CONVERT.search(r.name)]
    floats = [r for r in rows if r not in converts and _FLOAT.search(r.name) and not _INTEGER.search(r.name)]
    names: dict[str, tuple[int, float]] = {}
    for r in floats:
        label = r.name.removeprefix("Delegate/").rpartition(":")[0] or r.name
        count, ms = names.get(label, (0, 0.0))
        names[label] = count + r.times_called, ms + r.run_ms
    return FloatPart(
        operators=sum(r.times_called for r in floats),
        by_kernel=_by_kernel(floats),
        operators_ms=round(sum(r.run_ms for r in floats), 3),
        conversions=sum(r.times_called for r in converts),
        conversions_ms=round(sum(r.run_ms for r in converts), 3),
        names=tuple((n, c, round(ms, 3)) for n, (c, ms) in names.items()),
    )


def _by_kernel(floats: Sequence[LogRow]) -> tuple[int, ...]:
    """Number of float operators per kernel: the k-th one is called once for each kernel that has at least k.

    calls 3, 2, 1   =>   three kernels have one or more, two have two or more, one has three: kernels of 1, 2 and 3
    """
    calls = sorted((r.times_called for r in floats), reverse=True)
    kernels = [sum(c > k for c in calls) for k in range(calls[0] if calls else 0)]
    return tuple(sorted(kernels))


def _float_ms(delegates: Sequence[DelegateTime], part: FloatPart | None) -> float:
    """Milliseconds of float per run: the whole time of the delegate that the log looks into, if it is almost all float."""
    if part is None:
        return 0.0
    shown = next((d for d in delegates if d.inside and d.name != "none"), None)
    own = part.operators_ms + part.conversions_ms
    return shown.ms if shown is not None and own >= _MOSTLY * shown.ms else own


def _bound(total: float, spent: float, part: FloatPart) -> Bound:
    return Bound(
        at_least=1.0,
        conversions_only=round(total / (total - part.conversions_ms), 3),
        at_most=round(total / (total - spent), 3),
        assumptions=(
            "at least: the integer operators take as long as the float operators do now",
            "conversions only: the float operators take as long as now, and the conversions disappear",
            f"at most: the {spent:.1f} ms of float disappear, and the rest takes as long as before",
            "having fewer partitions may gain more: the cost of calling a delegate is not in the log",
        ),
    )


def _other(record: BenchLog, run: Section, model: Model) -> str:
    """Why the log belongs to another model; "" if it may belong to this one."""
    nodes, count = _nodes(record, run), len(model.main.ops)
    if not record.delegates or nodes is None or nodes == count:
        return ""
    return f"the log is of a model with {nodes} operators, but this model has {count}: rows are not matched with operators"


def _joined(run: Section, model: Model) -> list[Joined]:
    """Match each row with the operator that writes its tensors and the float operators before that one."""
    uses = Uses(*model.graphs)
    by_name = {t.name: op for op in uses.producer.values() for t in op.outputs}
    found = []
    for row in run.rows:
        ops: dict[Op, None] = {}
        for name in row.outputs:
            op = by_name.get(name)
            waiting = [op] if op is not None else []
            while waiting:
                op = waiting.pop()
                if op in ops:
                    continue
                ops[op] = None
                if is_float_op(op) and op.kind != "DEQUANTIZE":
                    waiting += [p for t in op.inputs if t is not None and (p := uses.producer.get(t)) is not None]
        kept = [op for op in ops if is_float_op(op) and op.kind not in CONVERSIONS] or list(ops)
        kept.sort(key=lambda o: o.origin)
        texts = tuple(f'op {op.origin} {op.kind} "{op.output_name}"' for op in kept)
        if texts:
            found.append(Joined(row.name, texts, tuple(op.origin for op in kept), round(row.run_ms, 6)))
    return found


def _warnings(record: BenchLog, run: Section | None, delegates: Sequence[DelegateTime], model: Model | None) -> list[str]:
    found = []
    init = record.section(INIT)
    if init is not None and record.init_ms is not None and init.run_ms > 1.05 * record.init_ms:
        found.append(
            f"rows of the initialization are nested: they add up to {init.run_ms:.0f} ms, but it took {record.init_ms:.0f} ms"
        )
    if run is None:
        found.append("the log has no profile of the runs: run benchmark_model with --enable_op_profiling=true")
    for name in (d.name for d in record.said if d.status == "taken back"):
        found.append(f"{name} was taken back before the runs: all times are without it")
    for d in delegates:
        if not d.inside:
            found.append(f"the log does not show the operators inside {d.name}, only one row per kernel")
    if run is not None and any(r.times_called > 1 for s in record.sections for r in s.rows):
        found.append("[avg ms] is per call: multiply it by [times called] for the time per run")
    if run is not None and run.timings is None:
        found.append("the log is truncated: the profile of the runs lacks its last lines, so the figures are incomplete")
    if model is not None and run is not None and (other := _other(record, run, model)):
        found.append(other)
    elif model is not None and run is not None and not _joined(run, model):
        found.append("no tensor named in the log is in this model: check that the log was made with it")
    return found
