"""partition, readlog."""

from __future__ import annotations

from typing import Any

import click

from fullint.cli import options as option
from fullint.cli.shell import errors, present


class TargetName(click.ParamType):  # type: ignore[type-arg]
    """A target of `partition`; which there are is only looked up where help is asked for."""

    name = "TARGET"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002 - click asks so
        """All of them, as they are written."""
        from fullint.delegates.targets import delegate_targets

        return "|".join(target.usage for target in delegate_targets().values())


@click.command()
@option.model
@click.option(
    "--target",
    default="xnnpack",
    show_default=True,
    type=TargetName(),
    help="The delegate, or the device's compiler.",
)
@click.option("--after", type=click.Choice(["quantize", "repair"]), help="Show the cut of what that makes of it, too.")
@option.samples("Samples for --after, where it needs some; as in quantize.")
@option.of_workers
@option.output_forms("Print everything as JSON.")
@option.force_forms
def partition(
    model: str,
    target: str,
    after: str | None,
    samples: Any,
    worker_memory: float | None,
    worker_seconds: float | None,
    as_json: bool,
) -> None:
    """Show how a delegate would cut MODEL: what it takes, the reason for what it does not, the pieces, and what crosses.

    \b
    Example:
      fullint partition half.tflite --target nnapi --after repair
    """
    with errors(as_json):
        from fullint.deployment.partition import partition as run

        report = run(model, target, after=after, samples=samples, worker_memory=worker_memory, worker_seconds=worker_seconds)
        present(report, as_json, (model,))


@click.command()
@click.argument("log", type=click.Path())
@click.argument("model", type=click.Path(), required=False)
@option.output_forms("Print everything as JSON.")
@option.force_forms
def readlog(log: str, model: str | None, as_json: bool) -> None:
    """Read a LOG of benchmark_model: where the time goes, how much of it is float, and how much integers could save at most.

    \b
    Example:
      fullint readlog benchmark.log half.tflite
    """
    with errors(as_json):
        from fullint.deployment.logs import readlog as run

        present(run(log, model), as_json, (model,) if model else ())
