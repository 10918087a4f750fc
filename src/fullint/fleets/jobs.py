"""Jobs: one call on one model, with where its result goes.

    models, folders, options   --jobs_of_models-->   Job  Job  Job ...
    manifest.toml              --read_manifest-->    Job  Job ...

They are values that a file and another process can have.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from fullint.auditing.audit import SUFFIXES, models_in
from fullint.errors import UsageError
from fullint.files import check_name
from fullint.frontends.formats import is_saved_model
from fullint.model.tflite import is_tflite


class Command(NamedTuple):
    """A call that can be made on many models.

    Attributes:
        module, call: where it is.
        suffix: of a result's name, behind the stem of the model's; "" where it makes no model.
        models: how many it takes.
    """

    module: str
    call: str
    suffix: str = ""
    models: int = 1


COMMANDS = {
    "quantize": Command("fullint.quantization.pipeline", "quantize", "_int8"),
    "repair": Command("fullint.repairing.pipeline", "repair", "_repaired"),
    "audit": Command("fullint.auditing.audit", "audit"),
    "compare": Command("fullint.comparing.pipeline", "compare", models=2),
    "sensitivity": Command("fullint.sensitivities.pipeline", "sensitivity"),
}
_SUFFIX = ".tflite"
OF_SUMMARIES = ("fail_on",)
"""Options that say what counts as a failure, and that the call does not have."""


@dataclass(frozen=True)
class Job:
    """One call.

    Attributes:
        command: of `COMMANDS`.
        models: paths, absolute.
        output: path of the result, absolute; None where there is none.
        options: of the call, by name, as JSON can have them; paths in them are absolute.
    """

    command: str
    models: tuple[str, ...]
    output: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What messages call it: its models."""
        return " and ".join(Path(m).name for m in self.models)


def jobs_of_models(
    command: str,
    given: Sequence[str | Path],
    folder: str | Path | None,
    options: Mapping[str, Any],
    leave_out: Sequence[str | Path] = (),
) -> list[Job]:
    """A job for each model.

    Args:
        command: of `COMMANDS`, one that takes one model.
        given: paths of models, or folders that hold some.
        folder: where results go.
        options: of all of them.
        leave_out: folders that are not searched, besides that of the results.

    Raises:
        UsageError: there is no model, or results have no place to go.
    """
    suffix = COMMANDS[command].suffix
    if suffix and folder is None:
        raise UsageError("where should the results go? give -o FOLDER")
    if folder is not None and (str(folder) in ("", "-") or (Path(folder).exists() and not Path(folder).is_dir())):
        raise UsageError(f'"{folder}": the results of several models go to a folder, and this is none')
    apart = [*leave_out, *([folder] if folder is not None else [])]
    found: list[tuple[Path, Path]] = []
    for path in map(Path, given):
        check_name(path)
        searched = path.is_dir() and not is_saved_model(path)
        models = _models_in(path, apart) if searched else [path]
        if not models:
            raise UsageError(f"{path}: no model found in it ({', '.join(SUFFIXES)})")
        found += [(model, model.relative_to(path) if searched else Path(path.name)) for model in models]
    if not found:
        raise UsageError(f"no model found: give files, or folders that contain some ({', '.join(SUFFIXES)})")
    jobs = []
    for model, below in found:
        output = normal(Path(folder) / below.with_name(f"{below.stem}{suffix}{_SUFFIX}")) if suffix and folder else None
        jobs.append(Job(command, (normal(model),), output, absolute(options)))
    return jobs


def job_of_pair(command: str, models: Sequence[str | Path], options: Mapping[str, Any]) -> Job:
    """The job of a command that takes several models, on some.

    Raises:
        UsageError: there are too few or too many.
    """
    wanted = COMMANDS[command].models
    if len(models) != wanted:
        raise UsageError(f"{command} takes {wanted} models, not {len(models)}")
    return Job(command, tuple(normal(Path(m)) for m in models), None, absolute(options))


def require_apart(jobs: Sequence[Job]) -> None:
    """Raise UsageError where two results would be one, or a result would take the place of a model, or of a folder."""
    models = {os.path.realpath(m): m for job in jobs for m in job.models}
    taken: dict[str, Job] = {}
    for job in jobs:
        if job.output is None:
            continue
        check_name(job.output)
        place = os.path.realpath(job.output)
        if place in models:
            raise UsageError(f"{job.output}: the result of {job.name} would take the place of a model; name another output")
        if place in taken:
            both = f"{job.models[0]} and {taken[place].models[0]} would both become {job.output}"
            raise UsageError(f"{both}: put them into a manifest, with an output each")
        if Path(place).is_dir():
            raise UsageError(f"{job.output}: cannot be written: it is a folder")
        taken[place] = job
        _require_folder(Path(place).parent)


def _require_folder(folder: Path) -> None:
    """Raise UsageError where a folder is not there and cannot be made, or takes no files."""
    above = folder
    while not above.exists() and above != above.parent:
        above = above.parent
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise UsageError(f"{folder}: results cannot be written there")


def _models_in(folder: Path, apart: Sequence[str | Path]) -> list[Path]:
    gone = [os.path.realpath(p) for p in apart]

    def within(path: Path) -> bool:
        place = os.path.realpath(path)
        return any(place.startswith(f"{one}{os.sep}") for one in gone)

    return [p for p in models_in(folder) if is_tflite(p) and not within(p)]


def normal(path: Path) -> str:
    """An absolute path without steps back."""
    return os.path.normpath(path.absolute())


PATHS = ("samples", "labels", "recipe", "stats")
"""Options that name a file; samples may name what is in it, behind a colon, or be several, by signature."""


def absolute(options: Mapping[str, Any], base: Path | None = None) -> dict[str, Any]:
    """Options whose paths do not depend on the current folder."""
    where = base or Path.cwd()
    return {n: _absolute(v, where, there=n == "labels") if n in PATHS else v for n, v in options.items()}


def _absolute(value: Any, base: Path, *, there: bool = False) -> Any:
    if isinstance(value, Mapping):
        return {key: _absolute(one, base, there=there) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_absolute(one, base, there=there) for one in value]
    if not isinstance(value, str | Path):
        return value
    known = (base / str(value)).exists()
    if there and not known:  # labels may be the name of an array of the samples, or "folders"
        return str(value)
    key, equals, path = str(value).partition("=")
    if equals and not known:  # KEY=DATA, KEY a signature
        return f"{key}={normal(base / path)}"
    return normal(base / value)
