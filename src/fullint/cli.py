"""The command line: one function a command, each a thin layer over the Python call of the same name.

Results go to standard output, progress and errors to standard error. Exit 0: done. Exit 1: the
contract cannot be met. Exit 2: bad use or bad input. Heavy imports wait until a command runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fullint import __version__
from fullint.errors import FullintError, NotIntegerError, OutputExistsError, UsageError

if TYPE_CHECKING:
    from fullint.pipeline import Progress

TRACEBACK = "FULLINT_TRACEBACK"


class Numbers(click.ParamType):  # type: ignore[type-arg]
    """One number, or several joined by commas."""

    name = "NUMBER[,NUMBER...]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """A tuple of floats."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not a number or numbers joined by commas", param, ctx)


def _samples(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> Any:
    """One DATA as it is; several as a dict by signature."""
    if len(given) < 2:
        return given[0] if given else None
    pairs = [text.partition("=") for text in given]
    if not all(key and data for key, _, data in pairs):
        raise click.BadParameter("several of them look like KEY=DATA, KEY a signature of the model")
    return {key: data for key, _, data in pairs}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="fullint %(version)s")
def main() -> None:
    """Turn TFLite / LiteRT models into models in which every operator computes on integers.

    \b
    Example:
      fullint quantize model.tflite -c samples.npz -o model_int8.tflite
    """


@main.command()
@click.argument("model", type=click.Path())
@click.option(
    "-c",
    "--samples",
    metavar="DATA",
    multiple=True,
    callback=_samples,
    help="Representative samples: .npz, .npy, a folder of images, or file.py:function; KEY=DATA for each of several signatures.",
)
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="Where to write the result.")
@click.option("--num-samples", type=int, help="Use the first N samples.")
@click.option("--per-tensor", is_flag=True, help="One scale per weight tensor instead of one per output channel.")
@click.option("--dense-per-tensor", is_flag=True, help="The same for FULLY_CONNECTED alone.")
@click.option(
    "--activations",
    type=click.Choice(["int8", "int16"]),
    default="int8",
    show_default=True,
    help="16-bit activations with 8-bit weights; what has no int16 kernel computes in int8.",
)
@click.option(
    "--io",
    type=click.Choice(["auto", "int8", "uint8", "int16", "float32"]),
    default="auto",
    show_default=True,
    help="Type of float inputs and outputs.",
)
@click.option(
    "--target",
    type=click.Choice(["litert", "tflm", "ethos-u", "edgetpu"]),
    default="litert",
    show_default=True,
    help="Where the result is to run.",
)
@click.option("--keep-float", metavar="NAME|TYPE|INDEX,...", help="Operators that stay float.")
@click.option("--shape", multiple=True, metavar="[NAME=]N,...", help="Shape of an input with dynamic dimensions.")
@click.option("--batch", type=int, default=1, show_default=True, help="Fix a dynamic batch at this size.")
@click.option("--threads", type=int, help="Samples run at the same time.  [default: number of cores]")
@click.option("--min-sqnr", type=float, default=5.0, show_default=True, metavar="DB", help="Write nothing below this SQNR.")
@click.option("--synthetic", is_flag=True, help="Calibrate on random numbers: for speed trials only.")
@click.option("--mean", type=Numbers(), default="0", show_default=True, help="Images: subtracted from each pixel (0..255).")
@click.option("--std", type=Numbers(), default="255", show_default=True, help="Images: what is left is divided by this.")
@click.option(
    "--layout", type=click.Choice(["NHWC", "NCHW"]), default="NHWC", show_default=True, help="Images: layout of the input."
)
@click.option("--plan", is_flag=True, help="Print the scale and zero point of every tensor and write nothing.")
@click.option("--force", is_flag=True, help="Overwrite the output.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def quantize(model: str, output: str | None, plan: bool, force: bool, as_json: bool, **options: Any) -> None:
    """Make MODEL all integer: int8 operators, int32 biases, verified and executed.

    \b
    Example:
      fullint quantize model.tflite -c samples.npz -o model_int8.tflite
    """
    with _errors(as_json), _progress() as progress:
        from fullint import pipeline, render

        if plan:
            decided = pipeline.plan(model, progress=progress, **options)
            _print(render.plan_json(decided) if as_json else str(decided.assignment))
            return
        if output is None:
            raise UsageError("where should the result go? give -o FILE (or --plan)")
        _check_output(output, force)
        target = Path(output).absolute()
        result = pipeline.quantize(model, progress=progress, **options)
        write_atomically(target, result.model)
        if as_json:
            _print(result.report.to_json())
        else:
            render.show_quantize(result.report, output)


@main.command()
@click.argument("model", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def inspect(model: str, as_json: bool) -> None:
    """Show what is in MODEL: operators, types, sizes, MACs, signatures. Nothing is run.

    \b
    Example:
      fullint inspect model.tflite
    """
    with _errors(as_json):
        from fullint import inspection, render

        found = inspection.inspect(model)
        if as_json:
            _print(found.to_json())
        else:
            render.show_inspection(found, model)


@main.command()
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="Keep the quantized model here.")
@click.option("--force", is_flag=True, help="Overwrite the output.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def demo(output: str | None, force: bool, as_json: bool) -> None:
    """Quantize a small trained network that comes with fullint, and show before and after.

    \b
    Example:
      fullint demo
    """
    with _errors(as_json), _progress() as progress:
        from fullint import render
        from fullint.demo import run_demo

        if output is not None:
            _check_output(output, force)
        outcome = run_demo(progress)
        if output is not None:
            write_atomically(output, outcome.model)
        if as_json:
            _print(outcome.report.to_json())
        else:
            render.show_demo(outcome.report)


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        UsageError: the folder is not there or not writable.
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


def _check_output(path: str, force: bool) -> None:
    """Find out before the work, not after it, that the result has no place to go."""
    if path == "-":
        raise UsageError("the result is a file; give its name with -o")
    folder = Path(path).parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(f"{path}: cannot be written: {'no such folder' if not folder.is_dir() else 'the folder is read-only'}")
    if Path(path).exists() and not force:
        raise OutputExistsError(f"{path} is there already; --force overwrites it")


def _print(text: str) -> None:
    click.echo(text)


@contextlib.contextmanager
def _errors(as_json: bool) -> Iterator[None]:
    """Turn an error into one message and an exit code."""
    try:
        yield
    except FullintError as e:
        _fail(e, as_json)
        sys.exit(e.exit_code)
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # so that nothing is left to flush at the end
        sys.exit(0)
    except OSError as e:
        click.echo(f"error: {e.strerror or e}{f': {e.filename}' if e.filename else ''}", err=True)
        sys.exit(2)
    except Exception as e:
        if os.environ.get(TRACEBACK):
            raise
        click.echo(
            f"error: fullint itself failed ({type(e).__name__}: {e}); {TRACEBACK}=1 shows where, please report it", err=True
        )
        sys.exit(2)


def _fail(error: FullintError, as_json: bool) -> None:
    click.echo(f"error: {error}", err=True)
    if as_json:
        from dataclasses import asdict

        blockers = [asdict(b) for b in error.blockers] if isinstance(error, NotIntegerError) else []
        body = {
            "schema_version": 1,
            "status": "failed",
            "error": type(error).__name__,
            "message": str(error),
            "blockers": blockers,
        }
        _print(json.dumps(body, indent=2, ensure_ascii=False))


@contextlib.contextmanager
def _progress() -> Iterator[Progress]:
    """A progress bar on standard error, where that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda stage, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("read", total=None)

        def update(stage: str, done: int, total: int | None) -> None:
            bar.update(task, description=stage, completed=done, total=total)

        yield update
