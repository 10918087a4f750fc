"""What a benchmark log holds, as values in the log's own units and precision.

`avg_ms` of a row is per call, `times_called` counts the calls of one run: a run spends avg_ms * times_called there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

INIT, RUN, INTERNAL = "init", "run", "delegate internal"
SIMULATED = "SIMULATED ON HOST"
"""On every line of a log whose delegate was played by this machine."""


@dataclass(frozen=True)
class Stat:
    """Statistics of a series, in microseconds: count, and what else the line says ("avg", "std", "p95", …)."""

    count: int
    values: dict[str, float] = field(default_factory=dict)

    def __getitem__(self, name: str) -> float:
        return self.values[name]


@dataclass(frozen=True)
class LogRow:
    """One row of a profile in run order.

    Attributes:
        node_type: kind of operator, or of delegate.
        first_ms: the first call.
        avg_ms: per call.
        percent: of the section's time, all calls together; cdf is the running sum.
        mem_kb: memory taken.
        times_called: calls in one run.
        name: as printed: "[output tensors]:node" for an operator.
    """

    node_type: str
    first_ms: float
    avg_ms: float
    percent: float
    cdf: float
    mem_kb: float
    times_called: int
    name: str

    @property
    def run_ms(self) -> float:
        """Milliseconds of one run spent here."""
        return self.avg_ms * self.times_called

    @property
    def outputs(self) -> list[str]:
        """Names of the tensors it writes, where it is an operator."""
        head, bracket, _ = self.name.rpartition("]:")
        return head[1:].split(", ") if bracket and head.startswith("[") else []

    @property
    def node(self) -> int:
        """Index of the node, -1 where there is none."""
        tail = self.name.rpartition(":")[2]
        return int(tail) if tail.isdecimal() else -1


@dataclass(frozen=True)
class Section:
    """A profile: of initialization, of the runs, or of what happens inside delegates."""

    kind: str
    rows: tuple[LogRow, ...]
    timings: Stat | None = None
    title: str = ""

    @property
    def run_ms(self) -> float:
        """All rows of one run together."""
        return sum(row.run_ms for row in self.rows)


@dataclass(frozen=True)
class Delegate:
    """A delegate, as the runtime announced it.

    Attributes:
        name: "TfLiteXNNPackDelegate", …
        nodes: how many it replaced.
        partitions: of the whole graph then, delegated and not.
        of: nodes there were, where the line says it.
        subgraph: index, where the line says it.
    """

    name: str
    nodes: int
    partitions: int
    of: int | None = None
    subgraph: int | None = None


@dataclass(frozen=True)
class BenchLog:
    """One run of the tool.

    Attributes:
        parameters: (label, value) as printed before the run.
        graph: path of the model.
        notes: lines that say what a delegate did, and anything in capitals that must not be lost.
        delegates: in order of application.
        model_mb, init_ms, init_us, first_us, warmup_us, inference_us: as printed, None where not.
        warmup, runs: statistics of the two loops.
        memory_init_mb, memory_mb, peak_mb: footprints.
        sections: profiles.
        simulated: whether the delegate was played by the host.
    """

    parameters: tuple[tuple[str, str], ...] = ()
    graph: str = ""
    notes: tuple[str, ...] = ()
    delegates: tuple[Delegate, ...] = ()
    model_mb: float | None = None
    init_ms: float | None = None
    init_us: float | None = None
    first_us: float | None = None
    warmup_us: float | None = None
    inference_us: float | None = None
    warmup: Stat | None = None
    runs: Stat | None = None
    memory_init_mb: float | None = None
    memory_mb: float | None = None
    peak_mb: float | None = None
    sections: tuple[Section, ...] = ()
    simulated: bool = False

    def section(self, kind: str) -> Section | None:
        """The first section of a kind."""
        return next((s for s in self.sections if s.kind == kind), None)


def rows_of(measured: Sequence[tuple[str, str, float, float, int]]) -> tuple[LogRow, ...]:
    """Rows from (node type, name, first ms, avg ms per call, calls a run), shares worked out, at a log's precision."""
    total = sum(avg * calls for _, _, _, avg, calls in measured) or 1.0
    found, cdf = [], 0.0
    for node_type, name, first, avg, calls in measured:
        share = 100 * avg * calls / total
        cdf += share
        found.append(LogRow(node_type, round(first, 3), round(avg, 3), round(share, 3), round(cdf, 3), 0.0, calls, name))
    return tuple(found)
