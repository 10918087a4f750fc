"""audit, explain, repair."""

from __future__ import annotations

import sys
from typing import Any

import click

from fullint.cli import options as option
from fullint.cli.fleets import one_model, run_fleet
from fullint.cli.options import OfFleet
from fullint.cli.shell import check_c_array, errors, present, progress, require_output, write_result
from fullint.options import RepairOptions


@click.command()
@option.models
@click.option("--rule", multiple=True, metavar="NAME,...", help="Show only what these rules find.")
@option.target
@click.option(
    "--runtime", metavar="RELEASE", help="Release of the runtime it is to run on, such as 2.5.0.  [default: the target's]"
)
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning", "note"]),
    default="warning",
    show_default=True,
    help="Exit 1 from findings of this level on.",
)
@option.samples("Run one MODEL on samples, as in quantize, and say which values saturate, and since which operator.")
@option.of_samples
@option.of_workers
@option.of_fleet("audit")
@option.output_forms("Print the findings as JSON.")
@option.force_forms
def audit(
    models: tuple[str, ...],
    rule: tuple[str, ...],
    target: str,
    runtime: str | None,
    fail_on: str,
    as_json: bool,
    fleet: OfFleet,
    **options: Any,
) -> None:
    """Find what is not integer in each MODEL, or integer and wrong: why, how much, and the fix. Without -c, nothing is run.

    \b
    Example:
      fullint audit half.tflite
    """
    if fleet.asked:
        given = {"rule": list(rule) or None, "target": target, "runtime": runtime, "fail_on": fail_on, **options}
        run_fleet("audit", models, None, fleet, given, force=False, as_json=as_json)
    with errors(as_json):
        one_model(models)
        from fullint.auditing.audit import audit as run
        from fullint.auditing.rules.base import LEVELS

        report = run(*models, rule=rule or None, target=target, runtime=runtime, **options)
        present(report, as_json, models if len(report.files) == 1 else (), options)
        if any(file.error for file in report.files):
            sys.exit(2)
        worst = report.worst()
        sys.exit(int(worst is not None and LEVELS.index(worst) >= LEVELS.index(fail_on)))


@click.command()
@click.argument("rule", required=False)
@option.output_forms("Print the page as JSON.")
@option.force_forms
def explain(rule: str | None, as_json: bool) -> None:
    """Print the manual page of an audit RULE: what, why, where it was seen, the fix. Without RULE, list them all.

    \b
    Example:
      fullint explain shared-constant-conflict
    """
    with errors(as_json):
        from fullint.auditing.explain import explain as run

        present(run(rule), as_json)


@click.command()
@option.models
@option.output
@option.of(RepairOptions)
@option.of_fleet("repair")
@click.option("--dry-run", is_flag=True, help="Print what would be fixed and what would be left as it is; write nothing.")
@option.c_array
@option.force
@option.output_forms("Print the report as JSON.")
def repair(
    models: tuple[str, ...],
    output: str | None,
    dry_run: bool,
    c_array: str | None,
    force: bool,
    as_json: bool,
    fleet: OfFleet,
    **options: Any,
) -> None:
    """Make a half-quantized or faulty MODEL all integer; samples (-c) are needed only for ranges the file does not give.

    \b
    Example:
      fullint repair half.tflite -o repaired.tflite
    """
    if fleet.wanted(models):
        alone = {"--dry-run": dry_run, "--c-array": c_array is not None}
        run_fleet("repair", models, output, fleet, options, force=force, as_json=as_json, alone=alone)
    with errors(as_json), progress() as bar:
        model = one_model(models)
        if dry_run:
            from fullint.repairing.pipeline import repair_plan

            present(repair_plan(model, progress=bar, **options), as_json)
            return
        target = require_output(output, "--dry-run", force=force)
        check_c_array(c_array, options["target"], force)
        from fullint.runtime.spawn import started_early

        with started_early(2):
            from fullint.repairing.pipeline import repair as run

            done = run(model, progress=bar, **options)
        write_result(target, done.model, c_array, force=force)
        present(done.report, as_json, (model, done.model), options)
