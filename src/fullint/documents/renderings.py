"""The ways in which a document can be shown. A new one is a module beside `text` and a row here; no command changes.

"html": Rendering("Write the report as one HTML file, too.", _html)         =>       --html FILE
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fullint.documents.document import Document


@dataclass(frozen=True)
class Rendering:
    """A way of showing a document in a file.

    Attributes:
        help: of its flag.
        render: the file's text.
        beside: the texts of more files, by a word that goes into their names.
    """

    help: str
    render: Callable[[Document], str]
    beside: Callable[[Document], Mapping[str, str]] = lambda _: {}


def _html(document: Document) -> str:
    from fullint.documents.html import render  # slow to import, and mostly not needed

    return render(document)


def _overlay(document: Document) -> str:
    from fullint.documents.model_explorer import first

    return first(document)


def _more_overlays(document: Document) -> Mapping[str, str]:
    from fullint.documents.model_explorer import others

    return others(document)


RENDERINGS: dict[str, Rendering] = {
    "html": Rendering(
        "Write the report as one HTML page, too, with the network as a picture; it opens without a network.", _html
    ),
    "model-explorer": Rendering(
        "Write what is known of operators as node data for Model Explorer, too: FILE, and FILE with a word before its suffix.",
        _overlay,
        _more_overlays,
    ),
}
"""Renderings that commands write to files, by the name of their flag. (Text for terminals is `text`, and needs none.)"""
