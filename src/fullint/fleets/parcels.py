"""A job with the files that it reads, to be done where these do not lie.

    job, its files  --pack-->  Parcel  --network-->  perform_parcel: unpacked into a folder, called  -->  CachedWork

Where workers see the files themselves, a parcel has none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fullint.calibration.samples.sources import parted
from fullint.errors import UsageError
from fullint.fleets.cache import CachedWork
from fullint.fleets.jobs import PATHS, Job
from fullint.fleets.keys import files_of_model
from fullint.fleets.perform import called
from fullint.temporary import temporary_folder

_PARCEL = "parcel:"
"""What stands for the folder, in paths of a job."""
MOST_BYTES_SENT = 2 * 2**30


@dataclass(frozen=True, eq=False)
class Parcel:
    """A job and files.

    Attributes:
        job: paths of files that are in the parcel begin with `_PARCEL`.
        files: contents by path in the parcel.
    """

    job: Job
    files: Mapping[str, bytes] = field(default_factory=dict)


def paths_of(job: Job) -> list[str]:
    """Files and folders that a job reads."""
    found: list[str] = []

    def note(path: str) -> str:
        found.append(path)
        return path

    _mapped(job, note)
    return list(dict.fromkeys(found))


def pack(job: Job) -> Parcel:
    """A job with all that it reads.

    Raises:
        UsageError: it reads a Python file, or more than is sent.
    """
    files: dict[str, bytes] = {}
    places: dict[str, str] = {}

    def put(path: str) -> str:
        if path not in places:
            source, place = Path(path), f"{len(places)}/{Path(path).name}"
            if source.suffix == ".py":
                raise UsageError(f"{path}: what it yields cannot be sent; give files, or use --shared where all workers see it")
            places[path] = place
            for one in sorted(p for p in source.rglob("*") if p.is_file()) if source.is_dir() else files_of_model(source):
                below = one.relative_to(source.parent)
                files[f"{len(places) - 1}/{below.as_posix()}"] = one.read_bytes()
            if sum(map(len, files.values())) > MOST_BYTES_SENT:
                raise UsageError(
                    f"{path}: more than {MOST_BYTES_SENT / 1e9:.0f} GB would be sent; use --shared where all workers see it"
                )
        return f"{_PARCEL}{places[path]}"

    return Parcel(_mapped(job, put), files)


def perform_parcel(parcel: Parcel) -> CachedWork:
    """Do a job where its parcel has come to."""
    with temporary_folder() as folder:
        for place, data in parcel.files.items():
            path = folder / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return called(
            _mapped(parcel.job, lambda path: str(folder / path.removeprefix(_PARCEL)) if path.startswith(_PARCEL) else path)
        )


def _mapped(job: Job, change: Callable[[str], str]) -> Job:
    """A job with other paths in the place of those that it reads."""
    options = {n: _mapped_value(v, change) if n in PATHS else v for n, v in job.options.items()}
    return replace(job, models=tuple(change(m) for m in job.models), options=options)


def _mapped_value(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _mapped_value(one, change) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_mapped_value(one, change) for one in value]
    if not isinstance(value, str):
        return value
    key, equals, path = value.partition("=")
    if not equals or Path(value).exists() or "/" in key:
        key, path = "", value
    file, name = parted(path)
    if not (file.exists() or str(file).startswith(_PARCEL)):
        return value  # no path, such as the name of an array
    return f"{key}{'=' if key else ''}{change(str(file))}{f':{name}' if name is not None else ''}"
