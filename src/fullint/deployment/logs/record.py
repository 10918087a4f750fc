"""The contents of a benchmark log, in the log's own units and precision.

`avg_ms` of a row is per call and `times_called` counts the calls of one run, so a run spends avg_ms * times_called there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

INIT, RUN, INTERNAL = "init", "run", "delegate internal"
SIMULATED = "SIMULATED ON HOST"
"""The mark on every line of a log whose delegate was simulated."""


@dataclass(frozen=True)
class Stat:
    """Statistics of a series: its count, and the values in microseconds by name ("avg", "std", "p95", …)."""

    count: int
    values: dict[str, float] = field(default_factory=dict)

    def __getitem__(self, name: str) -> float:
        return self.values[name]


@dataclass(frozen=True)
class LogRow:
    """One row of a profile in run order.

    Attributes:
        node_type: type of the operator, or name of the delegate.
        first_ms: time of the first call, in milliseconds.
        avg_ms: mean time per call, in milliseconds.
        percent: share of the section's time, for all calls together, in percent.
        cdf: running sum of `percent`.
        mem_kb: memory used, in KB.
        times_called: calls per run.
        name: as printed; "[output tensors]:node" for an operator.
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
        """Time per run, in milliseconds."""
        return self.avg_ms * self.times_called

    @property
    def outputs(self) -> list[str]:
        """Names of the tensors it writes, if it is an operator."""
        head, bracket, _ = self.name.rpartition("]:")
        return head[1:].split(", ") if bracket and head.startswith("[") else []

    @property
    def node(self) -> int:
        """Index of the node, -1 if there is none."""
        tail = self.name.rpartition(":")[2]
        return int(tail) if tail.isdecimal() else -1


@dataclass(frozen=True)
class Section:
    """A profile; `kind` is `INIT` (initialization), `RUN` (the runs) or `INTERNAL` (inside delegates)."""

    kind: str
    rows: tuple[LogRow, ...]
    timings: Stat | None = None
    title: str = ""

    @property
    def run_ms(self) -> float:
        """Total time of the rows per run, in milliseconds."""
        return sum(row.run_ms for row in self.rows)


@dataclass(frozen=True)
class Delegate:
    """A delegate, as in the runtime's line "Replacing … node(s) with delegate …".

    Attributes:
        name: its name, such as "TfLiteXNNPackDelegate".
        nodes: number of nodes it replaced.
        partitions: resulting number of partitions, delegated or not.
        of: number of nodes before, None if the line does not say.
        subgraph: index of the subgraph, None if the line does not say.
    """

    name: str
    nodes: int
    partitions: int
    of: int | None = None
    subgraph: int | None = None


@dataclass(frozen=True)
class RefusedKind:
    """Operators of a kind that a delegate refused, in its own words."""

    kind: str
    reason: str


@dataclass(frozen=True)
class DelegateSaid:
    """What a log says of one delegate.

    Attributes:
        name: "GPU", "NNAPI", "XNNPACK", "HEXAGON", "EXTERNAL" or its own name.
        status: "whole" (it runs the whole graph), "part", "none" (it took nothing), "taken back" (it failed to prepare, and the
            graph is as before), or "created" where nothing else is said.
        nodes: operators it took, None if the log does not say.
        of: operators of the graph, None if the log does not say.
        kernels: its kernels, None if the log does not say.
        partitions: of the graph with it, None if the log does not say.
        refused: what it refused.
        errors: what went wrong, as printed.
    """

    name: str
    status: str = "created"
    nodes: int | None = None
    of: int | None = None
    kernels: int | None = None
    partitions: int | None = None
    refused: tuple[RefusedKind, ...] = ()
    errors: tuple[str, ...] = ()


@dataclass(frozen=True)
class BenchLog:
    """The log of one run of the tool.

    Attributes:
        parameters: (label, value) as printed before the run.
        graph: path of the model.
        notes: lines about what a delegate did, and lines with the mark `SIMULATED`.
        delegates: in order of application.
        model_mb, init_ms, init_us, first_us, warmup_us, inference_us: as printed, None if missing.
        warmup, runs: statistics of the warm-up and of the measured runs.
        memory_init_mb, memory_mb, peak_mb: memory footprints in MB.
        sections: the profiles.
        simulated: whether the delegate was simulated on the host.
        said: what delegates say of themselves.
        unread: lines that should say something and are damaged, each with its number.
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
    said: tuple[DelegateSaid, ...] = ()
    unread: tuple[str, ...] = ()

    def section(self, kind: str) -> Section | None:
        """The first section of a kind, or None."""
        return next((s for s in self.sections if s.kind == kind), None)


def rows_of(measured: Sequence[tuple[str, str, float, float, int]]) -> tuple[LogRow, ...]:
    """Rows from (node type, name, first ms, mean ms per call, calls per run), with shares, rounded as in a log."""
    total = sum(avg * calls for _, _, _, avg, calls in measured) or 1.0
    found, cdf = [], 0.0
    for node_type, name, first, avg, calls in measured:
        share = 100 * avg * calls / total
        cdf += share
        found.append(LogRow(node_type, round(first, 3), round(avg, 3), round(share, 3), round(cdf, 3), 0.0, calls, name))
    return tuple(found)
