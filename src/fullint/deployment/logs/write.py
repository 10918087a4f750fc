"""A log record as text, line by line as `benchmark_model` prints it, so that scripts for its logs can read it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fullint.deployment.logs.record import INIT, INTERNAL, RUN, SIMULATED, BenchLog, LogRow, Section, Stat

RULE = "=" * 30
MOST_TOP = 10
_HEADER = "\t             [node type]\t  [first]\t [avg ms]\t     [%]\t  [cdf%]\t  [mem KB]\t[times called]\t[Name]"
_SUMMARY = "\t             [Node type]\t  [count]\t  [avg ms]\t    [avg %]\t    [cdf %]\t  [mem KB]\t[times called]"
_NOTE = (
    "Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE to the actual memory "
    "footprint of the model at runtime. Take the information at your discretion."
)
_TITLES = {
    INIT: "Profiling Info for Benchmark Initialization:",
    RUN: "Operator-wise Profiling Info for Regular Benchmark Runs:",
    INTERNAL: "Delegate internal: ",
}


def format_log(log: BenchLog) -> str:
    """The text of a log."""
    lines = "\n".join(_lines(log)).split("\n")
    if log.simulated:
        lines = [f"{line} ({SIMULATED})" if line.strip() and SIMULATED not in line else line for line in lines]
    return "\n".join(lines) + "\n"


def _lines(log: BenchLog) -> Iterator[str]:
    yield "Log parameter values verbosely: [0]"
    yield from (f"{label}: [{value}]" for label, value in log.parameters)
    if log.graph:
        yield f"Loaded model {log.graph}"
    for d in log.delegates:
        total = f" out of {d.of}" if d.of is not None else ""
        where = f" for subgraph {d.subgraph} (main)" if d.subgraph is not None else ""
        taken = f"Replacing {d.nodes}{total} node(s) with delegate ({d.name}) node"
        yield f"INFO: {taken}, yielding {d.partitions} partitions{where}."
    yield from log.notes
    if log.model_mb is not None:
        yield f"The input model file size (MB): {_g(log.model_mb)}"
    if log.init_ms is not None:
        yield f"Initialized session in {_g(log.init_ms)}ms."
    yield from (f"{_stat(s)}\n" for s in (log.warmup, log.runs) if s is not None)
    yield from _timings(log)
    for section in log.sections:
        yield from _section(section)


def _timings(log: BenchLog) -> Iterator[str]:
    named = (
        ("Init", log.init_us),
        ("First inference", log.first_us),
        ("Warmup (avg)", log.warmup_us),
        ("Inference (avg)", log.inference_us),
    )
    parts = [f"{label}: {_g(value)}" for label, value in named if value is not None]
    if parts:
        yield f"Inference timings in us: {', '.join(parts)}"
    if log.memory_init_mb is not None and log.memory_mb is not None:
        yield _NOTE
        yield (
            f"Memory footprint delta from the start of the tool (MB): init={_g(log.memory_init_mb)} overall={_g(log.memory_mb)}"
        )
    if log.peak_mb is not None:
        yield f"Overall peak memory footprint (MB) via periodic monitoring: {_g(log.peak_mb)}"


def _section(section: Section) -> Iterator[str]:
    yield _TITLES[section.kind]
    if section.title:
        yield section.title
    yield f"{RULE} Run Order {RULE}"
    yield _HEADER
    yield from map(_row, section.rows)
    yield ""
    yield f"{RULE} Top by Computation Time {RULE}"
    yield _HEADER
    yield from map(_row, _top(section.rows))
    yield ""
    yield f"Number of nodes executed: {len(section.rows)}"
    yield f"{RULE} Summary by node type {RULE}"
    yield _SUMMARY
    yield from _summary(section.rows)
    yield ""
    if section.timings is not None:
        yield f"Timings (microseconds): {_stat(section.timings)}"
    yield "Memory (bytes): count=0"
    yield f"{len(section.rows)} nodes observed"
    yield ""


def _row(r: LogRow) -> str:
    return (
        f"\t{r.node_type:>24}\t{r.first_ms:9.3f}\t{r.avg_ms:9.3f}\t{r.percent:7.3f}%\t{r.cdf:7.3f}%"
        f"\t{r.mem_kb:10.3f}\t{r.times_called:9d}\t{r.name}"
    )


def _top(rows: Sequence[LogRow]) -> list[LogRow]:
    """The `MOST_TOP` rows that take longest, with their own running sum."""
    found, cdf = [], 0.0
    for r in sorted(rows, key=lambda r: -r.run_ms)[:MOST_TOP]:
        cdf += r.percent
        found.append(LogRow(r.node_type, r.first_ms, r.avg_ms, r.percent, cdf, r.mem_kb, r.times_called, r.name))
    return found


def _summary(rows: Sequence[LogRow]) -> Iterator[str]:
    total, cdf = sum(r.run_ms for r in rows) or 1.0, 0.0
    kinds = {r.node_type: [x for x in rows if x.node_type == r.node_type] for r in rows}
    for kind, own in sorted(kinds.items(), key=lambda item: -sum(r.run_ms for r in item[1])):
        spent = sum(r.run_ms for r in own)
        cdf += 100 * spent / total
        yield (
            f"\t{kind:>24}\t{len(own):9d}\t{spent:10.3f}\t{100 * spent / total:10.3f}%\t{cdf:10.3f}%"
            f"\t{sum(r.mem_kb for r in own):10.3f}\t{sum(r.times_called for r in own):9d}"
        )


def _stat(s: Stat) -> str:
    return " ".join([f"count={s.count}", *(f"{name}={_g(value)}" for name, value in s.values.items())])


def _g(value: float) -> str:
    """A number as a C++ stream prints it."""
    return f"{value:.0f}" if value == int(value) and abs(value) < 1e9 else f"{value:g}"
