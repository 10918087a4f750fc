"""The command line: one function a command, each a thin layer over the Python call of the same name.

Heavy imports wait until a command runs.
"""

from __future__ import annotations

from importlib import import_module

import click

from fullint.version import __version__

_MODULES = {
    "audit": "audit",
    "benchmark": "benchmark",
    "cache": "fleets",
    "calibrate": "calibrate",
    "compare": "compare",
    "convert": "frontends",
    "demo": "quantize",
    "explain": "audit",
    "inspect": "quantize",
    "partition": "delegates",
    "quantize": "quantize",
    "readlog": "delegates",
    "repair": "audit",
    "report": "report",
    "sensitivity": "sensitivity",
    "setup": "frontends",
}


class _Commands(click.Group):
    """The commands, each imported when it is called for, or listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's interface
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _MODULES:
            return None
        command: click.Command = getattr(import_module(f"fullint.cli.{_MODULES[cmd_name]}"), cmd_name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="fullint %(version)s")
def main() -> None:
    """Turn TFLite / LiteRT models into models in which every operator computes on integers.

    \b
    Example:
      fullint quantize model.tflite -c samples.npz -o model_int8.tflite
    """


__all__ = ["main"]
