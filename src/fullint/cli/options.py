"""Options of the commands: made from the fields of `fullint.options`, and those that only commands have."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any, NamedTuple

import click

from fullint.cli.shell import ASKED, DETAILS, OVER
from fullint.documents.renderings import RENDERINGS, Rendering
from fullint.options import Flag, QuantizeOptions, flag_of

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
models = click.argument("models", nargs=-1, type=click.Path(), metavar="MODEL|FOLDER...")
"""One, several, or folders that hold some."""


_WITH_CLUSTER = ("quantize", "sensitivity")
"""Commands whose calls take a cluster, too; the others only spread models over it."""


class OfFleet(NamedTuple):
    """What a command line says of many models."""

    manifest: str | None
    processes: int | None
    cache: str | None
    scheduler: str | None = None
    shared: bool = False

    @property
    def asked(self) -> bool:
        """Whether it says anything of them."""
        return any(one is not None for one in (self.manifest, self.processes, self.cache, self.scheduler))

    def wanted(self, models: Sequence[str]) -> bool:
        """Whether a command line is about many models, or asks for what only these have."""
        return len(models) > 1 or self.asked or (len(models) == 1 and _is_searched(models[0]))


def _is_searched(path: str) -> bool:
    """Whether a path is a folder with models, and not one that is a model."""
    if not path or not os.path.isdir(path):  # noqa: PTH112 - false where the system takes no such name
        return False
    from fullint.frontends.formats import is_saved_model

    return not is_saved_model(path)


def of_fleet(command: str) -> Decorator:
    """Options of a command that can be run on many models; the command gets them as `fleet`."""
    flags = stacked(
        click.option(
            "--manifest",
            type=click.Path(dir_okay=False),
            metavar="FILE",
            help=f"Models, options and outputs of {command}, as TOML.",
        ),
        click.option(
            "-j",
            "--jobs",
            "processes",
            type=int,
            metavar="N",
            help="Models at the same time, where there are several.  [default: half of the cores]",
        ),
        click.option(
            "--cache",
            type=click.Path(file_okay=False),
            metavar="DIR",
            help="Keep finished work here, and do nothing again that is there; see fullint cache.",
        ),
        *([] if command in _WITH_CLUSTER else [_of_quantize("scheduler", "shared")]),
    )

    def apply(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*, manifest: str | None, processes: int | None, cache: str | None, **others: Any) -> Any:
            own = {name: others.pop(name) for name in ("scheduler", "shared") if command not in _WITH_CLUSTER}
            return function(fleet=OfFleet(manifest, processes, cache, **own), **others)

        return flags(call)

    return apply


output = click.option(
    "-o", "--output", type=click.Path(), help="Where to write the result; a folder, where there are several models."
)
force = click.option("--force", is_flag=True, help="Overwrite the output.")
c_array = click.option(
    "--c-array",
    metavar="NAME",
    help="With --target tflm: write NAME.cc and NAME.h, too, with the model, its arena, operators and quantization.",
)
force_again = click.option("--force", is_flag=True, help="Create it again if it exists.")


def of(options: type[Any]) -> Decorator:
    """The fields of a dataclass of options as options of a command, in the order of a call's arguments."""
    known = {f.name: flag_of(f) for f in fields(options)}
    order = inspect.signature(options).parameters
    return stacked(*(_made(name, p.default, known[name]) for name, p in order.items() if name not in ("model", "progress")))


def _made(name: str, default: Any, flag: Flag) -> Decorator:
    spelling = [*([flag.short] if flag.short else []), f"--{name.replace('_', '-')}"]
    if isinstance(default, bool):
        return click.option(*spelling, name, is_flag=True, help=flag.help)
    details: dict[str, Any] = {"help": flag.help, "metavar": flag.metavar}
    if flag.choices:
        details["type"] = click.Choice(flag.choices)
    else:
        details["type"] = Numbers() if flag.parse is tuple else flag.parse
    if flag.bare is not None:
        details |= {"is_flag": False, "flag_value": flag.bare}
    if flag.several:
        return click.option(*spelling, name, multiple=True, callback=_several if name == "samples" else None, **details)
    return click.option(*spelling, name, default=default, show_default=flag.shown or default is not None, **details)


_FIELDS = {f.name: f for f in fields(QuantizeOptions)}


def _of_quantize(*names: str) -> Decorator:
    return stacked(*(_made(name, _FIELDS[name].default, flag_of(_FIELDS[name])) for name in names))


target = _of_quantize("target")


def samples(text: str) -> Decorator:
    """-c DATA, with a help of its own."""
    return _made("samples", None, replace(flag_of(_FIELDS["samples"]), help=text))


of_samples = _of_quantize("num_samples", "mean", "std", "layout")
"""How samples are read."""
of_workers = _of_quantize("worker_memory", "worker_seconds")
"""How much of the machine a model may take."""
of_labels = _of_quantize("labels", "seed")
"""The right class of each sample, and which are drawn."""


def output_forms(text: str) -> Decorator:
    """--json, with its help, and a flag for each rendering that goes to a file."""
    as_json = click.option("--json", "as_json", is_flag=True, help=text)
    return stacked(as_json, _details(), *(_rendering(name, rendering) for name, rendering in RENDERINGS.items()))


def _over(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    context.meta[OVER] = wanted


force_forms = click.option(
    "--force", is_flag=True, expose_value=False, callback=_over, help="Overwrite the files that these options name."
)
"""Of a command that writes no other files; it stands behind `output_forms`."""


def _details() -> Decorator:
    def ask(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
        context.meta[DETAILS] = wanted

    text = "With --json: the whole document and the network, too, for fullint report."
    return click.option("--details", is_flag=True, expose_value=False, callback=ask, help=text)


def _rendering(name: str, rendering: Rendering) -> Decorator:
    def ask(context: click.Context, parameter: click.Parameter, path: str | None) -> None:
        if path is not None:
            context.meta.setdefault(ASKED, {})[name] = path

    return click.option(
        f"--{name}", type=click.Path(dir_okay=False), expose_value=False, callback=ask, metavar="FILE", help=rendering.help
    )
