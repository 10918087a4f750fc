"""What commands do on many models, and `cache`."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from fullint.cli import options as option
from fullint.cli.options import OfFleet
from fullint.cli.shell import EVERY_SECONDS, errors, present, require_json_for_details
from fullint.errors import UsageError
from fullint.printable import shown

if TYPE_CHECKING:
    from fullint.fleets.outcome import JobOutcome
    from fullint.fleets.pipeline import Told


def one_model(models: Sequence[str]) -> str:
    """The model of a command line that is about one."""
    if not models:
        raise UsageError("which model? give a MODEL, several, a folder, or --manifest FILE")
    return models[0]


def run_fleet(
    command: str,
    models: Sequence[str],
    output: str | None,
    fleet: OfFleet,
    options: Mapping[str, Any],
    *,
    force: bool,
    as_json: bool,
    alone: Mapping[str, bool] | None = None,
) -> NoReturn:
    """Run a command on many models, print what became of each, and exit with the worst code.

    Args:
        command, models, output, fleet, options, force, as_json: of the command line.
        alone: options that are for one model -> whether they were given.
    """
    with errors(as_json):
        from fullint.fleets.fitting import require_fitting
        from fullint.fleets.jobs import COMMANDS, absolute, job_of_pair, jobs_of_models
        from fullint.fleets.manifest import read_manifest
        from fullint.fleets.pipeline import run_jobs

        require_json_for_details(as_json)
        scheduler, shared = options.get("scheduler", fleet.scheduler), options.get("shared", fleet.shared)
        options = {name: value for name, value in options.items() if name not in ("scheduler", "shared")}
        if alone and any(alone.values()):
            one = "one model" if COMMANDS[command].models == 1 else "one pair of models"
            raise UsageError(f"{' and '.join(alone)} {'is' if len(alone) == 1 else 'are'} for {one}")
        if fleet.manifest is not None and (models or output is not None):
            raise UsageError("a manifest names models and outputs: give it, or them")
        if fleet.manifest is not None:
            jobs = read_manifest(fleet.manifest, command, absolute(options))
        elif COMMANDS[command].models > 1:
            jobs = [job_of_pair(command, models, options)]
        else:
            leave_out = [fleet.cache] if fleet.cache is not None else []
            jobs = jobs_of_models(command, models, output, options, leave_out)
        require_fitting(jobs)
        with _told(len(jobs)) as told:
            report = run_jobs(
                jobs, fleet.processes, cache=fleet.cache, force=force, scheduler=scheduler, shared=shared, told=told
            )
        present(report, as_json)
        sys.exit(report.exit_code)


@contextmanager
def _told(count: int) -> Iterator[Told]:
    """Progress on standard error: a bar with an estimate on a terminal, else a line now and then; failures at once."""
    start, last = time.monotonic(), [0.0]

    def line(done: int, total: int) -> str:
        left = (time.monotonic() - start) / done * (total - done)
        return f"{done} of {total} done, about {left:.0f} s left"

    def failed(outcome: JobOutcome) -> str | None:
        bad = outcome.status not in ("done", "kept")
        return f"{Path(outcome.models[0]).name}: {outcome.status}: {outcome.message.splitlines()[0]}" if bad else None

    if sys.stderr is None or not sys.stderr.isatty():

        def lines(done: int, total: int, outcome: JobOutcome) -> None:
            with suppress(OSError):  # who cannot be told goes without
                if text := failed(outcome):
                    click.echo(shown(text), err=True)
                if time.monotonic() - last[0] >= EVERY_SECONDS and done < total:
                    last[0] = time.monotonic()
                    click.echo(line(done, total), err=True)

        yield lines
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("models", total=count)

        def update(done: int, total: int, outcome: JobOutcome) -> None:
            if text := failed(outcome):
                bar.console.print(text, markup=False, highlight=False)
            bar.update(task, description=Path(outcome.models[0]).name, completed=done)

        yield update


@click.command()
@click.argument("action", type=click.Choice(["list", "check", "prune"]))
@click.argument("folder", type=click.Path(file_okay=False), metavar="DIR")
@click.option("--days", type=float, help="prune: also what is older than so many days.")
@click.option("--most-bytes", type=int, help="prune: also the oldest, until no more than so many bytes are left.")
@option.output_forms("Print the entries as JSON.")
@option.force_forms
def cache(action: str, folder: str, days: float | None, most_bytes: int | None, as_json: bool) -> None:
    """List, check or prune DIR, a cache of finished work (--cache).

    Exit 1 where `check` finds entries that were damaged; `prune` takes these away.

    \b
    Example:
      fullint cache list kept
    """
    with errors(as_json):
        from fullint.fleets.cache import Cache
        from fullint.fleets.cache_report import CacheReport

        if action != "prune" and (days is not None or most_bytes is not None):
            raise UsageError("--days and --most-bytes are for prune")
        for name, value in (("--days", days), ("--most-bytes", most_bytes)):
            if value is not None and not 0 <= value < math.inf:
                raise UsageError(f"{name} must be a number from 0 on, not {value}")
        opened = Cache(folder).require()
        found = opened.prune(days=days, most_bytes=most_bytes) if action == "prune" else list(opened.entries())
        report = CacheReport(action, str(opened.folder), tuple(found))
        present(report, as_json)
        if action == "check" and report.damaged:
            raise SystemExit(1)
