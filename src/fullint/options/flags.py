"""How an option is explained and spelled, and calls that take options as keywords.

@takes(QuantizeOptions)
def quantize(options: QuantizeOptions) -> Result          =>          quantize(model, samples, io="int8")
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import Field, dataclass, fields
from typing import Any, ParamSpec, Protocol, TypeVar


@dataclass(frozen=True)
class Flag:
    """How an option is explained, and how a command spells it.

    Attributes:
        help: one sentence.
        metavar: what stands for its value in help.
        choices: the values it can have, if they can be counted.
        bare: the value in a command that gives the flag without one; None where a value has to follow.
        several: whether it is given once per value.
        short: a second, short spelling.
        shown: the default in words, where the value itself says little.
        parse: type of the value in a command: int, float, str, or tuple for numbers joined by commas.
        converter: whether the drop-in converter has it as an attribute.
        reported: whether it is a choice that a report repeats.
    """

    help: str
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    bare: str | None = None
    several: bool = False
    short: str | None = None
    shown: str | None = None
    parse: type = str
    converter: bool = False
    reported: bool = True


def said(help: str, **spelling: Any) -> dict[str, Flag]:  # noqa: A002 - what click calls it
    """The metadata of an option's field; `spelling` are the other attributes of `Flag`."""
    return {"flag": Flag(help, **spelling)}


def flag_of(f: Field[Any]) -> Flag:
    """How an option is explained and spelled."""
    flag: Flag = f.metadata["flag"]
    return flag


class Checked(Protocol):
    """A dataclass of options."""

    def check(self) -> None:
        """Raise UsageError where a value makes no sense."""

    def limited(self) -> AbstractContextManager[None]:
        """The limits of workers, while the context lasts."""


P = ParamSpec("P")
Chosen = TypeVar("Chosen", bound=Checked)
Done = TypeVar("Done")


def takes(options: Callable[P, Chosen]) -> Callable[[Callable[[Chosen], Done]], Callable[P, Done]]:
    """Make a function of some options one that is called with their fields, which are checked.

    Args:
        options: the dataclass; its fields become arguments, their help the documentation.
    """

    def decorate(function: Callable[[Chosen], Done]) -> Callable[P, Done]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> Done:
            chosen = options(*args, **kwargs)
            chosen.check()
            with chosen.limited():
                return function(chosen)

        own = inspect.signature(options)
        call.__signature__ = own.replace(return_annotation=function.__annotations__.get("return"))  # type: ignore[attr-defined]
        first, _, rest = inspect.cleandoc(function.__doc__ or "").partition("\n\n")  # Python 3.13 has done so already
        known = {f.name: flag_of(f) for f in fields(options)}  # type: ignore[arg-type]
        arguments = "".join(f"    {name}: {_sentence(known[name])}\n" for name in own.parameters)
        call.__doc__ = f"{first}\n\nArgs:\n{arguments}\n{rest}"
        return call

    return decorate


def _sentence(flag: Flag) -> str:
    choices = f" One of {', '.join(flag.choices)}." if flag.choices else ""
    default = f" By default: {flag.shown}." if flag.shown else ""
    return f"{flag.help}{choices}{default}"
