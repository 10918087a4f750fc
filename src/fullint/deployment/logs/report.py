"""What `readlog` found, as frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field

from fullint.deployment.logs.compilers import CompilerReport
from fullint.deployment.logs.record import DelegateSaid
from fullint.deployment.logs.report_document import log_document
from fullint.documents import Document
from fullint.reporting import Report


@dataclass(frozen=True)
class DelegateTime:
    """Time spent in one delegate, or in the operators that no delegate runs.

    Attributes:
        name: the node type of its rows ("TfLiteXNNPackDelegate"); "none" for operators that the runtime runs itself.
        nodes: number of the model's operators it runs, None if the log does not say.
        kernels: number of its nodes in the graph that runs.
        ms: time per run, in milliseconds.
        share: share of a run, 0 to 1.
        inside: whether the log shows the operators inside it.
    """

    name: str
    nodes: int | None
    kernels: int
    ms: float
    share: float
    inside: bool


@dataclass(frozen=True)
class FloatPart:
    """The part of a run that is computed in float.

    Attributes:
        operators: calls of float operators per run.
        by_kernel: number of float operators in each kernel, in ascending order, inferred from the call counts.
        operators_ms: their time per run, in milliseconds.
        conversions: calls of conversions per run.
        conversions_ms: their time per run, in milliseconds.
        names: (name without its index, calls, milliseconds) of each float operator.
    """

    operators: int
    by_kernel: tuple[int, ...]
    operators_ms: float
    conversions: int
    conversions_ms: float
    names: tuple[tuple[str, int, float], ...] = ()


@dataclass(frozen=True)
class Bound:
    """Speed-up factors that an all-integer model can reach, and the assumptions behind them."""

    at_least: float
    conversions_only: float
    at_most: float
    assumptions: tuple[str, ...]


@dataclass(frozen=True)
class KindTime:
    """Operators of a kind that the runtime runs itself, by the profile.

    Attributes:
        kind: TFLite's name.
        operators: how many.
        ms: their time per run, in milliseconds.
        share: share of a run, 0 to 1.
    """

    kind: str
    operators: int
    ms: float
    share: float


@dataclass(frozen=True)
class Timing:
    """What the tool measured, in milliseconds; None where the log does not say."""

    init_ms: float | None
    first_ms: float | None
    warmup_ms: float | None
    mean_ms: float | None
    median_ms: float | None
    threads: int | None
    memory_mb: float | None


@dataclass(frozen=True)
class Joined:
    """One row of the log and the model's operators it stands for: in words, and their indices; and its time per run."""

    row: str
    operators: tuple[str, ...]
    indices: tuple[int, ...] = ()
    ms: float = 0.0


@dataclass(frozen=True, repr=False)
class LogReport(Report):
    """The result of `readlog`.

    Attributes:
        schema_version: version of the report's fields.
        log: path of the log.
        model: path of the model given, or None.
        graph: path of the model according to the log.
        simulated: whether the log is marked as simulated on a host.
        nodes: number of the model's operators, None if the log does not tell.
        partitions: number of partitions, delegated or not, as the runtime counts them.
        total_ms: time of one run by the profile, in milliseconds.
        measured_ms: mean latency measured without the profile, in milliseconds.
        delegates: time per delegate.
        float_part: what is computed in float, None if the log does not show it.
        bound: what an all-integer model can gain, None if the log does not show it.
        joined: rows matched with operators of the model.
        warnings: limits of what the log shows.
        profile: whether the log has a profile of the runs; without one `total_ms` is the tool's own mean.
        said: what delegates say of themselves: what they took and refused, and whether it was taken back.
        timing: what the tool measured, None for a compiler's report.
        kinds: operators that the runtime runs itself, by kind, the slowest first.
        slowest: (node, kind, milliseconds, share) of the slowest of them; None where there is none.
        compiler: the report of a compiler, where it is one and no log.
        others: the other runs in the same file.
    """

    schema_version: int
    log: str
    model: str | None
    graph: str
    simulated: bool
    nodes: int | None
    partitions: int | None
    total_ms: float
    measured_ms: float | None
    delegates: tuple[DelegateTime, ...]
    float_part: FloatPart | None
    bound: Bound | None
    joined: tuple[Joined, ...] = ()
    warnings: tuple[str, ...] = field(default_factory=tuple)
    profile: bool = True
    said: tuple[DelegateSaid, ...] = ()
    timing: Timing | None = None
    kinds: tuple[KindTime, ...] = ()
    slowest: tuple[int, str, float, float] | None = None
    compiler: CompilerReport | None = None
    others: tuple[LogReport, ...] = ()

    def rows(self) -> tuple[DelegateTime, ...]:
        """The time per delegate."""
        return self.delegates

    def document(self) -> Document:
        """What the report says."""
        return log_document(self)
