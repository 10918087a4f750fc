"""sensitivity."""

from __future__ import annotations

from typing import Any

import click

from fullint.cli import options as option
from fullint.cli.fleets import one_model, run_fleet
from fullint.cli.options import OfFleet
from fullint.cli.shell import check_output, errors, present, progress
from fullint.files import write_atomically
from fullint.options import SensitivityOptions


@click.command()
@option.models
@option.of(SensitivityOptions)
@option.of_fleet("sensitivity")
@click.option("--csv", type=click.Path(dir_okay=False), metavar="FILE", help="Write the units to a table, a row for each.")
@option.force
@option.output_forms("Print the report as JSON.")
def sensitivity(
    models: tuple[str, ...],
    csv: str | None,
    force: bool,
    as_json: bool,
    fleet: OfFleet,
    **options: Any,
) -> None:
    """Show what each operator of MODEL costs in accuracy when it is quantized, and what float or int16 would give back.

    \b
    Example:
      fullint sensitivity model.tflite -c samples.npz
    """
    if fleet.wanted(models):
        run_fleet("sensitivity", models, None, fleet, options, force=force, as_json=as_json, alone={"--csv": csv is not None})
    with errors(as_json), progress() as bar:
        model = one_model(models)
        if csv is not None:
            check_output(csv, force)
        from fullint.sensitivities.pipeline import sensitivity as run

        report = run(model, progress=bar, **options)
        if csv is not None:
            write_atomically(csv, report.to_csv().encode(), over=force)
        present(report, as_json, (model,), options)
