"""Manifests: the models of a fleet, and what is to become of each, as TOML.

schema_version = 1
command = "quantize"

[options]                        # of all of them, by the names that the call has
samples = "calibration.npz"
effort = "fast"

[[models]]
model = "a.tflite"
output = "int8/a.tflite"
int16 = ["conv_1"]               # any option of the call, for this model alone

Paths are relative to the manifest's folder.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

from fullint.errors import UsageError
from fullint.fleets.jobs import COMMANDS, OF_SUMMARIES, Job, absolute, normal
from fullint.options.toml_tables import read_toml, require_known

MANIFEST_VERSION = 1
_KEYS = ("schema_version", "command", "options", "models")
_OF_JOBS = ("model", "integer", "output")
_LEFT_OUT = ("model", "integer", "models", "progress")


def call_of(command: str) -> Callable[..., Any]:
    """The call that a command makes."""
    known = COMMANDS[command]
    call: Callable[..., Any] = getattr(import_module(known.module), known.call)
    return call


def read_manifest(path: str | Path, command: str, options: Mapping[str, Any] | None = None) -> list[Job]:
    """The jobs of a manifest.

    Args:
        path: of the file.
        command: that is run; the manifest may name it, too.
        options: of the command line: they count where the manifest says nothing.

    Raises:
        UsageError: it is no manifest, is one of another command, or names an option that the call does not have.
    """
    where, tables = str(path), read_toml(path)
    require_known(tables, _KEYS, where)
    if tables.get("schema_version", MANIFEST_VERSION) != MANIFEST_VERSION:
        raise UsageError(f"{where}: schema_version {tables['schema_version']!r}; this fullint reads {MANIFEST_VERSION}")
    if tables.get("command", command) != command:
        raise UsageError(f'{where}: it is a manifest of "{tables["command"]}", and not of {command}')
    base = Path(path).absolute().parent
    known = [name for name in signature(call_of(command)).parameters if name not in _LEFT_OUT]
    known += OF_SUMMARIES if command == "audit" else ()
    common = _table(tables.get("options", {}), f"{where}, options")
    require_known(common, known, f"{where}, options")
    rows = tables.get("models", [])
    if not isinstance(rows, list) or not rows:
        raise UsageError(f"{where}: it names no models: add [[models]] with model = FILE")
    shared = {**(options or {}), **absolute(common, base)}
    return [
        _job(command, _table(row, f"{where}, model {i + 1}"), shared, known, base, f"{where}, model {i + 1}")
        for i, row in enumerate(rows)
    ]


def _table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UsageError(f"{where}: must be a table")
    for name, one in value.items():
        _require_plain(one, f"{where}: {name}")
    return value


def _require_plain(value: Any, where: str) -> None:
    """Raise UsageError where a value is none that JSON has: a date, or a number that is not finite."""
    if isinstance(value, Mapping | list):
        for one in value.values() if isinstance(value, Mapping) else value:
            _require_plain(one, where)
    elif not isinstance(value, str | bool | int | float) or (isinstance(value, float) and not math.isfinite(value)):
        raise UsageError(f"{where} must be text, a number, true or false, or a list of these, not {value}")


def _job(command: str, row: Mapping[str, Any], shared: Mapping[str, Any], known: list[str], base: Path, where: str) -> Job:
    require_known(row, (*_OF_JOBS, *known), where)
    wanted = COMMANDS[command]
    names = ("model", "integer")[: wanted.models]
    for name in (*names, *(["output"] if wanted.suffix else [])):
        if not isinstance(row.get(name), str) or not row[name]:
            raise UsageError(f"{where}: {name} = FILE is missing")
    surplus = [
        name for name in ("integer", "output") if name in row and name not in (*names, *(["output"] if wanted.suffix else []))
    ]
    if surplus:
        raise UsageError(f"{where}: {command} has no {surplus[0]}")
    own = absolute({name: value for name, value in row.items() if name in known}, base)
    output = normal(base / row["output"]) if wanted.suffix else None
    return Job(command, tuple(normal(base / row[name]) for name in names), output, {**shared, **own})
