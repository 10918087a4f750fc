"""The command line: one function a command, each a thin layer over the Python call of the same name.

Heavy imports wait until a command runs.
"""

from __future__ import annotations

import gc
from importlib import import_module

import click

from fullint.version import __version__

_COMMANDS = {
    "audit": ("audit", "Find what is not integer in a model, or integer and wrong."),
    "benchmark": ("benchmark", "Measure models on LiteRT, operator by operator."),
    "cache": ("fleets", "List, check or prune a cache of finished work."),
    "calibrate": ("calibrate", "Measure a model where its samples lie."),
    "compare": ("compare", "Compare an integer model with its float model."),
    "convert": ("frontends", "Make a .tflite of a Keras, PyTorch or ONNX model."),
    "demo": ("quantize", "Quantize a small trained network that comes with fullint."),
    "explain": ("audit", "Print the manual page of an audit rule."),
    "inspect": ("quantize", "Show what is in a model."),
    "partition": ("delegates", "Show how a delegate would cut a model."),
    "quantize": ("quantize", "Make a model all integer."),
    "readlog": ("delegates", "Read a log of benchmark_model."),
    "repair": ("audit", "Make a half-quantized or faulty model all integer."),
    "report": ("report", "Join reports in one page."),
    "sensitivity": ("sensitivity", "Show what each operator costs in accuracy as an integer."),
    "setup": ("frontends", "Make the environment in which models are converted."),
}
"""Module and summary of each command: the list of commands is shown without importing any of them."""


COLLECT_RARELY = (50_000, 20, 20)
"""What a model is read into lives until the end; to look for garbage in it again and again takes a twentieth of it."""


class _Commands(click.Group):
    """The commands, each imported when it is called for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's interface
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"fullint.cli.{_COMMANDS[cmd_name][0]}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in _COMMANDS.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="fullint %(version)s")
def main() -> None:
    """Turn TFLite / LiteRT models into models in which every operator computes on integers.

    \b
    Example:
      fullint quantize model.tflite -c samples.npz -o model_int8.tflite
    """
    gc.set_threshold(*COLLECT_RARELY)


__all__ = ["main"]
