"""Float models that were converted before, by the content of what they were made of.

    sha256(the file or folder, batch, shapes, the tool's requirements, fullint)  ->  FOLDER/converted/KEY.json, KEY.tflite

FOLDER is that of the environments. A file that may depend on others is converted each time: Python code, and ONNX with data
outside.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib.metadata import distributions
from pathlib import Path

from fullint.files import write_atomically
from fullint.frontends.environments import Environment, root
from fullint.frontends.formats import WORKERS
from fullint.frontends.report import Conversion
from fullint.version import __version__

KEPT_BYTES = 2_000_000_000
"""Of all that is kept; the oldest goes first."""
OUTSIDE = b"\n\x08location\x12"
"""Bytes of an ONNX file that has data in other files: the key of an entry of `external_data`."""


def key_of(
    model: Path, where: Environment, second: Environment | None, batch: int, shapes: Mapping[str | None, tuple[int, ...]]
) -> str | None:
    """What identifies a conversion, or None where its inputs cannot be told."""
    if model.suffix == ".py":
        return None
    digest = hashlib.sha256()
    files = sorted(p for p in model.rglob("*") if p.is_file()) if model.is_dir() else [model]
    for path in files:
        data = path.read_bytes()
        if path.suffix.lower() == ".onnx" and OUTSIDE in data:
            return None
        digest.update(f"{path.relative_to(model) if path != model else path.suffix} {len(data)} ".encode())
        digest.update(data)
    code = [(p.name, hashlib.sha256(p.read_bytes()).hexdigest()) for p in sorted(WORKERS.glob("*.py"))]
    sizes = [batch, *sorted((n or "", *map(int, s)) for n, s in shapes.items())]
    tools = [(e.framework, e.python, _own_packages() if not e.folder else ()) for e in (where, second) if e is not None]
    digest.update(repr((tools, sizes, __version__, code)).encode())
    return digest.hexdigest()[:40]


def _own_packages() -> tuple[str, ...]:
    """What this Python has installed: unlike a front end's environment, it may change under its name."""
    return tuple(sorted(f"{d.name}=={d.version}" for d in distributions()))


def kept(key: str | None) -> tuple[bytes, Conversion] | None:
    """A model that was converted before, and how it was made."""
    if key is None:
        return None
    try:
        facts = json.loads((_folder() / f"{key}.json").read_text())
        data = (_folder() / f"{key}.tflite").read_bytes()
        if hashlib.sha256(data).hexdigest() != facts.pop("sha256"):
            return None
        return data, replace(Conversion(**facts), kept=True)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def keep(key: str | None, data: bytes, how: Conversion) -> None:
    """Keep a model for the next time, where there is room."""
    if key is None or len(data) > KEPT_BYTES // 2:
        return
    facts = {**asdict(how), "sha256": hashlib.sha256(data).hexdigest()}
    with contextlib.suppress(OSError, ValueError):
        _folder().mkdir(parents=True, exist_ok=True)
        write_atomically(_folder() / f"{key}.tflite", data, over=True)
        write_atomically(_folder() / f"{key}.json", json.dumps(facts).encode(), over=True)
        _make_room()


def _make_room() -> None:
    models = sorted(_folder().glob("*.tflite"), key=lambda p: p.stat().st_mtime, reverse=True)
    total = 0
    for path in models:
        total += path.stat().st_size
        if total > KEPT_BYTES:
            path.with_suffix(".json").unlink(missing_ok=True)
            path.unlink(missing_ok=True)


def _folder() -> Path:
    return root() / "converted"
