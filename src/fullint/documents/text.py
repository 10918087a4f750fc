"""A document as text, for terminals and pipes."""

from __future__ import annotations

import io
from typing import IO, TYPE_CHECKING

from fullint.documents.document import Document, Fact, Line, Table
from fullint.printable import one_line, shown

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 200
"""Columns where the output is no terminal: wide enough for whole lines."""
LABEL = 14
_STYLES = {"title": "bold", "heading": "bold"}
_PREFIXES = {"note": "note: ", "warning": "warning: "}


def render(document: Document) -> str:
    """The document as plain text, without a line break at its end."""
    out = io.StringIO()
    _write(document, _console(out))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def show(document: Document) -> None:
    """Print the document on standard output: in a terminal with styles and as wide as that is, as plain text otherwise."""
    console = _console()
    if console.is_terminal:
        _write(document, console)
    else:
        print(render(document))  # noqa: T201 - this is what it is for


def _console(file: IO[str] | None = None) -> Console:
    """Standard output as it is, or a file as a pipe."""
    from rich.console import Console

    if file is None:
        return Console(highlight=False, soft_wrap=True)
    return Console(highlight=False, soft_wrap=True, file=file, force_terminal=False, width=PIPE_WIDTH)


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
