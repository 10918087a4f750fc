"""The report of `benchmark`, also in the form of `benchmark_model`'s log."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fullint.delegates import nnapi, xnnpack
from fullint.deployment.benchmark.report_document import benchmark_document
from fullint.deployment.logs.record import INIT, INTERNAL, RUN, SIMULATED, BenchLog, Delegate, Section, Stat, rows_of
from fullint.documents import Document
from fullint.reporting import Report


@dataclass(frozen=True)
class OperatorTime:
    """One row of a profile.

    Attributes:
        node_type: the runtime's name of what ran: a TFLite operator, or one of the delegate's own.
        kernel: number of the delegate kernel it ran in, -1 for operators that the runtime ran itself.
        index: index of the node, or position in the kernel.
        us: time per run, in microseconds.
        calls: calls per run.
        share: share of the profile's total, 0 to 1.
        operator: index of the model's operator, -1 if it could not be matched.
        kind, output: type and output tensor of that operator, "" if it could not be matched.
        first_us: time of the first call, in microseconds.
        subgraph: index of the operator's subgraph, -1 if unknown.
        nested: whether it ran inside another operator (WHILE, IF), whose time includes it; sums leave it out.
    """

    node_type: str
    kernel: int
    index: int
    us: float
    calls: int
    share: float
    operator: int
    kind: str
    output: str
    first_us: float
    subgraph: int = 0
    nested: bool = False


@dataclass(frozen=True)
class ModelTiming:
    """The measurements of one model.

    Attributes:
        model: its path.
        simulated: whether a delegate was simulated on the host.
        delegate: path of the external delegate, or name of the simulated delegate; else "".
        kernels: kernel set: "xnnpack", "builtin" or "reference".
        threads, runs, warmup_runs: number of threads, of measured runs and of warm-up runs.
        init_ms: time to load, compile and allocate, in milliseconds.
        first_us: time of the first inference, in microseconds.
        mean_us, std_us, min_us, max_us, median_us, p5_us, p95_us: latency in microseconds, with the profiler off.
        memory_init_mb, memory_mb: resident memory in MiB that it takes after the first run and after the warm-up.
        peak_mb: peak resident memory of the process, in MiB.
        file_mb: size of the file, in MB.
        profile_us: sum of the profile's rows, in microseconds per run.
        profiled_us: time of a run with the profiler on, in microseconds.
        operators: the profile, in order of execution; empty if profiling is off.
        not_joined: which rows could not be matched with operators of the model.
        nodes, taken, partitions: number of operators, of delegated operators, and of partitions.
        warmup, series, profile_series: seconds per run: in the warm-up, with the profiler off, as the sum of profile rows.
    """

    model: str
    simulated: bool
    delegate: str
    kernels: str
    threads: int
    runs: int
    warmup_runs: int
    init_ms: float
    first_us: float
    mean_us: float
    std_us: float
    min_us: float
    max_us: float
    median_us: float
    p5_us: float
    p95_us: float
    memory_init_mb: float
    memory_mb: float
    peak_mb: float
    file_mb: float
    profile_us: float
    profiled_us: float
    operators: tuple[OperatorTime, ...]
    not_joined: str
    nodes: int
    taken: int
    partitions: int
    warmup: tuple[float, ...] = field(default=(), repr=False)
    series: tuple[float, ...] = field(default=(), repr=False)
    profile_series: tuple[float, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class OperatorChange:
    """An operator with the same type and output name in two models, with its time per run in each, in microseconds."""

    kind: str
    output: str
    before_us: float
    after_us: float


@dataclass(frozen=True)
class Comparison:
    """Comparison of two models that were run in turns.

    Attributes:
        before, after: their paths.
        ratio: median latency of `before` divided by that of `after`; above 1, `after` is faster.
        low, high: 95 % confidence interval of `ratio`, from the turns of this run; separate runs may differ by more.
        kinds: operator type -> microseconds per run before and after.
        operators: the same for operators that write a tensor of the same name in both models.
    """

    before: str
    after: str
    ratio: float
    low: float
    high: float
    kinds: dict[str, tuple[float, float]]
    operators: tuple[OperatorChange, ...] = ()


@dataclass(frozen=True, repr=False)
class BenchmarkReport(Report):
    """The result of `benchmark`.

    Attributes:
        schema_version: version of the report's fields.
        fullint: version of fullint.
        options: the options of the run.
        timings: one per model.
        comparisons: the first model compared with each of the others.
        notes: limitations of the figures.
        device_commands: commands that measure on a device with the real delegate, if NNAPI was simulated.
    """

    schema_version: int
    fullint: str
    options: dict[str, Any]
    timings: tuple[ModelTiming, ...]
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...] = ()
    device_commands: tuple[str, ...] = ()

    def rows(self) -> list[dict[str, Any]]:
        """One row per operator of each profile, with its model."""
        return [{"model": t.model, "kernels": t.kernels, **vars(o)} for t in self.timings for o in t.operators]

    def to_csv(self) -> str:
        """The profiles as CSV: a column with the model, then the columns of benchmark_model."""
        out = io.StringIO()
        write = csv.writer(out, lineterminator="\n")
        write.writerow(["model", "node type", "first", "avg_ms", "%", "cdf%", "mem KB", "times called", "name"])
        for t in self.timings:
            for r in rows_of(_rows([o for o in t.operators if not o.nested])):
                name = f"{r.name} ({SIMULATED})" if t.simulated else r.name
                cells = [r.first_ms, r.avg_ms, r.percent, r.cdf, r.mem_kb, r.times_called, name]
                write.writerow([t.model, r.node_type, *cells])
        return out.getvalue()

    def to_log(self, index: int = 0, *, profile: bool = True) -> str:
        """One model's timing as benchmark_model's log."""
        from fullint.deployment.logs import format_log

        log = as_log(self.timings[index], self.options, self.notes)
        return format_log(log if profile else replace(log, sections=()))

    def document(self) -> Document:
        """What the report says."""
        return benchmark_document(self)


def timing_stats(seconds: Sequence[float]) -> dict[str, float]:
    """mean, std, min, max, median, p5 and p95 in microseconds."""
    us = np.asarray(seconds) * 1e6
    p5, median, p95 = np.percentile(us, [5, 50, 95])
    values = {"mean": us.mean(), "std": us.std(), "min": us.min(), "max": us.max(), "median": median, "p5": p5, "p95": p95}
    return {f"{name}_us": round(float(v), 3) for name, v in values.items()}


def as_log(t: ModelTiming, options: dict[str, Any], notes: Sequence[str]) -> BenchLog:
    """A timing as a log record, with numbers at the log's precision."""
    sections = []
    if t.operators:
        nested = [("ModifyGraphWithDelegate", "ModifyGraphWithDelegate/0", t.init_ms, t.init_ms, 1)]
        sections.append(Section(INIT, rows_of(nested), _stat([t.init_ms / 1e3])))
        sections.append(Section(RUN, rows_of(_run_rows(t)), _stat(t.profile_series or [t.profile_us / 1e6])))
        inside = rows_of(_inside_rows(t))
        sections += [Section(INTERNAL, inside)] if inside else []
    delegate = t.delegate or (xnnpack.TARGET.node if t.kernels == "xnnpack" else "")
    taken = (Delegate(delegate, t.taken, t.partitions, t.nodes, 0),) if delegate and t.taken else ()
    parameters = [(_LABELS[name], _shown(value)) for name, value in options.items() if name in _LABELS and value is not None]
    if t.delegate == nnapi.TARGET.node:
        parameters.append(("NNAPI accelerators available", ",".join(options["accelerators"])))
    return BenchLog(
        parameters=(("Graph", t.model), *parameters),
        graph=t.model,
        notes=tuple(n for n in notes if SIMULATED in n or "delegate" in n),
        delegates=taken,
        model_mb=_six(t.file_mb),
        init_ms=_six(t.init_ms),
        init_us=float(round(t.init_ms * 1e3)),
        first_us=float(round(t.first_us)),
        warmup_us=_six(float(np.mean(t.warmup)) * 1e6) if t.warmup else None,
        inference_us=_six(t.mean_us),
        warmup=_stat(t.warmup) if t.warmup else None,
        runs=_stat(t.series),
        memory_init_mb=_six(t.memory_init_mb),
        memory_mb=_six(t.memory_mb),
        peak_mb=_six(t.peak_mb) if t.peak_mb else None,
        sections=tuple(sections),
        simulated=t.simulated,
    )


def _shown(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


_LABELS = {
    "num_runs": "Min num runs",
    "min_secs": "Min runs duration (seconds)",
    "max_secs": "Max runs duration (seconds)",
    "num_threads": "Num threads",
    "warmup_runs": "Min warmup runs",
    "warmup_min_secs": "Min warmup runs duration (seconds)",
    "run_delay": "Inter-run delay (seconds)",
    "enable_op_profiling": "Enable op profiling",
    "use_nnapi": "Use NNAPI",
    "nnapi_accelerator_name": "NNAPI accelerator name",
    "external_delegate_path": "External delegate path",
}


def _run_rows(t: ModelTiming) -> list[tuple[str, str, float, float, int]]:
    """(node type, name, first ms, mean ms per call, calls) of each delegate kernel and each operator outside kernels."""
    found: dict[tuple[int, int], list[OperatorTime]] = {}
    for i, o in enumerate(o for o in t.operators if not o.nested):
        found.setdefault((o.kernel, -1) if o.kernel >= 0 else (-1, i), []).append(o)
    rows = []
    for (kernel, _), ops in found.items():
        us, first = sum(o.us for o in ops), sum(o.first_us for o in ops)
        if kernel >= 0:
            name = t.delegate if ops[0].node_type == t.delegate else xnnpack.TARGET.node
            outputs = [o.output for o in ops if o.output][-1:]
            rows.append((name, f"[{', '.join(outputs)}]:{t.nodes + kernel}", first / 1e3, us / 1e3, 1))
        else:
            rows += _rows(ops)
    return rows


def _rows(ops: Sequence[OperatorTime]) -> list[tuple[str, str, float, float, int]]:
    found = []
    for o in ops:
        name = f"[{o.output}]:{o.index}" if o.output else f"Delegate/{o.node_type}:{o.index}"
        found.append((o.node_type, name, o.first_us / 1e3, o.us / 1e3 / max(o.calls, 1), o.calls))
    return found


def _inside_rows(t: ModelTiming) -> list[tuple[str, str, float, float, int]]:
    """The same for what runs inside kernels; equal names and positions are merged, as in the runtime's summary."""
    found: dict[str, list[OperatorTime]] = {}
    for o in t.operators:
        if o.kernel >= 0 and o.node_type != t.delegate:
            found.setdefault(f"Delegate/{o.node_type}:{o.index}", []).append(o)
    return [
        ("DelegateOpInvoke", name, same[0].first_us / 1e3, sum(o.us for o in same) / 1e3 / len(same), len(same))
        for name, same in found.items()
    ]


def _stat(seconds: Sequence[float]) -> Stat:
    us = np.asarray(seconds) * 1e6
    values = {"first": us[0], "curr": us[-1], "min": us.min(), "max": us.max(), "avg": us.mean(), "std": us.std()}
    whole = ("first", "curr", "min", "max", "std")
    return Stat(len(us), {k: float(round(float(v))) if k in whole else _six(float(v)) for k, v in values.items()})


def _six(value: float) -> float:
    """The value rounded to six significant digits, as a C++ stream prints it."""
    return float(f"{value:g}")
