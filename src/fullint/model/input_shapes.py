"""The options that fix dynamic dimensions: a batch size, and complete shapes of inputs.

"1,224,224,3"          shape of the only input
"image=1,224,224,3"    shape of the input with that name
"""

from __future__ import annotations

from collections.abc import Sequence

from fullint.errors import UsageError


def parse_shapes(shape: str | Sequence[str]) -> dict[str | None, tuple[int, ...]]:
    """Input name -> shape; the name None stands for the only input.

    Raises:
        UsageError: the value is not a string or a sequence of strings, or not a shape.
    """
    if not isinstance(shape, str) and not (isinstance(shape, list | tuple) and all(isinstance(s, str) for s in shape)):
        raise UsageError(f'shape must be a string such as "1,224,224,3", or a sequence of them, not {shape!r}')
    return dict(_parse_shape(text) for text in ([shape] if isinstance(shape, str) else shape))


def check_batch(batch: int) -> None:
    """Raise UsageError if a batch size is not an integer of at least 1."""
    if not isinstance(batch, int) or isinstance(batch, bool):
        raise UsageError(f"batch must be an integer, not {batch!r}")
    if batch < 1:
        raise UsageError("batch must be at least 1")


def _parse_shape(text: str) -> tuple[str | None, tuple[int, ...]]:
    name, _, sizes = text.rpartition("=")
    try:
        shape = tuple(int(n) for n in sizes.split(","))
    except ValueError:
        shape = ()
    if not shape or any(n < 1 for n in shape):
        raise UsageError(f'shape must have the form 1,224,224,3 or NAME=1,224,224,3, not "{text}"')
    return name or None, shape
