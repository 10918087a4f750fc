"""report."""

from __future__ import annotations

from pathlib import Path

import click

from fullint.cli import options as option
from fullint.cli.shell import check_output, errors, show
from fullint.errors import UsageError


@click.command()
@click.argument("reports", nargs=-1, required=True, type=click.Path(), metavar="REPORT.json...")
@option.output
@option.force
def report(reports: tuple[str, ...], output: str | None, force: bool) -> None:
    """Join reports that were written with --json --details in one HTML page, with the networks as pictures.

    \b
    Example:
      fullint report audit.json repair.json -o report.html
    """
    with errors(as_json=False):
        from fullint.pages.report_files import report as run

        if output is None:
            raise UsageError("where should the page go? give -o FILE")
        check_output(output, force)
        target = Path(output).absolute()
        run(*reports).save(target, force=force)
        show(f"{output}: {len(reports)} report{'s' if len(reports) > 1 else ''}")
