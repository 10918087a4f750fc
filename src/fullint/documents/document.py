"""What a report says, as a value: lines, facts with a label, tables. How it looks is up to a rendering.

Line("model.tflite: all integer", "title")        model.tflite: all integer
Fact("operators", "12, none of them float")         operators      12, none of them float
Table(("op", "ms"), (("CONV_2D", "1.3"), ...))      op       ms
CONV_2D  1.3
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from fullint.documents.graph import GraphBlock

LINE_LEVELS = ("plain", "title", "heading", "note", "warning")
"""What a line is: running text, a title, a heading below it, or something the reader should know."""


@dataclass(frozen=True)
class Line:
    """A sentence, a title or a warning.

    Attributes:
        text: without a line break.
        level: one of `LINE_LEVELS`.
        depth: how deeply it is nested in what stands above it.
    """

    text: str
    level: str = "plain"
    depth: int = 0


@dataclass(frozen=True)
class Fact:
    """A labelled value.

    Attributes:
        label: what it is; "" continues the fact above.
        text: the value.
    """

    label: str
    text: str


@dataclass(frozen=True)
class Table:
    """Rows of cells.

    Attributes:
        columns: their headings.
        rows: one cell for each column.
        title: a line above it, or "".
        graph: position of the document's graph that the first column's numbers are operators of, -1 for none.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""
    graph: int = -1

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.columns) for row in self.rows), self.columns


@dataclass(frozen=True)
class Picture:
    """A small picture of a sample.

    Attributes:
        text: what it shows.
        data: the picture as a data URI.
    """

    text: str
    data: str


Block = Line | Fact | Table | GraphBlock | Picture


@dataclass(frozen=True)
class Document:
    """Blocks in reading order."""

    blocks: tuple[Block, ...]

    @classmethod
    def of(cls, *blocks: Block) -> Document:
        """A document of these blocks."""
        return cls(blocks)

    def plain(self) -> list[dict[str, Any]]:
        """The blocks as plain values, each with its kind as "block"."""
        return [{"block": type(b).__name__.lower().removesuffix("block"), **asdict(b)} for b in self.blocks]
