"""Convert a framework's model to a float `.tflite` that keeps its input and output names, order and layout.

    model -> worker, in its environment -> float .tflite -> original names, order and layout -> compared with the framework

Converters rename, reorder and transpose inputs and outputs. What they did is measured, not assumed: the worker also runs the
original on one sample, the user's first or a random one, and the `.tflite` must give the same results on LiteRT, in the original
order and layout.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fullint.calibration.samples.first import FirstSample
from fullint.errors import ConversionError, ModelFormatError, RuntimeFailure, UsageError
from fullint.frontends.environments import Environment, find, log_file, tail
from fullint.frontends.formats import WORKERS, Framework, framework_of, split
from fullint.frontends.kept import keep, kept, key_of
from fullint.frontends.match_interface import SAME, SURE, Matched, Original, match_interface
from fullint.frontends.report import Conversion
from fullint.options import ConvertOptions, Progress, takes
from fullint.reporting import ModelResult
from fullint.runtime.supervised import supervised
from fullint.temporary import beside, temporary_folder

SIDE_BY_SIDE = 2
"""Ways that run at a time."""
LOOK_EVERY = 0.05
"""Seconds between two looks at those that run."""


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
    sample: FirstSample | None = None,
) -> Converted:
    """`convert` for a known framework; results are compared on a sample, where there is one."""
    path, _ = split(model)
    if not Path(path).exists():
        raise ModelFormatError(f"{path}: cannot be read: No such file or directory")
    where, second = find(framework), _second(framework)
    key = key_of(Path(path), where, second, batch, shapes)
    if (before := kept(key)) is not None:
        return Converted(*before)
    if progress is not None:
        progress("convert", 0, None)
    ways = [_Way(framework, where, i) for i in range(framework.attempts)]
    if framework.second is not None and second is not None:
        ways += [_Way(framework.second, second, i) for i in range(framework.second.attempts)]
    with temporary_folder() as folder, _kept_log(framework, folder) as log:
        made = _nearest(ways, folder, _Asked(model, batch, shapes, sample or {}, log))
    said = [w for m, w in made if m is None]
    best = max((m for m, _ in made if m is not None), key=lambda m: m[0].nearness, default=None)
    missing = framework.second if second is None else None
    also = f"; `fullint setup {missing.name}` installs a second converter that is tried then" if missing is not None else ""
    if best is None:
        reasons = "\n  and in another way: ".join(dict.fromkeys(said))
        raise ConversionError(f"{framework.tool} cannot convert {model}: {reasons}{also}\n  log: {log}")
    if best[0].nearness < SAME:
        raise ConversionError(f"{other(best[0], framework, model)}{also}; log: {log}")
    keep(key, best[0].model, best[1])
    return Converted(best[0].model, best[1])


@dataclass(frozen=True)
class _Way:
    """One way to convert: a front end, its environment, and which of its attempts."""

    framework: Framework
    where: Environment
    attempt: int


@dataclass(frozen=True, eq=False)
class _Asked:
    """What is to be converted, the sample to compare results on, by name or position, and where the log will be."""

    model: str | Path
    batch: int
    shapes: Mapping[str | None, tuple[int, ...]]
    sample: FirstSample
    log: Path


_Made = tuple[tuple[Matched, Conversion] | None, str]
"""(The matched model and how it was made, "") or (None, why it failed)."""


def _second(framework: Framework) -> Environment | None:
    """The environment of the second tool, if there is one and it was set up."""
    if framework.second is None:
        return None
    try:
        return find(framework.second)
    except UsageError:
        return None


def _nearest(ways: Sequence[_Way], folder: Path, asked: _Asked) -> list[_Made]:
    """What the ways make of a model: the first by itself, the others side by side, until one has the same results."""
    made: list[_Made] = []
    places = {w: folder / str(i) for i, w in enumerate(ways)}
    groups = [ways[:1]]
    for _, own in itertools.groupby(ways[1:], key=lambda w: w.framework.name):
        several = list(own)
        groups += [several[i : i + SIDE_BY_SIDE] for i in range(0, len(several), SIDE_BY_SIDE)]
    for group in groups:
        if group[0].framework is not ways[0].framework and any(m is not None and m[0].nearness >= SAME for m, _ in made):
            return made  # the second tool is for what the first makes something else of
        with contextlib.ExitStack() as stack:
            running = {w: stack.enter_context(_started(w, places[w], asked)) for w in group}
            while running:
                ended = [w for w, process in running.items() if process.poll() is not None]
                for w in ended:
                    code = running.pop(w).returncode
                    made.append(_result(w, places[w], asked, code))
                    if made[-1][0] is not None and made[-1][0][0].nearness >= SURE:
                        return made
                if not ended:
                    time.sleep(LOOK_EVERY)
    return made


def other(made: Matched, framework: Framework, model: object) -> str:
    """The message for a float model that computes something else than the original."""
    return (
        f"the float model that {framework.tool} made from {model} computes something else: {made.nearness:.1f} dB against "
        f"{framework.title} on one sample"
    )


@contextlib.contextmanager
def _kept_log(framework: Framework, folder: Path) -> Iterator[Path]:
    """Path of the log that the logs of all ways become at the end; it replaces that of the conversion before."""
    log = log_file(framework.name)
    try:
        yield log
    finally:
        log.parent.mkdir(parents=True, exist_ok=True)
        with beside(log) as written:
            with open(written, "wb") as out:
                for one in sorted(folder.glob("*.log")):
                    out.write(one.read_bytes())
            written.replace(log)


@contextlib.contextmanager
def _started(way: _Way, folder: Path, asked: _Asked) -> Iterator[subprocess.Popen[bytes]]:
    """The worker of a way, running."""
    folder.mkdir()
    path, function = split(asked.model)
    request = {
        "model": str(Path(path).absolute()),
        "function": function,
        "folder": str(folder),
        "batch": asked.batch,
        "shapes": {n or "": list(s) for n, s in asked.shapes.items()},
        "attempt": way.attempt,
    }
    (folder / "request.json").write_text(json.dumps(request))
    if asked.sample:
        named: dict[str, Any] = {f"given {n}": a for n, a in asked.sample.items()}  # so that no name is one of savez's options
        np.savez(folder / "given.npz", **named)
    command = [way.where.python, str(WORKERS / way.framework.worker), str(folder / "request.json")]
    with open(folder.with_suffix(".log"), "wb") as out, supervised(command, out, cwd=folder, temporary=folder) as process:
        yield process


def _result(way: _Way, folder: Path, asked: _Asked, code: int) -> _Made:
    """What a worker that has ended has made."""
    if (folder / "refused.txt").exists():
        raise ConversionError(f"{asked.model}: {(folder / 'refused.txt').read_text()}")
    if code or not (folder / "facts.json").exists():
        if (folder / "failed.txt").exists():
            return None, (folder / "failed.txt").read_text()
        return None, f"its process ended with exit code {code} before it wrote a model\n{tail(folder.with_suffix('.log'))}"
    facts = json.loads((folder / "facts.json").read_text())
    with np.load(folder / "check.npz") as z:
        sample, expected = ([z[f"{n}{i}"] for i in range(len(facts[f"{n}s"]))] for n in ("input", "output"))
    try:
        done = match_interface((folder / "0.tflite").read_bytes(), Original(facts["inputs"], facts["outputs"], sample, expected))
    except (ModelFormatError, RuntimeFailure) as e:
        return None, str(e)
    how = (way.framework.name, way.framework.tool, facts["versions"], way.where.python, way.attempt)
    return (done, Conversion(*how, done.sqnr_db, done.equal, str(asked.log))), ""
