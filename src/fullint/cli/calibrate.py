"""calibrate."""

from __future__ import annotations

from typing import Any

import click

from fullint.cli import options as option
from fullint.cli.shell import errors, present, progress, require_output
from fullint.errors import UsageError
from fullint.files import write_atomically
from fullint.options import CalibrateOptions


@click.command()
@click.argument("files", nargs=-1, type=click.Path(), metavar="MODEL|STATS...")
@click.option("-o", "--output", type=click.Path(dir_okay=False), metavar="STATS.npz", help="Where to write what was measured.")
@click.option("--merge", is_flag=True, help="Put calibration files together, as if their samples had been measured in one run.")
@option.of(CalibrateOptions)
@option.force
@option.output_forms("Print what the file holds as JSON.")
def calibrate(files: tuple[str, ...], output: str | None, merge: bool, force: bool, as_json: bool, **options: Any) -> None:
    """Measure MODEL where its samples lie; `fullint quantize --stats` makes ranges of it elsewhere.

    Give both the same options: what a file does not hold is named. With --merge, several files of one network become one.

    \b
    Example:
      fullint calibrate model.tflite -c samples.npz -o stats.npz
    """
    with errors(as_json), progress() as bar:
        if not files:
            raise UsageError("what is to be calibrated? give a MODEL, or calibration files with --merge")
        target = require_output(output, "--merge", files[0], force=force)
        from fullint.calibration.stats_report import CalibrationReport
        from fullint.quantization import calibrate as calls
        from fullint.runtime.spawn import started_early

        if merge:
            if options["samples"] is not None:
                raise UsageError("--merge takes calibration files alone: leave -c out")
            found = calls.merge_stats(files)
        elif len(files) > 1:
            raise UsageError("calibrate measures one MODEL; calibration files are put together with --merge")
        else:
            with started_early(1):
                found = calls.calibrate(files[0], progress=bar, **options)
        data = found.packed()
        write_atomically(target, data, over=force)
        present(CalibrationReport.of(target, found, len(data)), as_json)
