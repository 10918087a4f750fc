"""A model of a framework as a float `.tflite` whose inputs and outputs are those the user knows.

    model -> worker, in its environment -> float .tflite -> names, order, layout as they were -> compared with the framework

Converters rename, reorder and transpose. What they did is found out, not assumed: the worker also runs the original on
one random sample, and the `.tflite` has to give the same numbers, on LiteRT, in the original's order and layout.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fullint.errors import ConversionError, ModelFormatError, RuntimeFailure
from fullint.frontends.environments import Environment, find, log_file, tail
from fullint.frontends.finish import Original, finished
from fullint.frontends.formats import Framework, framework_of, split
from fullint.options import Options
from fullint.report import Conversion

Progress = Callable[[str, int, int | None], None]
WORKERS = Path(__file__).parent / "workers"
SURE, SAME = 60.0, 25.0
"""dB between the framework and the float `.tflite`: from the first on it is the same network in floats; below the second it
computes something else."""


@dataclass(frozen=True)
class Converted:
    """A float `.tflite` and how it was made.

    Attributes:
        model: the file's bytes.
        conversion: the facts.
    """

    model: bytes
    conversion: Conversion


def convert(
    model: str | Path,
    *,
    framework: str = "auto",
    batch: int = 1,
    shape: str | Sequence[str] = (),
    progress: Progress | None = None,
) -> Converted:
    """Make a float `.tflite` of a model of Keras, TensorFlow, PyTorch or ONNX, and check that it computes the same.

    Args:
        model: `.keras`, `.h5`, a SavedModel folder, `.onnx`, `.pt2`, or `module.py:function`, a function that returns a
            Keras model, or (PyTorch module, example inputs).
        framework: "keras", "torch" or "onnx" where a Python file does not tell; "auto" otherwise.
        batch: size to fix an open batch at.
        shape: shape of an input with other open dimensions: "1,224,224,3", or "NAME=1,224,224,3" for each.
        progress: called with (stage, done, total) as the work goes on.

    Raises:
        UsageError: no front end takes it, or its environment is not there.
        ConversionError: the tool fails on it, or what it makes computes something else; with the end of the tool's log.
    """
    options = Options(batch=batch, shape=shape)
    options.check()
    chosen = framework_of(model, framework)
    if chosen is None:
        raise ModelFormatError(f"{model} is a .tflite already, or nothing that a front end takes: there is nothing to convert")
    return converted(model, chosen, options.batch, options.shapes, progress)


def converted(
    model: str | Path,
    framework: Framework,
    batch: int,
    shapes: Mapping[str | None, tuple[int, ...]],
    progress: Progress | None = None,
) -> Converted:
    """The same, of a known framework."""
    path, _ = split(model)
    if not Path(path).exists():
        raise ModelFormatError(f"{path}: cannot be read: No such file or directory")
    where = find(framework)
    log = log_file(framework.name)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("")
    if progress is not None:
        progress("convert", 0, None)
    best: Converted | None = None
    said = ""
    for attempt in range(framework.attempts):
        with tempfile.TemporaryDirectory(prefix="fullint-") as folder:
            made, why = _attempt(model, framework, where, Path(folder), attempt, (batch, shapes), log)
        said = said or why
        if made is not None and (best is None or _quality(made) > _quality(best)):
            best = made
        if best is not None and _quality(best) >= SURE:
            return best
    if best is None:
        raise ConversionError(f"{framework.tool} does not convert {model}: {said}\n{tail(log)}")
    if _quality(best) < SAME:
        raise ConversionError(
            f"what {framework.tool} makes of {model} computes something else: {_quality(best):.1f} dB against "
            f"{framework.title} on a random sample\n{tail(log)}"
        )
    return best


def _quality(made: Converted) -> float:
    """dB; where there are other outputs only, equal ones count as sure."""
    c = made.conversion
    if c.sqnr_db is not None:
        return c.sqnr_db
    return SURE if c.equal is None or c.equal > 0.99 else 0.0


def _attempt(
    model: str | Path,
    framework: Framework,
    where: Environment,
    folder: Path,
    attempt: int,
    sizes: tuple[int, Mapping[str | None, tuple[int, ...]]],
    log: Path,
) -> tuple[Converted | None, str]:
    """One run of the worker: what it made, or why it made nothing."""
    path, function = split(model)
    batch, shapes = sizes
    request = {
        "model": str(Path(path).absolute()),
        "function": function,
        "folder": str(folder),
        "batch": batch,
        "shapes": {n or "": list(s) for n, s in shapes.items()},
        "attempt": attempt,
    }
    (folder / "request.json").write_text(json.dumps(request))
    with open(log, "a") as out:
        command = [where.python, str(WORKERS / framework.worker), str(folder / "request.json")]
        code = subprocess.run(command, cwd=folder, stdout=out, stderr=subprocess.STDOUT, check=False).returncode
    if code or not (folder / "facts.json").exists():
        return None, _last_error(log) or f"its process ended with {code}"
    facts = json.loads((folder / "facts.json").read_text())
    with np.load(folder / "check.npz") as z:
        sample, expected = ([z[f"{n}{i}"] for i in range(len(facts[f"{n}s"]))] for n in ("input", "output"))
    try:
        done = finished((folder / "0.tflite").read_bytes(), Original(facts["inputs"], facts["outputs"], sample, expected))
    except (ModelFormatError, RuntimeFailure) as e:
        return None, str(e)
    tool = framework.tool, facts["versions"], where.python
    return Converted(done.model, Conversion(framework.name, *tool, attempt, done.sqnr_db, done.equal, str(log))), ""


def _last_error(log: Path) -> str:
    """The last line of a Python traceback, which says what went wrong."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    found = [line for line in lines if ": " in line and line.split(":")[0].split(".")[-1].endswith(("Error", "Exception"))]
    return found[-1][:200] if found else ""
