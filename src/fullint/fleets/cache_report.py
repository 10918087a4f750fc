"""The report of `fullint cache`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from fullint.documents import Block, Document, Line, Table, many, size
from fullint.fleets.cache import Kept
from fullint.reporting import SCHEMA_VERSION, Report


@dataclass(frozen=True, repr=False)
class CacheReport(Report):
    """Entries of a cache.

    Attributes:
        action: "list", "check" or "prune": then, those that were taken away.
        folder: its path.
        entries: key, bytes, when it was made (seconds since 1970), and what is wrong with it, "" for nothing.
        schema_version: of the report.
    """

    action: str
    folder: str
    entries: tuple[Kept, ...]
    schema_version: int = SCHEMA_VERSION

    @property
    def damaged(self) -> int:
        """Entries that something is wrong with."""
        return sum(bool(e.damage) for e in self.entries)

    def rows(self) -> tuple[Kept, ...]:
        """The entries."""
        return self.entries

    def document(self) -> Document:
        """What the report says."""
        return Document((*self._blocks(),))

    def _blocks(self) -> Iterator[Block]:
        shown = [e for e in self.entries if e.damage or self.action != "check"]
        if shown:
            when = "%Y-%m-%d %H:%M"
            rows = tuple((e.key[:12], size(e.bytes), time.strftime(when, time.localtime(e.made)), e.damage) for e in shown)
            yield Table(("entry", "size", "made", "damage"), rows)
            yield Line("")
        count, total = many(len(self.entries), "result"), size(sum(e.bytes for e in self.entries))
        done = {"list": "kept", "check": f"checked, {self.damaged} of them damaged", "prune": "taken away"}[self.action]
        yield Line(f"{self.folder}: {count} {done}, {total}", "title")
