"""What a job's result depends on, as one hash: models, samples, options and versions.

    key = SHA-256 of   command | contents of the models, and of the files that hold their constants | contents of the samples
                       | other options | releases of fullint, LiteRT and NumPy

What takes more or less time and memory, and nothing else, is left out: `threads`, limits of workers.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fullint.fleets.jobs import PATHS, Job
from fullint.model.tflite import is_tflite, read_model
from fullint.options import Recipe
from fullint.runtime.litert_release import installed
from fullint.version import __version__

NO_MATTER = ("threads", "worker_memory", "worker_seconds")
_BLOCK = 2**20


def key_of(job: Job) -> str | None:
    """The key; None where the result may depend on more: what a Python file yields, a framework's converter, files of a recipe.

    Raises:
        OSError: a file cannot be read.
    """
    options = {k: v for k, v in job.options.items() if k not in NO_MATTER and v is not None}
    recipe = options.get("recipe")
    if isinstance(recipe, str) and not {*PATHS}.isdisjoint(Recipe.read(recipe).options):
        return None
    if not all(Path(m).is_file() and is_tflite(m) for m in job.models):
        return None
    contents = []
    for name in PATHS:
        for key, value in _named(options.get(name)):
            digest = _digest_of(value) if isinstance(value, str | Path) else ""  # other values are among the options
            if digest is None and name != "labels":  # these may be the name of an array of the samples
                return None
            contents.append([name, key, digest])
            if digest and name != "labels" and not isinstance(options[name], Mapping):
                options[name] = ""  # where it lies is no matter
    versions = [__version__, installed(), np.__version__, _pillow(), platform.machine()]
    models = [_model_digest(Path(m)) for m in job.models]
    said = [job.command, models, contents, options, versions]
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=list).encode()).hexdigest()


def _pillow() -> str:
    """The release that decodes images, if there is one."""
    try:
        return importlib.metadata.version("Pillow")
    except importlib.metadata.PackageNotFoundError:
        return ""


def _named(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        yield from ((str(k), v) for k, v in value.items())
    elif value is not None:
        yield "", value


def _digest_of(value: str | Path) -> str | None:
    """Of a file or folder, and of what is chosen in it; None where its contents do not say what it gives."""
    text, chosen = str(value), ""
    if not _there(text) and "=" in text:  # KEY=DATA
        chosen, _, text = text.partition("=")
    path = Path(text)
    while not _there(path) and ":" in path.name:
        name, _, more = path.name.rpartition(":")
        path, chosen = path.with_name(name), f":{more}{chosen}"
    if not _there(path) or path.suffix == ".py":
        return None
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    made = hashlib.sha256(chosen.encode("utf-8", "surrogateescape"))
    for file in files:
        below = os.fsencode(file.relative_to(path)) if path.is_dir() else b""
        made.update(f"\0{len(below)} {file.stat().st_size}\0".encode() + below)
        _update(made, file)
    return made.hexdigest()


def _there(path: str | Path) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # too long, or no name at all
        return False


def _model_digest(path: Path) -> str:
    made = hashlib.sha256()
    _update(made, path)
    for name in _outside(path):
        made.update(f"\0{name}\0".encode("utf-8", "surrogateescape"))
        if (path.parent / name).is_file():
            _update(made, path.parent / name)
    return made.hexdigest()


def files_of_model(path: Path) -> list[Path]:
    """A model's file, and those that its constants lie in."""
    outside = _outside(path) if is_tflite(path) else []
    return [path, *(path.parent / name for name in outside if (path.parent / name).is_file())]


def _outside(path: Path) -> list[str]:
    """Names of the files that constants of a .tflite lie in, besides itself."""
    groups: Any = read_model(path).external_groups or ()
    return [g.name.decode("utf-8", "surrogateescape") if isinstance(g.name, bytes) else g.name or "" for g in groups]


def _update(made: Any, path: Path) -> None:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            made.update(block)
