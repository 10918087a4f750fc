"""Documents as one HTML file that opens without a network and without a server.

    Document, …   ->   <style> page.css </style> <script type="application/json"> blocks </script> <script> page.js </script>

page.js and page.css are built from `frontend/` (node build.mjs). What a model says (names, descriptions) only stands in the
JSON, in which no tag can begin, and becomes text in the page, never HTML. A content security policy allows this script and no
other, and no request.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from fullint.documents.document import Document, Line
from fullint.printable import finite, one_line
from fullint.version import __version__

UNTITLED = "fullint"


@dataclass(frozen=True)
class Part:
    """A report on a page.

    Attributes:
        title: above it.
        blocks: as plain values (`Document.plain`).
    """

    title: str
    blocks: Sequence[dict[str, Any]]


def render(document: Document) -> str:
    """A page with one report."""
    return page([Part(title_of(document), document.plain())])


def embedded(document: Document) -> str:
    """A page with one report as an element of another page, as notebooks show it."""
    return framed(render(document), 360)


def framed(page_html: str, height: int = 860) -> str:
    """A page as an element of another one, so many pixels high."""
    style = f"width: 100%; height: {height}px; border: 0"
    return f'<iframe style="{style}" title="fullint" srcdoc="{html.escape(page_html)}"></iframe>'


def title_of(document: Document) -> str:
    """The text of the first title."""
    return next((one_line(b.text) for b in document.blocks if isinstance(b, Line) and b.level == "title"), UNTITLED)


def page(parts: Sequence[Part]) -> str:
    """A page with several reports, one below the other."""
    title = " + ".join(part.title for part in parts)
    body = {"title": title, "fullint": __version__, "parts": [{"title": p.title, "blocks": list(p.blocks)} for p in parts]}
    script, style = (_own(name) for name in ("page.js", "page.css"))
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{_hash(script)}'"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>{style}</style>
</head>
<body>
<main id="page"><noscript>This page needs JavaScript; fullint prints the same as text.</noscript></main>
<script type="application/json" id="report">{_inert(body)}</script>
<script>{script}</script>
</body>
</html>
"""


def _inert(body: Any) -> str:
    """JSON in which no tag can begin and no comment, for a script element."""
    text = json.dumps(finite(body, lambda _: None), ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _own(name: str) -> str:
    return files("fullint.documents").joinpath("page").joinpath(name).read_text("utf-8").strip()


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
