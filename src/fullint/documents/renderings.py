"""The ways in which a document can be shown. A new one is a module beside `text` and a row here; no command changes.

"html": Rendering("Write the report as one HTML file, too.", _html)         =>       --html FILE
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fullint.documents.document import Document


@dataclass(frozen=True)
class Rendering:
    """A way of showing a document in a file.

    Attributes:
        help: of its flag.
        render: the file's text.
    """

    help: str
    render: Callable[[Document], str]


def _html(document: Document) -> str:
    from fullint.documents.html import render  # slow to import, and mostly not needed

    return render(document)


RENDERINGS: dict[str, Rendering] = {
    "html": Rendering("Write the report as one HTML page, too, with the network as a picture; it opens without a network.", _html)
}
"""Renderings that commands write to files, by the name of their flag. (Text for terminals is `text`, and needs none.)"""
