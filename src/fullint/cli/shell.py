"""What all commands do alike: write files whole, say errors in one line, show progress.

Results go to standard output, progress and errors to standard error. Exit 0: done. Exit 1: the contract cannot
be met, or there are findings. Exit 2: bad use or bad input.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from fullint.errors import AccuracyError, FullintError, NotIntegerError, OutputExistsError, UsageError, message_of
from fullint.files import check_name, is_device, require_writable, write_atomically
from fullint.options.choices import MEMORY_TARGETS
from fullint.printable import shown, shown_json
from fullint.temporary import remove_own

if TYPE_CHECKING:
    from typing import Any

    from fullint.options import Progress
    from fullint.reporting import Report

KEEPS = "Ctrl-C keeps the best so far"
TAKES_MINUTES = {"search": KEEPS, "sensitivity": "Ctrl-C ends it with what is known", "mixed": "--int16 makes a choice at once"}
"""Stages whose time is estimated, and what an interrupt does."""
EVERY_SECONDS = 10.0
"""At most one line in so many goes to a log."""
ENDING = ("SIGTERM", "SIGHUP")
"""Signals that end a command; what they leave behind is removed. SIGINT is Python's KeyboardInterrupt."""
ASKED = "fullint.renderings"
"""Where a command's context holds the files that renderings go to, by the name of the rendering."""
DETAILS = "fullint.details"
"""Where it holds whether JSON is to have the document, too."""
OVER = "fullint.over"
"""Where it holds whether these files may be overwritten, of a command that writes no others."""


def check_c_array(name: str | None, target: str, force: bool) -> None:
    """Find out before the work whether the sources can be written."""
    if name is None:
        return
    if set(MEMORY_TARGETS).isdisjoint(target.split(",")):
        raise UsageError(f"c_array: sources are for microcontrollers: add --target {MEMORY_TARGETS[0]}")
    from fullint.deployment.c_array import paths

    for path in paths(name):
        check_output(str(path), force)


def require_output(path: str | None, instead: str, source: str | None = None, *, force: bool) -> Path:
    """Where a result goes, absolute; found out before the work (`check_output`).

    Args:
        path: as it was given.
        instead: the option for which none is needed.
        source, force: see `check_output`.
    """
    if path is None:
        raise UsageError(f"where should the result go? give -o FILE (or {instead})")
    check_output(path, force, source)
    return Path(path).absolute()


def write_result(path: Path, model: bytes, c_array: str | None, *, force: bool) -> None:
    """Write a model, and its C sources where they are asked for."""
    write_atomically(path, model, over=force)
    if c_array is not None:
        from fullint.deployment.c_array import write_c_array

        write_c_array(model, c_array, force=force)


def check_output(path: str, force: bool, source: str | None = None) -> None:
    """Find out before the work, not after it, that the result has no place to go: not over a framework's model, for one."""
    if source is not None and not source.endswith(".tflite") and _same(source, path):
        raise UsageError(f"{path} is the input model: the result would overwrite it; name another file with -o")
    if path == "-":
        raise UsageError("the result cannot be written to standard output: name a file with -o")
    check_name(path)
    require_writable(path)
    if is_device(path):
        return
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(f"{path}: cannot be written: {'no such folder' if not folder.is_dir() else 'the folder is read-only'}")
    if Path(path).exists() and not force:
        raise OutputExistsError(f"{path} exists; --force overwrites it")


def _same(one: str, other: str) -> bool:
    return Path(one).exists() and Path(other).exists() and Path(one).samefile(other)


def show(text: str) -> None:
    """Print a result."""
    click.echo(text)


def present(
    report: Report,
    as_json: bool,
    models: Sequence[str | Path | bytes] = (),
    options: Mapping[str, Any] | None = None,
    text: str | None = None,
) -> None:
    """Print a report on standard output, as text or JSON, and write the renderings that were asked for to their files.

    Args:
        report: of the command.
        as_json: whether it goes out as JSON.
        models: those that it is about, for pictures of them; what is no `.tflite` has none.
        options: of the command, with samples for histograms, and how they are read.
        text: printed in the place of the report's own.
    """
    from fullint.documents.renderings import RENDERINGS
    from fullint.documents.text import show as show_document

    context = click.get_current_context()
    files, details = _asked(context), bool(context.meta.get(DETAILS))
    document = None
    require_json_for_details(as_json)
    if files or details:
        from fullint.model.tflite import is_tflite
        from fullint.pages.page import pictured, reading_of

        given = options or {}
        shown_models = [m for m in models if is_tflite(m)]
        document = pictured(report, shown_models, given.get("samples"), reading_of(given))
        for name, path in files.items():
            over = _over(context)
            write_atomically(path, RENDERINGS[name].render(document).encode(), over=over)
            for word, text in RENDERINGS[name].beside(document).items():
                beside = Path(path)
                write_atomically(beside.with_name(f"{beside.stem}.{word}{beside.suffix}"), text.encode(), over=over)
    if as_json:
        show(report.to_json(document if details else None))
    elif text is not None:
        show(text)
    else:
        show_document(report.document())


def require_json_for_details(as_json: bool) -> None:
    """Raise UsageError where details were asked for, and nothing will have them."""
    if click.get_current_context().meta.get(DETAILS) and not as_json:
        raise UsageError("details are for --json: add it (or --html FILE, which has them)")


def _asked(context: click.Context) -> dict[str, str]:
    found: dict[str, str] = context.meta.get(ASKED, {})
    return found


def _over(context: click.Context) -> bool:
    return bool(context.params.get("force") or context.meta.get(OVER))


@contextlib.contextmanager
def errors(as_json: bool) -> Iterator[None]:
    """Turn an error into one message and an exit code; first of all, one of the files that renderings are to go to."""
    context = click.get_current_context()
    _end_cleanly()
    try:
        for path in _asked(context).values():
            check_output(path, force=_over(context))
        yield
    except FullintError as e:
        _fail(e, as_json)
        sys.exit(e.exit_code)
    except KeyboardInterrupt:
        remove_own()
        click.echo("interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # so that nothing is left to flush at the end
        sys.exit(0)
    except (OSError, MemoryError) as e:
        click.echo(shown(f"error: {message_of(e)}"), err=True)
        sys.exit(2)
    except Exception as e:
        click.echo(shown(f"error: {message_of(e)}"), err=True)
        if as_json:
            show(
                json.dumps(
                    {
                        "schema_version": 1,
                        "status": "failed",
                        "error": type(e).__name__,
                        "message": str(e),
                        "blockers": [],
                        "lost": [],
                    }
                )
            )
        sys.exit(2)


def _end_cleanly() -> None:
    """Where a signal ends the command, remove its temporary files first; its workers end when it is gone."""

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        remove_own()
        os.kill(os.getpid(), number)

    if threading.current_thread() is not threading.main_thread():
        return  # Python handles signals in the main thread alone
    for name in ENDING:
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, end)


def _fail(error: FullintError, as_json: bool) -> None:
    click.echo(shown(f"error: {error}"), err=True)
    if as_json:
        from dataclasses import asdict

        blockers = [asdict(b) for b in error.blockers] if isinstance(error, NotIntegerError) else []
        body = {
            "schema_version": 1,
            "status": "failed",
            "error": type(error).__name__,
            "message": str(error),
            "blockers": blockers,
            "lost": list(error.lost) if isinstance(error, AccuracyError) else [],
        }
        show(shown_json(json.dumps(body, indent=2, ensure_ascii=False)))


@contextlib.contextmanager
def progress() -> Iterator[Progress]:
    """A progress bar on standard error, where that is a terminal; else lines about what takes minutes."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("read", total=None)
        estimate = _Estimate()

        def update(stage: str, done: int, total: int | None) -> None:
            bar.update(task, description=f"{stage}{estimate(stage, done, total)}", completed=done, total=total)

        yield update


class _Estimate:
    """How long a stage will take, of what it has taken so far."""

    def __init__(self) -> None:
        self.stage, self.start = "", 0.0

    def __call__(self, stage: str, done: int, total: int | None) -> str:
        if stage != self.stage or done == 0:
            self.stage, self.start = stage, time.monotonic()
        if stage not in TAKES_MINUTES or total is None or done < 1:
            return ""
        left = (time.monotonic() - self.start) / done * (total - done)
        return f", about {left:.0f} s left ({TAKES_MINUTES[stage]})"


class _Lines:
    """A line now and then, for logs."""

    def __init__(self) -> None:
        self.estimate, self.last = _Estimate(), -EVERY_SECONDS

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        left = self.estimate(stage, done, total)
        if left and time.monotonic() - self.last >= EVERY_SECONDS:
            self.last = time.monotonic()
            click.echo(f"{stage}: {done} of {total}{left}", err=True)
