"""Convert a framework's model to a float `.tflite` that keeps its input and output names, order and layout.

    model -> worker, in its environment -> float .tflite -> original names, order and layout -> compared with the framework

Converters rename, reorder and transpose inputs and outputs. What they did is measured, not assumed: the worker also runs the
original on one random sample, and the `.tflite` must give the same results on LiteRT, in the original order and layout.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fullint.errors import ConversionError, ModelFormatError, RuntimeFailure
from fullint.frontends.environments import Environment, find, log_file, tail
from fullint.frontends.formats import Framework, framework_of, split
from fullint.frontends.match_interface import SAME, SURE, Matched, Original, match_interface
from fullint.frontends.report import Conversion
from fullint.options import ConvertOptions, Progress, takes
from fullint.reporting import ModelResult
from fullint.runtime.supervised import run_supervised
from fullint.temporary import beside, temporary_folder

WORKERS = Path(__file__).parent / "workers"


@dataclass(frozen=True, repr=False)
class Converted(ModelResult):
    """A float model and how it was made.

    Attributes:
        model: the `.tflite` file.
        conversion: how it was made.
    """

    model: bytes
    conversion: Conversion

    def _report(self) -> Conversion:
        return self.conversion


@takes(ConvertOptions)
def convert(options: ConvertOptions) -> Converted:
    """Convert a Keras, TensorFlow, PyTorch or ONNX model to a float `.tflite`, and check that it computes the same.

    Raises:
        UsageError: no front end supports the file, or the front end's environment does not exist.
        ConversionError: the tool fails, or its result computes something else; the message has the end of the tool's log.
    """
    model = options.model
    assert not isinstance(model, bytes)  # checked with the other options
    chosen = framework_of(model, options.framework)
    if chosen is None:
        raise ModelFormatError(f"{model}: nothing to convert: it is already a .tflite, or of no supported format")
    return convert_with(model, chosen, options.batch, options.shapes, options.progress)


def convert_with(
    model: str | Path,
    framework: Framework,
    batch: int,
    shapes: Mapping[str | None, tuple[int, ...]],
    progress: Progress | None = None,
) -> Converted:
    """`convert` for a known framework."""
    path, _ = split(model)
    if not Path(path).exists():
        raise ModelFormatError(f"{path}: cannot be read: No such file or directory")
    where = find(framework)
    if progress is not None:
        progress("convert", 0, None)
    best: tuple[Matched, Conversion] | None = None
    said = ""
    with temporary_folder() as folder, _kept_log(framework, folder / "log") as log:
        for attempt in range(framework.attempts):
            made, why = _attempt(model, framework, where, folder / str(attempt), attempt, (batch, shapes), log)
            said = said or why
            if made is not None and (best is None or made[0].nearness > best[0].nearness):
                best = made
            if best is not None and best[0].nearness >= SURE:
                break
    if best is None:
        raise ConversionError(f"{framework.tool} cannot convert {model}: {said}")
    if best[0].nearness < SAME:
        raise ConversionError(f"{other(best[0], framework, model)}; log: {log_file(framework.name)}")
    return Converted(best[0].model, best[1])


def other(made: Matched, framework: Framework, model: object) -> str:
    """The message for a float model that computes something else than the original."""
    return (
        f"the float model that {framework.tool} made from {model} computes something else: {made.nearness:.1f} dB against "
        f"{framework.title} on a random sample"
    )


@contextlib.contextmanager
def _kept_log(framework: Framework, log: Path) -> Iterator[Path]:
    """This conversion's log, which replaces the previous one at the end."""
    log.touch()
    try:
        yield log
    finally:
        kept = log_file(framework.name)
        kept.parent.mkdir(parents=True, exist_ok=True)
        with beside(kept) as written:
            shutil.copyfile(log, written)
            written.replace(kept)


def _attempt(
    model: str | Path,
    framework: Framework,
    where: Environment,
    folder: Path,
    attempt: int,
    sizes: tuple[int, Mapping[str | None, tuple[int, ...]]],
    log: Path,
) -> tuple[tuple[Matched, Conversion] | None, str]:
    """Run the worker once: (the matched model and how it was made, "") or (None, why it failed)."""
    folder.mkdir()
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
        code = run_supervised(command, out, cwd=folder, temporary=folder)
    if (folder / "refused.txt").exists():
        raise ConversionError(f"{model}: {(folder / 'refused.txt').read_text()}")
    if code or not (folder / "facts.json").exists():
        failed = folder / "failed.txt"
        if failed.exists():
            return None, f"{failed.read_text()}\n  log: {log_file(framework.name)}"
        return None, f"its process ended with exit code {code} before it wrote a model\n{tail(log, log_file(framework.name))}"
    facts = json.loads((folder / "facts.json").read_text())
    with np.load(folder / "check.npz") as z:
        sample, expected = ([z[f"{n}{i}"] for i in range(len(facts[f"{n}s"]))] for n in ("input", "output"))
    try:
        done = match_interface((folder / "0.tflite").read_bytes(), Original(facts["inputs"], facts["outputs"], sample, expected))
    except (ModelFormatError, RuntimeFailure) as e:
        return None, str(e)
    how = (framework.name, framework.tool, facts["versions"], where.python, attempt)
    return (done, Conversion(*how, done.sqnr_db, done.equal, str(log_file(framework.name)))), ""
