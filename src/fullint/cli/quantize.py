"""quantize, inspect, demo."""

from __future__ import annotations

from typing import Any

import click

from fullint.cli import options as option
from fullint.cli.fleets import one_model, run_fleet
from fullint.cli.options import OfFleet
from fullint.cli.shell import check_c_array, check_output, errors, present, progress, require_output, write_result
from fullint.files import write_atomically
from fullint.options import QuantizeOptions
from fullint.options.choices import MEMORY_TARGETS, SNIPPET_LANGUAGES


@click.command()
@option.models
@option.output
@option.of(QuantizeOptions)
@option.of_fleet("quantize")
@click.option("--plan", is_flag=True, help="Print the scale and zero point of every tensor and write nothing.")
@option.c_array
@option.force
@option.output_forms("Print the report as JSON.")
def quantize(
    models: tuple[str, ...],
    output: str | None,
    plan: bool,
    c_array: str | None,
    force: bool,
    as_json: bool,
    fleet: OfFleet,
    **options: Any,
) -> None:
    """Make MODEL all integer: int8 operators, int32 biases, verified and executed.

    MODEL is a .tflite; or a .keras, .h5, .onnx or .pt2 file, a SavedModel folder, or module.py:function, which other
    tools make a float .tflite of first: see `fullint setup` and `fullint convert`. Of several, or a folder that holds some,
    or a manifest, a table says what became of each; one that fails does not stop the others.

    \b
    Example:
      fullint quantize model.tflite -c samples.npz -o model_int8.tflite
    """
    if fleet.wanted(models):
        alone = {"--plan": plan, "--c-array": c_array is not None}
        run_fleet("quantize", models, output, fleet, options, force=force, as_json=as_json, alone=alone)
    with errors(as_json), progress() as bar:
        model = one_model(models)
        from fullint.runtime.spawn import started_early

        if plan:
            with started_early(1):
                from fullint.quantization import pipeline

                planned = pipeline.plan(model, progress=bar, **options)
            present(planned, as_json)
            return
        target = require_output(output, "--plan", model, force=force)
        check_c_array(c_array, options["target"], force)
        with started_early(2):
            from fullint.quantization import pipeline

            result = pipeline.quantize(model, progress=bar, **options)
        write_result(target, result.model, c_array, force=force)
        present(result.report, as_json, (model, result.model), options)


@click.command()
@option.model
@click.option(
    "--snippet",
    type=click.Choice(SNIPPET_LANGUAGES),
    help="Print only code that quantizes the inputs and reads the outputs, with the file's numbers. c: for microcontrollers.",
)
@click.option(
    "--target",
    type=click.Choice(MEMORY_TARGETS),
    help="Measure what it takes there, too: arena, flash, and the operators to register.",
)
@option.output_forms("Print everything as JSON.")
@option.force_forms
def inspect(model: str, snippet: str | None, target: str | None, as_json: bool) -> None:
    """Show what is in MODEL: operators, types, sizes, MACs, signatures. Nothing is run.

    \b
    Example:
      fullint inspect model.tflite
    """
    with errors(as_json):
        from fullint.auditing import inspect as inspection

        present(inspection.inspect(model, snippet, target), as_json, (model,))


@click.command()
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="Keep the quantized model here.")
@option.force
@option.output_forms("Print the figures as JSON.")
def demo(output: str | None, force: bool, as_json: bool) -> None:
    """Quantize a small trained network that comes with fullint, and show before and after.

    \b
    Example:
      fullint demo
    """
    with errors(as_json), progress() as bar:
        from fullint.demo import run_demo

        if output is not None:
            check_output(output, force)
        outcome = run_demo(bar)
        if output is not None:
            write_atomically(output, outcome.model, over=force)
        present(outcome.report, as_json)
