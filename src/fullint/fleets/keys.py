"""What a job's result depends on, as one hash: models, samples, options and versions.

    key = SHA-256 of   command | contents of the models, and of the files that hold their constants | contents of the samples
                       | other options | releases of fullint, LiteRT and NumPy

What takes more or less time and memory, and nothing else, is left out: `threads`, limits of workers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fullint.fleets.jobs import PATHS, Job
from fullint.model.tflite import is_tflite, read_model
from fullint.runtime.litert_release import installed
from fullint.version import __version__

NO_MATTER = ("threads", "worker_memory", "worker_seconds")
_BLOCK = 2**20


def key_of(job: Job) -> str | None:
    """The key, None where the result may depend on what no file holds: a Python file that samples come from.

    Raises:
        OSError: a file cannot be read.
    """
    options = {k: v for k, v in job.options.items() if k not in NO_MATTER and v is not None}
    contents: dict[str, Any] = {}
    for name in PATHS:
        given = options.pop(name, None)
        found = {key: _digest_of(value) for key, value in _named(given)}
        if None in found.values():
            return None
        contents[name] = found
    versions = [__version__, installed(), np.__version__]
    models = [_model_digest(Path(m)) for m in job.models]
    said = [job.command, models, contents, options, versions]
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=list).encode()).hexdigest()


def _named(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        yield from ((str(k), v) for k, v in value.items())
    elif value is not None:
        yield "", value


def _digest_of(value: Any) -> str | None:
    """Of a file or folder, and of what is chosen in it; None where its contents do not say what it gives."""
    path, chosen = Path(str(value)), ""
    while not path.exists() and ":" in path.name:
        name, _, more = path.name.rpartition(":")
        path, chosen = path.with_name(name), f":{more}{chosen}"
    if not path.exists() or path.suffix == ".py":
        return None
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    made = hashlib.sha256(chosen.encode())
    for file in files:
        made.update(f"\0{file.relative_to(path) if path.is_dir() else ''}\0".encode("utf-8", "surrogateescape"))
        _update(made, file)
    return made.hexdigest()


def _model_digest(path: Path) -> str:
    made = hashlib.sha256()
    _update(made, path)
    if is_tflite(path):
        for group in read_model(path).external_groups or ():  # type: ignore[attr-defined]
            name = group.name.decode("utf-8", "surrogateescape") if isinstance(group.name, bytes) else group.name or ""
            if (path.parent / name).is_file():
                _update(made, path.parent / name)
    return made.hexdigest()


def _update(made: Any, path: Path) -> None:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            made.update(block)
