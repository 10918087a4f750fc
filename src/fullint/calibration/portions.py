"""Things that take memory, in portions of at most so many bytes.

sizes 30 30 30 90 10, at most 64        ->        30 30 | 30 | 90 | 10
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np

from fullint.model.ir import NUMPY_TYPES, Tensor

PORTION_BYTES = 64 * 2**20
"""Of activations that leave the runtime at a time."""
Item = TypeVar("Item")


def portions(items: Iterable[Item], size: Callable[[Item], int], most_items: int | None = None) -> Iterator[list[Item]]:
    """Items in their order, in portions of at most `PORTION_BYTES`, or of one that is larger."""
    portion: list[Item] = []
    total = 0
    for item in items:
        own = size(item)
        if portion and (total + own > PORTION_BYTES or len(portion) == most_items):
            yield portion
            portion, total = [], 0
        portion.append(item)
        total += own
    if portion:
        yield portion


def bytes_of(t: Tensor) -> int:
    """Of an activation."""
    return t.size * np.dtype(NUMPY_TYPES[t.dtype]).itemsize
