"""Temporary files and folders that no run leaves behind.

    fullint-7351-9c1f04aa-e52f0b11.tflite      in the folder for temporary files
    .m.tflite.52a3e7b0.7351-9c1f04aa.fullint   beside an output, until it has its name

Each name has the token of its process, and each file is locked while its process lives. So the workers of a process find its
files by their names, and later runs tell what a killed process has left by its being unlocked.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: nothing is locked, and what a killed process has left is not found
    fcntl = None  # type: ignore[assignment]

PREFIX, SUFFIX = "fullint-", ".fullint"
MOST_NAME = 100
"""Bytes of an output's name in that of its temporary file."""
_OURS = re.compile(r"fullint-\d+-[0-9a-f]{8}-|\..*\.\d+-[0-9a-f]{8}\.fullint$")


def _random() -> str:
    return os.urandom(4).hex()  # `secrets` is slow to import


@functools.cache
def _token_of(pid: int) -> str:
    return f"{pid}-{_random()}"


def token() -> str:
    """What the names of this process's temporary files have in common, and those of no other process."""
    return _token_of(os.getpid())


@functools.cache
def _held_by(pid: int) -> set[Path]:
    """What a process has to remove before it ends."""
    return set()


@contextlib.contextmanager
def temporary_file(suffix: str = "") -> Iterator[Path]:
    """A new, empty file in the folder for temporary files, for as long as the context lasts.

    Raises:
        OSError: it cannot be made.
    """
    with _held(_folder() / f"{PREFIX}{token()}-{_random()}{suffix}") as path:
        yield path


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A new folder in the folder for temporary files, for as long as the context lasts.

    Raises:
        OSError: it cannot be made.
    """
    with _held(_folder() / f"{PREFIX}{token()}-{_random()}", folder=0o700) as path:
        yield path


@contextlib.contextmanager
def beside(target: Path) -> Iterator[Path]:
    """A new file in the folder of an output, to be given its name; what is left of it at the end is removed.

    What killed runs have left in that folder is removed first.

    Raises:
        OSError: it cannot be made.
    """
    remove_left(target.parent)
    name = os.fsencode(target.name)[:MOST_NAME].decode(errors="ignore")
    with _held(target.parent / f".{name}.{_random()}.{token()}{SUFFIX}") as path:
        yield path


@contextlib.contextmanager
def folder_beside(target: Path) -> Iterator[Path]:
    """The same for a folder.

    Raises:
        OSError: it cannot be made.
    """
    remove_left(target.parent)
    with _held(target.parent / f".{target.name}.{_random()}.{token()}{SUFFIX}", folder=0o777) as path:
        yield path


def _folder() -> Path:
    """The folder for temporary files, without what killed runs have left there."""
    folder = tempfile.gettempdir()
    _tidied(folder, os.getpid())
    return Path(folder)


@functools.cache
def _tidied(folder: str, pid: int) -> None:
    """Once in a process."""
    remove_left(Path(folder))


@contextlib.contextmanager
def _held(path: Path, *, folder: int | None = None) -> Iterator[Path]:
    """A new file, or folder of this mode, locked, and removed at the end.

    Until it is locked, another run may take it for one that was left: then it is made again. Where there are no locks, it is not
    kept open, since an open file could not be renamed or removed there.
    """
    handle = None
    held = _held_by(os.getpid())
    held.add(path)
    try:
        while handle is None:
            if folder is not None:
                path.mkdir(mode=folder)
            else:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            if fcntl is None:
                break
            handle = _locked(path)
        yield path
    finally:
        _remove(path)
        held.discard(path)
        if handle is not None:
            os.close(handle)


def _locked(path: Path) -> int | None:
    """The descriptor that holds the lock; None where another run was quicker, and has removed it."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(handle, fcntl.LOCK_EX)
    if os.fstat(handle).st_nlink:
        return handle
    os.close(handle)
    return None


def remove_own() -> None:
    """Remove all temporary files of this process, wherever they are; never raises."""
    for path in tuple(_held_by(os.getpid())):
        _remove(path)


def remove_of(owner: str, folder: Path) -> None:
    """Remove all temporary files of one process, by its `token`, from a folder; never raises."""
    for path in _temporary(folder):
        if owner in path.name:
            _remove(path)


def remove_left(folder: Path) -> None:
    """Remove the temporary files in a folder whose processes are gone; never raises."""
    if fcntl is None:
        return
    for path in _temporary(folder):
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(path)  # while it is locked, so that who waits for the lock finds it removed
        except OSError:  # its process lives
            continue
        finally:
            os.close(handle)


def _temporary(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [folder / e.name for e in entries if _OURS.match(e.name)]
    except OSError:
        return []


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
