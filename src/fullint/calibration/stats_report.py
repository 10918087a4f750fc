"""What `calibrate` prints of a calibration file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fullint.calibration.stats_files import CalibrationStats
from fullint.documents import Block, Document, Line, Table, many, size
from fullint.reporting import SCHEMA_VERSION, Report
from fullint.version import __version__


@dataclass(frozen=True)
class EntryRow:
    """What is known of one graph that is run.

    Attributes:
        entry: its number; 0 is the main graph.
        samples: that were measured.
        held_back: those of them that `quantize` holds back for the certificate where it is given the same samples.
        tensors: whose ranges are known.
        sha256: tells the samples that calibrated from others.
    """

    entry: int
    samples: int
    held_back: int
    tensors: int
    sha256: str


@dataclass(frozen=True, repr=False)
class CalibrationReport(Report):
    """A calibration file.

    Attributes:
        file: its path, absolute.
        bytes: its size.
        entries: a row for each graph that is run.
        notes: how it was measured, where it is not as asked for.
        schema_version, fullint: of the report, and of the package.
    """

    file: str
    bytes: int
    entries: tuple[EntryRow, ...]
    notes: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION
    fullint: str = __version__

    @classmethod
    def of(cls, path: str | Path, stats: CalibrationStats, written: int) -> CalibrationReport:
        """Of a file of so many bytes."""
        rows = (
            EntryRow(i, e.count + len(e.held_runs), len(e.held_runs), len({s.key for s in e.stretches}), e.digest.hex())
            for i, e in enumerate(stats.entries)
        )
        return cls(str(Path(path).absolute()), written, tuple(rows), stats.notes)

    def rows(self) -> tuple[EntryRow, ...]:
        """A row for each graph."""
        return self.entries

    def document(self) -> Document:
        """What the report says."""
        return Document((*self._blocks(),))

    def _blocks(self) -> Iterator[Block]:
        if len(self.entries) > 1:
            yield Table(
                ("entry", "samples", "tensors"), tuple((str(e.entry), str(e.samples), str(e.tensors)) for e in self.entries)
            )
            yield Line("")
        samples, tensors = sum(e.samples for e in self.entries), sum(e.tensors for e in self.entries)
        yield Line(f"{self.file}: {many(samples, 'sample')}, {many(tensors, 'value')}, {size(self.bytes)}", "title")
        for note in self.notes:
            yield Line(note, "note")
