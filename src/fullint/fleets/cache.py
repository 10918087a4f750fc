"""A folder with finished work, safe for several runs at once.

    CACHE/ab/ab34…/entry.json     what it is of, and the hashes of the other files
                   result.tflite
                   report.json

    CACHE/fullint-cache           says what the folder is

An entry is made in a folder of its own and then given its name, so that it is whole or not there. What was damaged since is
noticed by its hashes, taken away, and made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fullint.errors import UsageError
from fullint.temporary import beside, folder_beside, remove_left

ENTRY_VERSION = 1
ENTRY, MODEL, REPORT, MARK = "entry.json", "result.tflite", "report.json", "fullint-cache"
_KEY = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, eq=False)
class CachedWork:
    """What a call has made.

    Attributes:
        model: the result's bytes; None where the command makes none.
        report: as JSON has it.
        exit_code: of the command.
        figures: see `JobOutcome`.
        message: see `JobOutcome`.
    """

    model: bytes | None
    report: Mapping[str, Any]
    exit_code: int
    figures: Mapping[str, Any]
    message: str = ""


@dataclass(frozen=True)
class Kept:
    """An entry as it lies there.

    Attributes:
        key: of the job.
        bytes: that it takes.
        made: when, in seconds since 1970.
        damage: what is wrong with it, "" for nothing.
    """

    key: str
    bytes: int
    made: float
    damage: str


class Cache:
    """The folder; it has a file that says what it is.

    Args:
        folder: its path.

    Raises:
        UsageError: it is no folder, or one with other things in it.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).absolute()
        if self.folder.exists() and not self.folder.is_dir():
            raise UsageError(f"{folder}: a cache is a folder, and this is a file")
        if self.folder.is_dir() and any(self.folder.iterdir()) and not (self.folder / MARK).is_file():
            raise UsageError(f"{folder}: there are other things in it: name a folder that is empty, or that fullint made")

    def require(self) -> Cache:
        """The cache, if it is there.

        Raises:
            UsageError: it is not.
        """
        if not (self.folder / MARK).is_file():
            raise UsageError(f"{self.folder}: no cache of fullint")
        return self

    def begin(self) -> None:
        """Make the folder, and see whether it can be written.

        Raises:
            UsageError: it cannot.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with beside(self.folder / MARK) as made:
                made.write_text("results that fullint has made: see `fullint cache`\n")
                made.replace(self.folder / MARK)
        except OSError as e:
            raise UsageError(f"{self.folder}: a cache cannot be written there: {e.strerror or e}") from e

    def get(self, key: str) -> CachedWork | None:
        """What was put there, None where it is not there or damaged; what is damaged is taken away."""
        place = self._place(key)
        if not os.path.lexists(place):
            return None
        try:
            return _read(place)
        except _DamagedError:
            _take_away(place)
            return None

    def put(self, key: str, entry: CachedWork) -> None:
        """Keep it; where another run was quicker, what that has put there stays.

        Raises:
            OSError: the folder cannot be written.
        """
        if not (self.folder / MARK).is_file():
            self.begin()
        place = self._place(key)
        place.parent.mkdir(parents=True, exist_ok=True)
        with folder_beside(place) as made:
            files = {REPORT: json.dumps(entry.report).encode()}
            if entry.model is not None:
                files[MODEL] = entry.model
            for name, data in files.items():
                (made / name).write_bytes(data)
            hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
            said = {
                "version": ENTRY_VERSION,
                "key": key,
                "files": hashes,
                "exit_code": entry.exit_code,
                "figures": dict(entry.figures),
                "message": entry.message,
            }
            text = json.dumps(said, sort_keys=True)
            (made / ENTRY).write_text(json.dumps({"entry": said, "sha256": hashlib.sha256(text.encode()).hexdigest()}))
            with contextlib.suppress(OSError):  # the name is taken: of two runs one wins
                made.rename(place)

    def entries(self) -> Iterator[Kept]:
        """All of them, each looked at as a whole."""
        for place in self._places():
            try:
                _read(place)
                damage = ""
            except _DamagedError as e:
                damage = str(e)
            with contextlib.suppress(OSError):
                files = [p.lstat() for p in place.iterdir()] if place.is_dir() else []
                yield Kept(place.name, sum(f.st_size for f in files), place.lstat().st_mtime, damage)

    def prune(self, *, days: float | None = None, most_bytes: int | None = None) -> list[Kept]:
        """Take away what is damaged, older than so many days, or, the oldest first, more than so many bytes; what was taken."""
        kept = sorted(self.entries(), key=lambda e: e.made)
        total = sum(e.bytes for e in kept)
        gone = []
        for e in kept:
            old = days is not None and time.time() - e.made > days * 86_400
            if e.damage or old or (most_bytes is not None and total > most_bytes):
                _take_away(self._place(e.key))
                if not os.path.lexists(self._place(e.key)):
                    total -= e.bytes
                    gone.append(e)
        for folder in self.folder.glob("??"):
            remove_left(folder)
        return gone

    def _place(self, key: str) -> Path:
        return self.folder / key[:2] / key

    def _places(self) -> list[Path]:
        return sorted(p for p in self.folder.glob("??/*") if _KEY.fullmatch(p.name) and p.name[:2] == p.parent.name)


def _take_away(place: Path) -> None:
    with contextlib.suppress(OSError):
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place, ignore_errors=True)
        else:
            place.unlink()


class _DamagedError(Exception):
    """What is wrong with an entry."""


def _read(place: Path) -> CachedWork:
    try:
        outer = json.loads(_bytes_of(place / ENTRY))
        said = outer["entry"]
        if hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest() != outer["sha256"]:
            raise _DamagedError(f"{ENTRY} was changed")
        if said["version"] != ENTRY_VERSION or said["key"] != place.name:
            raise _DamagedError(f"{ENTRY} is that of another entry")
        data = {name: _bytes_of(place / name) for name in (REPORT, MODEL) if name in said["files"]}
        for name, digest in said["files"].items():
            if hashlib.sha256(data[name]).hexdigest() != digest:
                raise _DamagedError(f"{name} was changed")
        report = json.loads(data[REPORT])
        return CachedWork(data.get(MODEL), report, int(said["exit_code"]), dict(said["figures"]), str(said["message"]))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as e:
        raise _DamagedError(f"a file is missing or no longer what it was ({type(e).__name__})") from e


def _bytes_of(path: Path) -> bytes:
    """Raises OSError for what is no file: a FIFO would be waited for forever."""
    if path.parent.is_symlink() or not stat.S_ISREG(path.lstat().st_mode):
        raise OSError("no file")
    return path.read_bytes()
