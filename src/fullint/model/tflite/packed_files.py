"""Files packed behind the flatbuffer: labels and the like, as a zip archive (TFLite Metadata, "associated files").

    flatbuffer | local files | central directory            =>            new flatbuffer | the same files | central directory

A reader of the model sees the flatbuffer only, since its offsets count from the start; a reader of the archive looks at the end.
"""

from __future__ import annotations

import io
import lzma
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from fullint.errors import ModelFormatError

DAMAGED = (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError, EOFError, zlib.error, lzma.LZMAError)
"""What zipfile raises on damaged, encrypted or unknown members."""
MOST_BYTES = 256 * 2**20
"""Unpacked. Files of labels have some kilobytes."""


@dataclass(frozen=True)
class PackedFiles:
    """The files packed behind a model.

    Attributes:
        members: each with its entry of the archive, in the archive's order; of a name that is there twice, the last.
        unreadable: what could not be read, and why, as a sentence; "" if all could.
    """

    members: tuple[tuple[zipfile.ZipInfo, bytes], ...] = ()
    unreadable: str = ""


NO_FILES = PackedFiles()


def packed_files(source: str | Path | bytes) -> PackedFiles:
    """The files packed behind a model; none where there is no archive.

    Raises:
        ModelFormatError: they unpack to more than `MOST_BYTES`.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source) as archive:
            infos = {i.filename: i for i in archive.infolist()}
            if sum(i.file_size for i in infos.values()) > MOST_BYTES:
                raise ModelFormatError(f"the files packed behind the model unpack to more than {MOST_BYTES // 2**20} MB")
            members, bad = [], []
            for info in infos.values():
                try:
                    members.append((info, archive.read(info)))
                except DAMAGED as e:
                    bad.append(f'"{info.filename}" ({e})')
            return PackedFiles(tuple(members), f"files packed behind the model cannot be read: {', '.join(bad)}" if bad else "")
    except DAMAGED as e:
        known = zipfile.is_zipfile(io.BytesIO(source) if isinstance(source, bytes) else source)
        return PackedFiles((), f"the archive behind the model cannot be read, and is left out: {e}" if known else "")


def with_packed_files(data: bytes, files: PackedFiles) -> bytes:
    """A model with files packed behind it."""
    if not files.members:
        return data
    out = io.BytesIO(data)
    with zipfile.ZipFile(out, "a") as archive:
        for info, content in files.members:
            archive.writestr(info, content)
    return out.getvalue()
