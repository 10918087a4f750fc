"""Jobs: one call on one model, with where its result goes, as values that a file and another process can have.

models, folders, options   --jobs_of_models-->   Job  Job  Job ...
manifest.toml              --read_manifest-->    Job  Job ...
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from fullint.errors import UsageError
from fullint.files import check_name
from fullint.model.tflite import is_tflite


class Command(NamedTuple):
    """A call that can be made on many models.

    Attributes:
        module, call: where it is.
        suffix: of a result's name, behind the stem of the model's; "" where it makes no model.
        models: how many it takes.
        outputs: what an output of it is called.
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
        """What messages call it: its first model."""
        return Path(self.models[0]).name


def jobs_of_models(command: str, given: Sequence[str | Path], folder: str | Path | None, options: Mapping[str, Any]) -> list[Job]:
    """A job for each model.

    Args:
        command: of `COMMANDS`, one that takes one model.
        given: paths of models, or folders that hold some.
        folder: where results go.
        options: of all of them.

    Raises:
        UsageError: there is no model, or two results would have the same name, or results have no place to go.
    """
    suffix = COMMANDS[command].suffix
    if suffix and folder is None:
        raise UsageError("where should the results go? give -o FOLDER")
    if folder is not None and Path(folder).exists() and not Path(folder).is_dir():
        raise UsageError(f"{folder}: the results of several models go to a folder, and this is a file")
    found: list[tuple[Path, Path]] = []
    for path in map(Path, given):
        check_name(path)
        found += [(model, model.relative_to(path)) for model in _models_in(path)] if path.is_dir() else [(path, Path(path.name))]
    if not found:
        raise UsageError(f"no model found: give {_SUFFIX} files, or folders that contain some")
    jobs: list[Job] = []
    by_output: dict[str, Path] = {}
    for model, below in found:
        output = str((Path(folder) / below.with_name(f"{below.stem}{suffix}{_SUFFIX}")).absolute()) if suffix and folder else None
        if output is not None and output in by_output:
            raise UsageError(
                f"{model} and {by_output[output]} would both become {output}: put them into a manifest, with an output each"
            )
        if output is not None:
            by_output[output] = model
        jobs.append(Job(command, (str(model.absolute()),), output, absolute(options)))
    return jobs


def _models_in(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob(f"*{_SUFFIX}") if p.is_file() and is_tflite(p))


PATHS = ("samples", "labels", "recipe")
"""Options that name a file; samples may name what is in it, behind a colon, or be several, by signature."""


def absolute(options: Mapping[str, Any], base: Path | None = None) -> dict[str, Any]:
    """Options whose paths do not depend on the current folder."""
    return {name: _absolute(value, base or Path.cwd()) if name in PATHS else value for name, value in options.items()}


def _absolute(value: Any, base: Path) -> Any:
    if isinstance(value, Mapping):
        return {key: _absolute(one, base) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_absolute(one, base) for one in value]
    if not isinstance(value, str | Path):
        return value
    key, equals, path = str(value).partition("=")
    if equals and not (base / str(value)).exists():  # KEY=DATA, KEY a signature
        return f"{key}={base / path}"
    return str(base / value)
