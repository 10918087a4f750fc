"""A document as text, for terminals and pipes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fullint.documents.document import Block, Document, Fact, Line, Table
from fullint.printable import one_line, shown

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 200
"""Columns where the output is no terminal: tables are no wider."""
LEAST = 8
"""Columns of a cell that gives way."""
LABEL = 14
_STYLES = {"title": "bold", "heading": "bold"}
_PREFIXES = {"note": "note: ", "warning": "warning: "}


def render(document: Document) -> str:
    """The document as plain text, without a line break at its end: by hand, since a terminal's renderer takes a second for it."""
    return "\n".join(line.rstrip() for block in document.blocks for line in _lines(block))


def _lines(block: Block) -> Iterator[str]:
    if isinstance(block, Line):
        yield f"{'  ' * block.depth}{_PREFIXES.get(block.level, '')}{shown(block.text)}"
    elif isinstance(block, Fact):
        yield f"  {block.label:<{LABEL}} {shown(block.text)}"
    elif isinstance(block, Table):
        yield from _rows(block)


def _rows(table: Table) -> Iterator[str]:
    """Columns as wide as their widest cell, in a terminal's cells; the widest give way where a line would be too long."""
    from rich.cells import cell_len, set_cell_size  # not needed by most commands

    if table.title:
        yield one_line(table.title)
    rows = [table.columns, *([one_line(cell) for cell in row] for row in table.rows)]
    widths = _fitting([max(map(cell_len, column)) for column in zip(*rows, strict=True)])

    def fitted(cell: str, width: int) -> str:
        return set_cell_size(cell, width) if cell_len(cell) <= width else set_cell_size(cell, max(width - 1, 0)) + "…"

    for row in rows:
        yield " " + "  ".join(fitted(cell, width) for cell, width in zip(row, widths, strict=True))


def _fitting(widths: list[int]) -> list[int]:
    """The widths of columns, the widest first made as narrow as the next, until lines are short enough."""
    while (excess := sum(widths) + 2 * len(widths) - PIPE_WIDTH) > 0 and max(widths) > LEAST:
        widest = max(widths)
        next_one = max([w for w in widths if w < widest], default=LEAST)
        places = [i for i, w in enumerate(widths) if w == widest]
        less = min(max(widest - next_one, 1), -(-excess // len(places)))
        widths = [max(w - less, LEAST) if i in places else w for i, w in enumerate(widths)]
    return widths


def show(document: Document) -> None:
    """Print the document on standard output: in a terminal with styles and as wide as that is, as plain text otherwise."""
    if sys.stdout is not None and sys.stdout.isatty():
        _write(document, _console())
    else:
        print(render(document))  # noqa: T201 - this is what it is for


def _console() -> Console:
    """Standard output."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)


def _write(document: Document, out: Console) -> None:
    from rich.text import Text

    for block in document.blocks:
        if isinstance(block, Line):
            prefix = _PREFIXES.get(block.level, "")
            text = Text.assemble("  " * block.depth, (prefix, "yellow"), (shown(block.text), _STYLES.get(block.level, "")))
            out.print(text)
        elif isinstance(block, Fact):
            out.print(Text(f"  {block.label:<{LABEL}} {shown(block.text)}"))
        elif isinstance(block, Table):
            _write_table(block, out)


def _write_table(table: Table, out: Console) -> None:
    from rich.table import Column
    from rich.table import Table as RichTable
    from rich.text import Text

    title = Text(one_line(table.title)) if table.title else None
    made = RichTable(*(Column(Text(c)) for c in table.columns), title=title, title_justify="left", box=None)
    for row in table.rows:
        made.add_row(*(Text(one_line(cell)) for cell in row))
    out.print(made)
