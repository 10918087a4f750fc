"""Reports that were written with `--json --details`, joined in one page.

a.json, b.json      =>      one page, a part for each, with a title of its own
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fullint.documents.html import Part, page
from fullint.errors import UsageError
from fullint.files import unreadable
from fullint.pages.page import Page

_LARGEST = 1 << 28
"""Bytes of a file."""
_LONGEST = 1 << 20
"""Characters of a text in it."""


def report(*files: str | Path) -> Page:
    """One HTML page of several reports.

    Args:
        files: written with `--json --details`, or `report.to_json(document)`.

    Raises:
        UsageError: a file cannot be read, or is no such report.
    """
    if not files:
        raise UsageError("give at least one report, written with --json --details")
    return Page(page([_part(Path(f)) for f in files]))


def _part(path: Path) -> Part:
    why = unreadable(path)
    if why is not None:
        raise UsageError(why)
    try:
        if path.stat().st_size > _LARGEST:
            raise UsageError(f"{path}: larger than {_LARGEST >> 20} MB")
        body = json.loads(path.read_bytes())
    except OSError as e:
        raise UsageError(f"{path}: cannot be read: {e.strerror}") from e
    except (ValueError, RecursionError) as e:
        raise UsageError(f"{path}: not JSON ({e})") from e
    blocks = body.get("document") if isinstance(body, dict) else None
    if blocks is None:
        raise UsageError(f"{path}: no report with a document: write it with --json --details")
    if not isinstance(blocks, list) or not all(isinstance(b, dict) for b in blocks):
        raise UsageError(f"{path}: its document is damaged")
    for i, block in enumerate(blocks):
        check = _CHECKS.get(str(block.get("block")))
        if check is None or not check(block):
            raise UsageError(f"{path}: block {i} of its document is damaged")
    title = next((b["text"] for b in blocks if b["block"] == "line" and b.get("level") == "title"), path.name)
    return Part(f"{path.name}: {title}", blocks)


def _text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(value: Any, count: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -1 <= value < count


def _each(value: Any, fits: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and all(fits(v) for v in value)


def _is_line(b: Mapping[str, Any]) -> bool:
    return _text(b.get("text")) and _text(b.get("level")) and _number(b.get("depth"))


def _is_fact(b: Mapping[str, Any]) -> bool:
    return _text(b.get("label")) and _text(b.get("text"))


def _is_table(b: Mapping[str, Any]) -> bool:
    width = len(b["columns"]) if isinstance(b.get("columns"), list) else -1
    return (
        _text(b.get("title"))
        and _number(b.get("graph", -1))
        and _each(b.get("columns"), _text)
        and _each(b.get("rows"), lambda row: _each(row, _text) and len(row) == width)
    )


def _is_picture(b: Mapping[str, Any]) -> bool:
    return _text(b.get("text")) and _text(b.get("data")) and b["data"].startswith("data:image/png;base64,")


def _is_graph(b: Mapping[str, Any]) -> bool:
    if not _text(b.get("title")) or not isinstance(b.get("nodes"), list):
        return False
    count = len(b["nodes"])
    return (
        _each(b["nodes"], _is_node)
        and _each(
            b.get("edges"), lambda e: isinstance(e, dict) and _whole(e.get("source"), count) and _whole(e.get("target"), count)
        )
        and _each(b.get("measures"), lambda m: isinstance(m, dict) and _is_measure(m, count))
    )


def _is_node(n: Any) -> bool:
    if not isinstance(n, dict) or not all(_text(n.get(key)) for key in ("kind", "name", "layer", "type", "badge")):
        return False
    pairs = _each(n.get("facts"), lambda f: _each(f, _text) and len(f) == 2)
    h = n.get("histogram")
    numbers = ("low", "high", "clipped_low", "clipped_high")
    held = h is None or (isinstance(h, dict) and all(_number(h.get(k)) for k in numbers) and _each(h.get("counts"), _number))
    piece = n.get("piece") is None or _number(n["piece"])
    return (
        pairs and held and piece and _number(n.get("index")) and _each(n.get("marks"), _text) and _each(n.get("twins"), _number)
    )


def _is_measure(m: Mapping[str, Any], count: int) -> bool:
    values: Sequence[Any] | None = m.get("values")
    fits = _each(values, lambda v: v is None or _number(v)) and values is not None and len(values) == count
    return fits and _text(m.get("name")) and _text(m.get("unit")) and isinstance(m.get("low_is_bad"), bool)


_CHECKS: Mapping[str, Callable[[Mapping[str, Any]], bool]] = {
    "line": _is_line,
    "fact": _is_fact,
    "table": _is_table,
    "picture": _is_picture,
    "graph": _is_graph,
}
