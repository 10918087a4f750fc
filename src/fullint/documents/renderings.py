"""The ways in which a document can be shown. A new one is a module beside `text` and a row here; no command changes.

RENDERINGS["html"] = Rendering("Write the report as one HTML file.", html.render)         =>       --html FILE
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


RENDERINGS: dict[str, Rendering] = {}
"""Renderings that commands write to files, by the name of their flag. (Text for terminals is `text`, and needs none.)"""
