"""Counts, sizes and long names in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

MOST_ROWS = 20
"""Rows of a list that are shown; the JSON has all."""


def many(count: int, noun: str) -> str:
    """A count with its noun: 1 operator, 2 operators."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def size(count: int) -> str:
    """A number of bytes in B, kB or MB."""
    if count < 10_000:
        return f"{count} B"
    return f"{count / 1e3:.1f} kB" if count < 1_000_000 else f"{count / 1e6:.2f} MB"


def cut(name: str, most: int = 60) -> str:
    """A long name without its beginning."""
    return name if len(name) <= most else f"…{name[1 - most :]}"


def spans(numbers: Sequence[int]) -> str:
    """Numbers in rising order, with those in a row as one: 3-5, 8."""
    found: list[list[int]] = []
    for n in numbers:
        if found and n == found[-1][-1] + 1:
            found[-1].append(n)
        else:
            found.append([n])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in found)


def some(counts: Mapping[str, int], most: int = 4) -> str:
    """The first counts of several: 3 ADD, 2 MUL, …"""  # noqa: D415 - an ellipsis ends it
    named = [f"{n} {kind}" for kind, n in list(counts.items())[:most]]
    return ", ".join(named) + (", …" if len(counts) > most else "")
