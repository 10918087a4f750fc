"""What the reports of the front ends say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fullint.documents import Document, Fact, Line, many

if TYPE_CHECKING:
    from fullint.frontends.environments import Environment
    from fullint.frontends.report import Conversion


def conversion_fact(c: Conversion) -> Fact:
    """Which tool made the float model, and how near it is to the original."""
    versions = ", ".join(f"{name} {version}" for name, version in c.versions.items())
    near = f"{c.sqnr_db:.0f} dB against {c.framework}" if c.sqnr_db is not None else "not compared"
    return Fact("converted by", f"{c.tool} ({versions}), {near}{', by an earlier run' if c.kept else ''}")


def conversion_document(c: Conversion) -> Document:
    """The report of `convert`."""
    return Document.of(Line(f"{c.framework} model: converted to a float .tflite", "title"), conversion_fact(c))


def environment_document(e: Environment) -> Document:
    """The report of `setup`."""
    done = f"created in {e.seconds:.0f} s" if e.created else "already there"
    return Document.of(
        Line(
            f"{e.framework}: {done}, {many(len(e.packages), 'package')}{f', Python {e.version}' if e.version else ''}, {e.folder}"
        )
    )
