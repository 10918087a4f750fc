"""The report of a fleet: one row a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fullint.documents import Block, Document, Line, Table, many
from fullint.fleets.outcome import JobOutcome
from fullint.reporting import SCHEMA_VERSION, Report
from fullint.version import __version__

MOST_FOLDERS = 20
"""Of a path that are shown."""


@dataclass(frozen=True, repr=False)
class FleetReport(Report):
    """What became of many models.

    Attributes:
        command: that was run on each.
        jobs: what became of each, in the order in which they were given.
        processes: that worked at the same time.
        seconds: wall time of all.
        schema_version, fullint: of the report, and of the package.
    """

    command: str
    jobs: tuple[JobOutcome, ...]
    processes: int
    seconds: float
    schema_version: int = SCHEMA_VERSION
    fullint: str = __version__

    @property
    def exit_code(self) -> int:
        """The worst of all: 0 done, 1 contract not met or findings, 2 bad use or bad input."""
        return max((job.exit_code for job in self.jobs), default=0)

    def rows(self) -> list[dict[str, Any]]:
        """A row for each model."""
        return [{**asdict(job), "model": job.models[0]} for job in self.jobs]

    def document(self) -> Document:
        """What the report says."""
        return Document((*self._blocks(),))

    def _blocks(self) -> Iterator[Block]:
        names = list(dict.fromkeys(name for job in self.jobs for name in job.figures))
        shown = _short_names(self.jobs)
        rows = tuple(
            (name, job.status, f"{job.seconds:.1f} s", *(_cell(job.figures.get(n)) for n in names), job.message)
            for name, job in zip(shown, self.jobs, strict=True)
        )
        yield Table(("model", "status", "time", *names, "said"), rows)
        yield Line("")
        counts = Counter(job.status for job in self.jobs)
        states = ", ".join(f"{count} {status}" for status, count in counts.items())
        processes = "1 process" if self.processes == 1 else f"{self.processes} processes"
        yield Line(f"{many(len(self.jobs), 'model')}: {states}; {self.seconds:.1f} s with {processes}", "title")


def _short_names(jobs: Sequence[JobOutcome]) -> list[str]:
    """File names, with as many folders as tell them apart; of a pair, both."""
    paths = [Path(model) for job in jobs for model in job.models]
    depth = 1
    while depth < MOST_FOLDERS and len({p.parts[-depth:] for p in paths}) < len({*paths}):
        depth += 1
    return [", ".join(str(Path(*Path(m).parts[-depth:])) for m in job.models) for job in jobs]


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if isinstance(value, float) else str(value)
