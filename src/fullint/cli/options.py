"""Options that several commands have, each written down once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class Numbers(click.ParamType):  # type: ignore[type-arg]
    """One number, or several joined by commas."""

    name = "NUMBER[,NUMBER...]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """A tuple of floats."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not a number or numbers joined by commas", param, ctx)


def _several(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> Any:
    """One DATA as it is; several as a dict by signature."""
    if len(given) < 2:
        return given[0] if given else None
    pairs = [text.partition("=") for text in given]
    if not all(key and data for key, _, data in pairs):
        raise click.BadParameter("several of them look like KEY=DATA, KEY a signature of the model")
    return {key: data for key, _, data in pairs}


def stacked(*decorators: Decorator) -> Decorator:
    """Several options as one decorator, in the order they are to be shown."""

    def apply(function: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


model = click.argument("model", type=click.Path())
output = click.option("-o", "--output", type=click.Path(dir_okay=False), help="Where to write the result.")
force = click.option("--force", is_flag=True, help="Overwrite the output.")
force_again = click.option("--force", is_flag=True, help="Make it again where it is there already.")
num_samples = click.option("--num-samples", type=int, help="Use the first N samples.")
io = click.option(
    "--io",
    metavar="TYPE[,TYPE]",
    default="auto",
    show_default=True,
    help="Type of float inputs and outputs, or of each: auto, int8, uint8, int16, float32.",
)
target = click.option(
    "--target",
    type=click.Choice(["litert", "tflm", "ethos-u", "edgetpu"]),
    default="litert",
    show_default=True,
    help="Where the result is to run.",
)
sizes = stacked(
    click.option("--shape", multiple=True, metavar="[NAME=]N,...", help="Shape of an input with dynamic dimensions."),
    click.option("--batch", type=int, default=1, show_default=True, help="Fix a dynamic batch at this size."),
)
framework = click.option(
    "--framework",
    type=click.Choice(["auto", "keras", "torch", "onnx"]),
    default="auto",
    show_default=True,
    help="What makes the model of module.py:function, where its imports do not tell.",
)
threads = click.option("--threads", type=int, help="Samples run at the same time.  [default: number of cores]")
images = stacked(
    click.option("--mean", type=Numbers(), default="0", show_default=True, help="Images: subtracted from each pixel (0..255)."),
    click.option("--std", type=Numbers(), default="255", show_default=True, help="Images: what is left is divided by this."),
    click.option(
        "--layout",
        type=click.Choice(["NHWC", "NCHW"]),
        default="NHWC",
        show_default=True,
        help="Images: layout of the input.",
    ),
)


def samples(text: str) -> Decorator:
    """-c DATA, with its help."""
    return click.option("-c", "--samples", metavar="DATA", multiple=True, callback=_several, help=text)


def as_json(text: str) -> Decorator:
    """--json, with its help."""
    return click.option("--json", "as_json", is_flag=True, help=text)


def min_sqnr(default: float) -> Decorator:
    """--min-sqnr, with its default."""
    return click.option(
        "--min-sqnr", type=float, default=default, show_default=True, metavar="DB", help="Write nothing below this SQNR."
    )
