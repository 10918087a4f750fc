"""Arrays in .npy and .npz files, read row by row; nothing is read, and no memory taken, before header and size are checked.

    file  =>  header: type, shape, order  =>  as many bytes as they need?  =>  rows

What is read is what is there: files are of the size that their headers say, checksums are right, and nothing is unpickled.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from fullint.errors import SamplesError
from fullint.model.ir import Array
from fullint.printable import escaped

UNREADABLE = (
    tokenize.TokenError,
    zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, OverflowError, RuntimeError, NotImplementedError, SyntaxError,
    TypeError, MemoryError, UnicodeError,
)  # fmt: skip
"""What zipfile and NumPy raise on damaged files."""
READ_WHOLE_BYTES = 500_000_000
"""An array that can only be read as a whole has at most so many bytes."""
PIECE_BYTES = 2**22
ENCRYPTED = 1
"""Bit of a zip entry's flags."""


@dataclass(frozen=True)
class _Header:
    shape: tuple[int, ...]
    fortran: bool
    dtype: Any
    size: int
    """Bytes of the header itself."""

    @property
    def bytes(self) -> int:
        """Bytes that the array needs."""
        return math.prod(self.shape) * int(self.dtype.itemsize)


def _header(f: IO[bytes], have: int, name: str) -> _Header:
    """The checked header of an array in NumPy's format, of a file of so many bytes.

    Raises:
        ValueError: it is none, or the file is not of the size that it says.
        SamplesError: it is an array of something else than numbers.
    """
    version = np.lib.format.read_magic(f)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"version {version[0]}.{version[1]} of the format is unknown")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    found = _Header(*read(f), f.tell())
    if found.dtype.hasobject:
        raise SamplesError(f"{name} contains Python objects; save it with a numeric type")
    if found.dtype.kind not in "fiub":
        raise SamplesError(f"{name} is of type {found.dtype}, which is no number; save it with a numeric type")
    if any(n < 0 for n in found.shape):
        raise ValueError(f"its header says shape {list(found.shape)}")
    if found.size + found.bytes > have:
        raise ValueError(f"its header says {found.bytes} bytes, shape {list(found.shape)}, but {have - found.size} are there")
    return found


class FileRows:
    """An array in a file, which is iterated along its first axis and read a row at a time.

    It is not mapped into memory: where another program shortens the file meanwhile, that is an error and not the end of the
    process.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    @functools.cached_property
    def header(self) -> _Header:
        """Type and shape; read when they are asked for, since an archive may hold other things beside samples.

        Raises:
            SamplesError: it cannot be read, or does not go with the file's size.
        """
        raise NotImplementedError

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self.header.shape

    @property
    def dtype(self) -> Any:
        """Of its values."""
        return self.header.dtype

    def __len__(self) -> int:
        return self.shape[0] if self.shape else 0

    def __iter__(self) -> Iterator[Array]:
        yield from self.rows(range(len(self)))

    def rows(self, numbers: Sequence[int]) -> Iterator[Array]:
        """Some rows, by ascending numbers; those between are not read, but in compressed files."""
        if self.header.fortran and len(self.shape) > 1:
            whole = self.whole(READ_WHOLE_BYTES)
            yield from (whole[n] for n in numbers)
            return
        shape = self.shape[1:]
        size = math.prod(shape) * int(self.dtype.itemsize)
        with self._reading(), self._opened() as f:
            at = 0
            for n in numbers:
                if n != at:
                    f.seek((n - at) * size, os.SEEK_CUR)
                at = n + 1
                yield np.frombuffer(_exactly(f, size), self.dtype).reshape(shape)

    def whole(self, most: int) -> Array:
        """All of it, of at most so many bytes.

        Raises:
            SamplesError: it is damaged, or larger.
        """
        if self.header.bytes > most:
            raise SamplesError(
                f"{self.name} of {self.header.bytes / 1e9:.1f} GB can only be read as a whole; save it in C order "
                "(np.ascontiguousarray), with its samples along the first axis"
            )
        with self._reading(), self._opened() as f:
            found = np.frombuffer(_exactly(f, self.header.bytes), self.dtype)
            return found.reshape(self.shape, order="F" if self.header.fortran else "C")

    def _opened(self) -> IO[bytes]:
        """A file that begins with the first row."""
        raise NotImplementedError

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except UNREADABLE as e:
            raise SamplesError(f"{self.name} is damaged: {e or type(e).__name__}; write or copy the file again") from e


def _exactly(f: IO[bytes], size: int) -> bytes:
    data = f.read(size)
    if len(data) < size:
        raise EOFError("it is truncated")
    return data


class NpyRows(FileRows):
    """The array of a .npy file."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self.path = path

    @functools.cached_property
    def header(self) -> _Header:
        try:
            with open(self.path, "rb") as f:
                return _header(f, self.path.stat().st_size, self.name)
        except UNREADABLE as e:
            raise SamplesError(f"{self.path}: not a readable .npy file ({e or type(e).__name__})") from e

    def _opened(self) -> IO[bytes]:
        f = open(self.path, "rb")  # noqa: SIM115 - the caller closes it
        f.seek(self.header.size)
        return f


def open_npz(path: Path) -> dict[str, Column]:
    """The arrays of a .npz file by name.

    Raises:
        SamplesError: it is none, or a damaged one, or contains no array.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except UNREADABLE as e:
        raise SamplesError(f"{path}: not a readable .npz file ({e or type(e).__name__})") from e
    arrays = [i for i in entries if i.filename.endswith(".npy") and not i.filename.startswith("__MACOSX/")]
    columns = {escaped(i.filename.removesuffix(".npy")): Column(path, i) for i in arrays}
    if not columns:
        raise SamplesError(f"{path}: contains no array")
    return columns


class Column(FileRows):
    """One array of a .npz. Of one that is stored as it is, the checksum is looked at before its first row is read.

    The archive is open only while rows are read.
    """

    def __init__(self, path: Path, info: zipfile.ZipInfo) -> None:
        super().__init__(f"{path}: array {escaped(info.filename)}")
        self.path, self.info = path, info

    @functools.cached_property
    def header(self) -> _Header:
        info = self.info
        if info.flag_bits & ENCRYPTED:
            raise SamplesError(f"{self.name} is encrypted; save it without a password")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise SamplesError(f"{self.name} is compressed in a way that NumPy does not write; save it with NumPy")
        with self._reading(), self._member() as f:
            return _header(f, info.file_size, self.name)

    def _opened(self) -> IO[bytes]:
        if self.info.compress_type == zipfile.ZIP_STORED:
            with self._member() as f:
                while f.read(PIECE_BYTES):  # at its end, zipfile compares the checksum
                    pass
        f = self._member()
        f.read(self.header.size)
        return f

    def _member(self) -> IO[bytes]:
        """The array's bytes; the file is closed with them."""
        with zipfile.ZipFile(self.path) as archive:
            return archive.open(self.info)
