"""Load constants that are stored in separate files.

tensor.external_buffer -> ExternalBuffer(group, offset, length) -> the group's file, in the model's folder
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fullint.errors import ModelFormatError
from fullint.files import unreadable
from fullint.model.ir import Buffer, Model
from fullint.model.tflite.read import map_file


def internalise(model: Model, folder: Path | None) -> bool:
    """Load external constants in place, and return whether there were any.

    Args:
        model: the model as read.
        folder: folder of the model's file, None if the model was given as bytes.

    Raises:
        ModelFormatError: a file is missing, too short, or outside the folder.
    """
    outside = [t for g in model.graphs for t in g.tensors if t.external_buffer]
    if not outside:
        return False
    entries: dict[int, Any] = {e.id: e for e in _list(model.external_buffers)}
    groups = _list(model.external_groups)
    loaded: dict[int, Buffer] = {}
    files: dict[Path, Any] = {}
    for t in outside:
        if t.external_buffer not in loaded:
            entry = entries.get(t.external_buffer)
            if entry is None or not 0 <= entry.group < len(groups):
                raise ModelFormatError(
                    f'the constant "{t.name}" refers to external buffer {t.external_buffer}, which does not exist'
                )
            path = _path(entry, groups[entry.group].name, folder, t.name)
            if path not in files:
                files[path] = map_file(path)
            loaded[t.external_buffer] = _part(files[path], entry, path.name, t.name)
        t.buffer, t.external_buffer = loaded[t.external_buffer], 0
    model.external_buffers = model.external_groups = None
    return True


def _path(entry: Any, name: bytes | str | None, folder: Path | None, tensor: str) -> Path:
    text = name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name or ""
    if folder is None:
        raise ModelFormatError(f'the constant "{tensor}" is in the file "{text}"; give the model as a path, not as bytes')
    if "\0" in text or entry.offset < 0 or entry.length < 0:
        raise ModelFormatError(f'the constant "{tensor}" has an invalid location in another file')
    path = (folder / text).resolve()
    if not text or not path.is_relative_to(folder.resolve()):
        raise ModelFormatError(
            f'the constant "{tensor}" is in the file "{text}", outside the model\'s folder; only files inside it are read'
        )
    if unreadable(path) is not None:
        raise ModelFormatError(f'the constant "{tensor}" is in "{text}", which is no file')
    return path


def _part(data: Any, entry: Any, name: str, tensor: str) -> Buffer:
    if entry.offset + entry.length > len(data):
        raise ModelFormatError(f'the file "{name}" is too short for the constant "{tensor}"')
    return Buffer(np.frombuffer(data, np.uint8, entry.length, entry.offset))


def _list(vector: Any) -> list[Any]:
    return [] if vector is None or isinstance(vector, int) else list(vector)
