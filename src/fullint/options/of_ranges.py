"""The choice of how ranges are made: one method for all tensors, and others for some.

--ranges mse                                    all tensors
--ranges conv1=mse,SOFTMAX=percentile:99.99     outputs of these operators; min-max for all others
--ranges histogram,logits=minmax                all tensors but one
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fullint.errors import UsageError

PERCENTILE = "percentile"
RANGE_METHODS = ("minmax", "mse", PERCENTILE, "histogram")


@dataclass(frozen=True)
class RangeChoice:
    """A method, and whose ranges it makes.

    Attributes:
        method: one of `RANGE_METHODS`.
        parameter: P of percentile:P; None for the others.
        of: name, type or index of operators, or name of an input; None for all that no other choice names.
        ruled: whether a rule of a recipe says it, which may name types that a model does not have.
    """

    method: str
    parameter: float | None = None
    of: str | None = None
    ruled: bool = False


def parse_ranges(given: str | Sequence[str]) -> tuple[RangeChoice, ...]:
    """The choices in the order in which they were given; a name may contain commas where they are a sequence.

    Raises:
        UsageError: a method is unknown, a number is missing or wrong, or there are two methods for all tensors.
    """
    if not isinstance(given, str) and not (isinstance(given, list | tuple) and all(isinstance(g, str) for g in given)):
        raise UsageError(f"ranges must be a method, or items such as conv1=mse, not {given!r}")
    choices = tuple(map(_parse, given.split(",") if isinstance(given, str) else given))
    if not choices:
        raise UsageError(f"ranges must name a method: one of {_known()}")
    for_all = [c.method for c in choices if c.of is None]
    if len(for_all) > 1:
        raise UsageError(f"ranges has {len(for_all)} methods for all tensors ({', '.join(for_all)}): give one, and NAME=METHOD")
    return choices


def _parse(item: str) -> RangeChoice:
    of, equals, spelled = item.strip().rpartition("=")
    method, colon, number = spelled.strip().partition(":")
    if equals and not of.strip():
        raise UsageError(f'ranges: "{item}" has no name before the equals sign')
    if method not in RANGE_METHODS:
        raise UsageError(f'ranges: there is no method "{spelled}"; known are {_known()}')
    if method != PERCENTILE and colon:
        raise UsageError(f'ranges: {method} takes no number, but "{spelled}" has one')
    return RangeChoice(method, _percent(spelled, number) if method == PERCENTILE else None, of.strip() if equals else None)


def _percent(spelled: str, number: str) -> float:
    try:
        percent = float(number)
    except ValueError:
        percent = 0.0
    if not 50 < percent <= 100:
        raise UsageError(f'ranges: percentile:P takes a P above 50, up to 100, such as percentile:99.99, not "{spelled}"')
    return percent


def _known() -> str:
    return ", ".join(f"{m}:P" if m == PERCENTILE else m for m in RANGE_METHODS)
