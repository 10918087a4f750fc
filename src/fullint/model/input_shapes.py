"""Sizes that a user gives to open dimensions: a batch, and whole shapes by input.

"1,224,224,3"          of the only input
"image=1,224,224,3"    of the input of that name
"""

from __future__ import annotations

from collections.abc import Sequence

from fullint.errors import UsageError


def parse_shapes(shape: str | Sequence[str]) -> dict[str | None, tuple[int, ...]]:
    """Shapes of inputs by name; None stands for the only input.

    Raises:
        UsageError: it is no text, or does not look like a shape.
    """
    if not isinstance(shape, str) and not (isinstance(shape, list | tuple) and all(isinstance(s, str) for s in shape)):
        raise UsageError(f"shape must be text such as 1,224,224,3, or a sequence of such, not {shape!r}")
    return dict(_parse_shape(text) for text in ([shape] if isinstance(shape, str) else shape))


def check_batch(batch: int) -> None:
    """Raise UsageError where a batch is no whole number, or below 1."""
    if not isinstance(batch, int) or isinstance(batch, bool):
        raise UsageError(f"batch must be a whole number, not {batch!r}")
    if batch < 1:
        raise UsageError("batch must be at least 1")


def _parse_shape(text: str) -> tuple[str | None, tuple[int, ...]]:
    name, _, sizes = text.rpartition("=")
    try:
        shape = tuple(int(n) for n in sizes.split(","))
    except ValueError:
        shape = ()
    if not shape or any(n < 1 for n in shape):
        raise UsageError(f'shape must look like 1,224,224,3 or NAME=1,224,224,3, not "{text}"')
    return name or None, shape
