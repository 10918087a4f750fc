"""Writing files whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from fullint.errors import UsageError


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        UsageError: the folder does not exist or is not writable.
    """
    target = Path(path)
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as e:
        raise UsageError(f"{path}: cannot be written: {e.strerror}") from e
    try:
        with os.fdopen(handle, "wb") as f:
            f.write(data)
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(target)
    except OSError as e:
        Path(temporary).unlink(missing_ok=True)
        raise UsageError(f"{path}: cannot be written: {e.strerror}") from e
