"""Common parts of fullint's reports, which are frozen dataclasses; `--json` prints exactly their fields.

`SCHEMA_VERSION` increases when a field is removed or changes its meaning, not when a field is added.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fullint.documents import Document, cut
from fullint.documents.text import render
from fullint.files import save
from fullint.printable import finite, shown_json

SCHEMA_VERSION = 1


class Report(ABC):
    """Base class of reports. `print(report)` shows what the command prints."""

    @abstractmethod
    def document(self) -> Document:
        """What the report says, to be rendered."""

    def to_json(self, document: Document | None = None) -> str:
        """The report as JSON, indented.

        Args:
            document: to be part of it, as `document`: what `fullint report` makes a page of.
        """
        return to_json(self, document)

    def rows(self) -> Iterable[Any]:
        """The rows of the report's table, as dataclasses or dicts."""
        return [self]

    def records(self) -> list[dict[str, Any]]:
        """The rows as flat dicts, for `pandas.DataFrame`; keys of nested fields are joined by dots."""
        return [_flat(r if isinstance(r, dict) else dataclasses.asdict(r)) for r in self.rows()]

    def to_csv(self) -> str:
        """The rows of the report's table, with a heading; lists are joined by spaces, and what is not known is empty."""
        records = [{k: " ".join(map(str, v)) if isinstance(v, list | tuple) else v for k, v in r.items()} for r in self.records()]
        out = io.StringIO()
        writer = csv.DictWriter(out, list(dict.fromkeys(key for r in records for key in r)), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
        return out.getvalue()

    def __str__(self) -> str:
        """The report as text, as the command prints it."""
        return render(self.document())

    def _repr_html_(self) -> str:
        """The report as notebooks show it."""
        from fullint.documents.html import embedded  # not needed outside of notebooks

        return embedded(self.document())

    def __repr__(self) -> str:
        """Its short fields, and how much the others hold."""
        assert dataclasses.is_dataclass(self)
        shown = (f"{f.name}={_short(getattr(self, f.name))}" for f in dataclasses.fields(self) if f.name != "schema_version")
        return f"{type(self).__name__}({', '.join(shown)})"


class ModelResult(ABC):
    """Base class of what calls return that make a model: its bytes, and a report of how they came about."""

    model: bytes

    @abstractmethod
    def _report(self) -> Report:
        """What `print` shows."""

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write the model to a file, whole or not at all.

        Args:
            path: of the file.
            force: overwrite it if it exists.

        Raises:
            OutputExistsError: it exists, and `force` is not set.
            UsageError: it cannot be written.
        """
        save(path, self.model, force=force)

    def __str__(self) -> str:
        """The report as text."""
        return str(self._report())

    def _repr_html_(self) -> str:
        """The report as notebooks show it."""
        return self._report()._repr_html_()

    def __repr__(self) -> str:
        """Its size, and the report in short."""
        return f"{type(self).__name__}({len(self.model)} bytes, {self._report()!r})"


def _short(value: Any) -> str:
    """A value in a few characters: containers are counted."""
    if isinstance(value, str | int | float | None):
        return cut(repr(value))
    if isinstance(value, dict | list | tuple):
        return f"<{len(value)}>"
    return f"<{type(value).__name__}>"


def _flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A dict without nested dicts; sequences of anything but strings and numbers are left out."""
    found: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        elif not isinstance(value, list | tuple) or all(isinstance(v, str | int | float | None) for v in value):
            found[f"{prefix}{key}"] = value
    return found


def to_json(report: Any, document: Document | None = None) -> str:
    """A report dataclass as indented JSON, with its document if one is given."""
    more = {"document": document.plain()} if document is not None else {}
    return json_text(finite(dataclasses.asdict(report) | more, str))


def json_text(body: Any) -> str:
    """Plain values as indented JSON that any terminal and file can take."""
    return shown_json(json.dumps(body, indent=2, ensure_ascii=False, allow_nan=False))


@dataclass(frozen=True)
class Change:
    """A change to the model, for the report.

    Attributes:
        rule: name of the pass.
        index: index of the operator in the input file.
        kind: TFLite's name of the operator.
        output: name of its first output tensor.
        why: the reason, as a sentence.
        done: False if the pattern was recognised but not rewritten.
    """

    rule: str
    index: int
    kind: str
    output: str
    why: str
    done: bool = True
