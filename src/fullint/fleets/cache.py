"""A folder with finished work, safe for several runs at once.

    CACHE/ab/ab34…/entry.json     what it is of, and the hashes of the other files
                   result.tflite
                   report.json

An entry is made in a folder of its own and then given its name, so that it is whole or not there. What was damaged since is
noticed by its hashes, taken away, and made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fullint.errors import UsageError
from fullint.temporary import folder_beside, remove_left

ENTRY_VERSION = 1
ENTRY, MODEL, REPORT = "entry.json", "result.tflite", "report.json"


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
    """The folder; made when something is put into it.

    Args:
        folder: its path.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).absolute()
        if self.folder.exists() and not self.folder.is_dir():
            raise UsageError(f"{folder}: a cache is a folder, and this is a file")

    def get(self, key: str) -> CachedWork | None:
        """What was put there, None where it is not there or damaged; what is damaged is taken away."""
        place = self._place(key)
        if not place.is_dir():
            return None
        try:
            return _read(place)
        except _DamagedError:
            shutil.rmtree(place, ignore_errors=True)
            return None

    def put(self, key: str, entry: CachedWork) -> None:
        """Keep it; where another run was quicker, what that has put there stays.

        Raises:
            OSError: the folder cannot be written.
        """
        place = self._place(key)
        place.parent.mkdir(parents=True, exist_ok=True)
        with folder_beside(place) as made:
            files = {REPORT: json.dumps(entry.report, ensure_ascii=False).encode()}
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
                files = [p.stat() for p in place.iterdir() if p.is_file()]
                yield Kept(place.name, sum(f.st_size for f in files), place.stat().st_mtime, damage)

    def prune(self, *, days: float | None = None, most_bytes: int | None = None) -> list[Kept]:
        """Take away what is damaged, older than so many days, or, the oldest first, more than so many bytes; what was taken."""
        kept = sorted(self.entries(), key=lambda e: e.made)
        total = sum(e.bytes for e in kept)
        gone = []
        for e in kept:
            old = days is not None and time.time() - e.made > days * 86_400
            if e.damage or old or (most_bytes is not None and total > most_bytes):
                shutil.rmtree(self._place(e.key), ignore_errors=True)
                total -= e.bytes
                gone.append(e)
        for folder in (self.folder, *self.folder.glob("??")):
            remove_left(folder)
        return gone

    def _place(self, key: str) -> Path:
        return self.folder / key[:2] / key

    def _places(self) -> list[Path]:
        return sorted(p for p in self.folder.glob("??/*") if p.is_dir() and not p.name.startswith("."))


class _DamagedError(Exception):
    """What is wrong with an entry."""


def _read(place: Path) -> CachedWork:
    try:
        outer = json.loads((place / ENTRY).read_text())
        said = outer["entry"]
        if hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest() != outer["sha256"]:
            raise _DamagedError(f"{ENTRY} was changed")
        if said["version"] != ENTRY_VERSION or said["key"] != place.name:
            raise _DamagedError(f"{ENTRY} is that of another entry")
        data = {name: (place / name).read_bytes() for name in said["files"]}
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise _DamagedError(f"a file is missing or no longer what it was ({e})") from e
    for name, digest in said["files"].items():
        if hashlib.sha256(data[name]).hexdigest() != digest:
            raise _DamagedError(f"{name} was changed")
    return CachedWork(data.get(MODEL), json.loads(data[REPORT]), said["exit_code"], said["figures"], said["message"])
