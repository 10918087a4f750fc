"""setup, convert."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fullint.cli import options as option
from fullint.cli.shell import check_output, errors, present, progress
from fullint.errors import UsageError
from fullint.files import write_atomically
from fullint.options import ConvertOptions


@click.command()
@click.argument("framework", type=click.Choice(["keras", "torch", "onnx", "onnx-tensorflow"]))
@click.option("--python", metavar="PATH", help="Python to make it with; by default the one that fullint runs in, or a newer one.")
@option.force_again
@option.output_forms("Print where it is and what is in it as JSON.")
def setup(framework: str, python: str | None, force: bool, as_json: bool) -> None:
    """Make the environment in which models of FRAMEWORK are converted. Once; it is fullint's own, nothing of yours changes.

    \b
    keras   TensorFlow, for .keras, .h5, SavedModel folders and module.py:function
    torch   PyTorch and litert-torch, for .pt2 and module.py:function
    onnx    onnx2tf and ONNX Runtime, for .onnx
    onnx-tensorflow
            an older onnx2tf with TensorFlow, 2.5 GB: for .onnx that onnx2tf cannot convert

    \b
    Example:
      fullint setup keras
    """
    with errors(as_json), progress() as bar:
        from fullint.frontends.environments import setup as run

        present(run(framework, python=python, force=force, progress=bar), as_json)


@click.command()
@option.model
@option.output
@option.of(ConvertOptions)
@option.force
@option.output_forms("Print how it was made as JSON.")
def convert(model: str, output: str | None, force: bool, as_json: bool, **options: Any) -> None:
    """Make a float .tflite of MODEL (Keras, SavedModel, PyTorch, ONNX) and check that it computes the same.

    \b
    Example:
      fullint convert model.keras -o model.tflite
    """
    with errors(as_json), progress() as bar:
        from fullint.frontends.conversion import convert as run

        if output is None:
            raise UsageError("where should the result go? give -o FILE")
        check_output(output, force, model)
        target = Path(output).absolute()
        made = run(model, progress=bar, **options)
        write_atomically(target, made.model, over=force)
        present(made.conversion, as_json)
