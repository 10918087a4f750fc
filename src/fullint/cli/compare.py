"""compare."""

from __future__ import annotations

from typing import Any

import click

from fullint.cli import options as option
from fullint.cli.fleets import run_fleet
from fullint.cli.options import OfFleet
from fullint.cli.shell import check_output, errors, present, progress
from fullint.errors import UsageError
from fullint.files import write_atomically


@click.command()
@click.argument("model", type=click.Path(), metavar="FLOAT", required=False)
@click.argument("integer", type=click.Path(), metavar="INT", required=False)
@option.samples("Samples for FLOAT, as in quantize; without, random numbers within the input ranges of INT.")
@option.of_samples
@option.of_labels
@option.of_workers
@click.option("--csv", type=click.Path(dir_okay=False), metavar="FILE", help="Write the operators to a table, a row for each.")
@option.force
@option.of_fleet("compare")
@option.output_forms("Print the report as JSON.")
def compare(
    model: str | None,
    integer: str | None,
    csv: str | None,
    force: bool,
    as_json: bool,
    fleet: OfFleet,
    **options: Any,
) -> None:
    """Compare INT with the FLOAT model it was made of, by any tool: outputs, and the error that each operator adds.

    Exit 1 where an operator has more error of its own than rounding explains.

    \b
    Example:
      fullint compare model.tflite model_int8.tflite -c samples.npz
    """
    if fleet.manifest is not None:
        given = [m for m in (model, integer) if m is not None]
        run_fleet("compare", given, None, fleet, options, force=force, as_json=as_json, alone={"--csv": csv is not None})
    with errors(as_json), progress() as bar:
        if model is None or integer is None:
            raise UsageError("which models? give FLOAT and INT, or --manifest FILE with pairs")
        if fleet.processes is not None or fleet.cache is not None:
            raise UsageError("--jobs and --cache are for several pairs: give --manifest FILE")
        if csv is not None:
            check_output(csv, force)
        from fullint.runtime.spawn import started_early

        with started_early(2):
            from fullint.comparing.pipeline import compare as run

            report = run(model, integer, progress=bar, scheduler=fleet.scheduler, shared=fleet.shared, **options)
        if csv is not None:
            write_atomically(csv, report.to_csv().encode(), over=force)
        present(report, as_json, (model, integer), options)
        if report.suspects:
            raise SystemExit(1)
