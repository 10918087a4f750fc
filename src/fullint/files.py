"""Writing files whole or not at all, and names that stand for no file."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from fullint.errors import ModelFormatError, OutputExistsError, UsageError
from fullint.temporary import beside


def write_atomically(path: str | Path, data: bytes, *, over: bool = True) -> None:
    """Write a file whole or not at all; of a symbolic link, the file that it points to. A device is written to.

    Args:
        path: the file.
        data: what to write.
        over: whether a file that is there by now, from another run maybe, is replaced.

    Raises:
        UsageError: the folder does not exist or is not writable, or something else than a file has that name.
        OutputExistsError: the file is there, and is not to be replaced.
    """
    check_name(path)
    require_writable(path)
    target = Path(os.path.realpath(path))
    try:
        if is_device(path):
            target.write_bytes(data)
            return
        with beside(target) as temporary:
            temporary.write_bytes(data)
            with contextlib.suppress(OSError):  # a file system without modes
                temporary.chmod(_mode_for(target))
            _put(temporary, target, over=over)
    except FileExistsError as e:
        raise OutputExistsError(f"{path} exists by now; --force overwrites it") from e
    except OSError as e:
        raise UsageError(f"{path}: cannot be written: {e.strerror}") from e


def save(path: str | Path, data: bytes, *, force: bool) -> None:
    """Write what a call has made, whole or not at all.

    Raises:
        OutputExistsError: the file exists, and `force` is not set.
        UsageError: it cannot be written.
    """
    if Path(path).exists() and not force:
        raise OutputExistsError(f"{path} exists; force=True overwrites it")
    write_atomically(path, data, over=force)


def _mode_for(target: Path) -> int:
    """The mode of the file that is replaced, or that of a new one."""
    mode = _mode(target)
    if mode is not None:
        return stat.S_IMODE(mode)
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


def _put(temporary: Path, target: Path, *, over: bool) -> None:
    """Give a finished file its name. A link fails where the name is taken, so that of two runs one wins."""
    if not over:
        try:
            os.link(temporary, target)
        except FileExistsError:
            raise
        except OSError:  # a file system without links
            if target.exists():
                raise FileExistsError from None
        else:
            return
    temporary.replace(target)


def is_device(path: str | Path) -> bool:
    """Whether a name stands for a character device, such as /dev/null."""
    mode = _mode(path)
    return mode is not None and stat.S_ISCHR(mode)


def require_writable(path: str | Path) -> None:
    """Raise UsageError where a name is taken by what is no file and no device: a folder, a FIFO, a socket."""
    if Path(os.path.realpath(path)).is_symlink():
        raise UsageError(f"{path}: cannot be written: it is a symbolic link that leads to itself")
    mode = _mode(path)
    if mode is not None and not stat.S_ISREG(mode) and not stat.S_ISCHR(mode):
        raise UsageError(f"{path}: cannot be written: it is {_kind(mode)}")


def unreadable(path: str | Path) -> str | None:
    """Why a name cannot be read like a file or a folder: a FIFO would be waited for forever; None where nothing is known."""
    mode = _mode(path)
    if mode is None or stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return None
    return f"{path}: cannot be read: it is {_kind(mode)}"


@contextlib.contextmanager
def unchanged(path: str | Path) -> Iterator[None]:
    """A context in which a file must stay as it is: what was made of two versions of it is worth nothing.

    Raises:
        ModelFormatError: another program wrote to it.
    """
    before = _stamp(path)
    try:
        yield
    except Exception as e:
        if _stamp(path) != before:
            raise ModelFormatError(f"{path}: changed while it was read; run again when it is complete") from e
        raise
    if _stamp(path) != before:
        raise ModelFormatError(f"{path}: changed while it was read; run again when it is complete")


def _stamp(path: str | Path) -> tuple[int, ...] | None:
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def check_name(path: str | Path) -> None:
    """Raise UsageError for a name that no file can have."""
    text = os.fspath(path)
    if not text or "\0" in text:
        raise UsageError("the name of a file is empty" if not text else f"{text!r}: no file has a name with a NUL byte")


def _mode(path: str | Path) -> int | None:
    try:
        return Path(path).stat().st_mode
    except (OSError, ValueError):
        return None


def _kind(mode: int) -> str:
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a FIFO"), (stat.S_ISSOCK, "a socket"))
    return next((name for test, name in kinds if test(mode)), "a device")
