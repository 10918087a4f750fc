"""The options of a run as a report repeats them: enough to run it again.

report.options          ->          quantize(**report.options)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from fullint.options.choices import RunOptions
from fullint.options.flags import flag_of
from fullint.options.of_samples import BYTES, numbers
from fullint.options.recipes import recipe_of


def reported(options: RunOptions) -> dict[str, Any]:
    """The choices as JSON holds them, by name: what a report repeats, and a call takes again.

    Paths are absolute. A model or samples that have no path are described; to repeat the run, they have to be given again.
    """
    chosen = {f.name: getattr(options, f.name) for f in fields(options) if flag_of(f).reported}
    chosen |= {"recipe": recipe_of(options.recipe).tables() if options.recipe is not None else None}
    chosen |= {name: list(numbers(chosen[name])) for name in ("mean", "std") if not isinstance(chosen[name], int | float)}
    chosen |= {"stats": _source(chosen["stats"])} if "stats" in chosen else {}
    labels = options.labels
    named = isinstance(labels, str) and not Path(labels).exists()
    given = {"model": _source(options.model), "samples": _source(options.samples), "labels": labels if named else _source(labels)}
    return given | {name: list(value) if isinstance(value, tuple) else value for name, value in chosen.items()}


def model_name(options: Mapping[str, Any]) -> str:
    """What to call the model of a run, by its reported options: its file's name, or "model" where it was bytes."""
    given = str(options["model"])
    return "model" if given.startswith(BYTES) else Path(given).name


def _source(given: Any) -> Any:
    """Where a model or samples came from: an absolute path, or what kind of object it was."""
    if given is None:
        return None
    if isinstance(given, str | Path):
        key, equals, data = str(given).partition("=")
        if equals and data and not Path(given).exists() and "/" not in key:  # of a signature: KEY=DATA
            return f"{key}={Path(data).absolute()}"
        return str(Path(given).absolute())
    if isinstance(given, bytes | bytearray | memoryview):
        import hashlib

        return f"{BYTES}{hashlib.sha256(given).hexdigest()}"
    if isinstance(given, Mapping):
        return {str(key): _source(value) for key, value in given.items()}
    shape = f" {list(given.shape)}" if hasattr(given, "shape") else ""
    name = f" {given.__name__}" if hasattr(given, "__name__") else ""
    return f"<{type(given).__name__}{name}{shape}>"
