"""The command line: one function a command, each a thin layer over the Python call of the same name.

Heavy imports wait until a command runs.
"""

from __future__ import annotations

import click

from fullint.cli.audit import audit, explain, repair
from fullint.cli.benchmark import benchmark
from fullint.cli.compare import compare
from fullint.cli.delegates import partition, readlog
from fullint.cli.frontends import convert, setup
from fullint.cli.quantize import demo, inspect, quantize
from fullint.cli.report import report
from fullint.cli.sensitivity import sensitivity
from fullint.version import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="fullint %(version)s")
def main() -> None:
    """Turn TFLite / LiteRT models into models in which every operator computes on integers.

    \b
    Example:
      fullint quantize model.tflite -c samples.npz -o model_int8.tflite
    """


for _command in (audit, benchmark, compare, convert, demo, explain, inspect, partition):
    main.add_command(_command)
for _command in (quantize, readlog, repair, report, sensitivity, setup):
    main.add_command(_command)

__all__ = ["main"]
