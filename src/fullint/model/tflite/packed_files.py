"""Files packed behind the flatbuffer: labels and the like, as a zip archive (TFLite Metadata, "associated files").

    flatbuffer | local files | central directory            =>            new flatbuffer | the same files | central directory

A reader of the model sees the flatbuffer only, since its offsets count from the start; a reader of the archive looks at the end.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path

from fullint.errors import ModelFormatError

MOST_BYTES = 256 * 2**20
"""Unpacked. Files of labels have some kilobytes."""
PackedFiles = tuple[tuple[zipfile.ZipInfo, bytes], ...]


def packed_files(source: str | Path | bytes) -> PackedFiles:
    """The files packed behind a model, in their order; none where no archive can be read there.

    Raises:
        ModelFormatError: they unpack to more than `MOST_BYTES`.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source) as archive:
            infos = archive.infolist()
            if sum(i.file_size for i in infos) > MOST_BYTES:
                raise ModelFormatError(f"the files packed behind the model unpack to more than {MOST_BYTES // 2**20} MB")
            return tuple((i, archive.read(i)) for i in infos)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError, EOFError, zlib.error):
        return ()  # bytes of weights can look like the end of an archive


def with_packed_files(data: bytes, files: PackedFiles) -> bytes:
    """A model with files packed behind it."""
    if not files:
        return data
    out = io.BytesIO(data)
    with zipfile.ZipFile(out, "a") as archive:
        for info, content in files:
            archive.writestr(info, content)
    return out.getvalue()
