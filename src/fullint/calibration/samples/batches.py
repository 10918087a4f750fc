"""Batches, as `dataset.batch(32)` gives them, taken apart into samples.

input [1, 8, 8, 3], given [32, 8, 8, 3]    =>    32 samples [1, 8, 8, 3]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fullint.calibration.samples.slots import Slot, has_arrays
from fullint.calibration.samples.sources import RawSamples


def taken_apart(found: RawSamples, inputs: Sequence[Slot], batch: int) -> RawSamples:
    """The samples of a source of which some may be batches; how many there are is then not known before.

    Args:
        found: as the source gives them.
        inputs: of the model.
        batch: samples that make one run, each given by itself.
    """
    if found.images is not None or found.arrays is not None:
        return found
    if found.count is not None:
        first = found.items[0] if isinstance(found.items, Sequence) and found.count else None
        if first is None or not _size(first, inputs, batch):
            return found
    return replace(found, items=_apart(found.items, inputs, batch), count=None, pick=None)


def _apart(items: Iterable[Any], inputs: Sequence[Slot], batch: int) -> Iterator[Any]:
    for item in items:
        count = _size(item, inputs, batch)
        if not count:
            yield item
            continue
        values = [np.asarray(v) for v in _values(item, inputs)]
        each = 1 if batch > 1 else inputs[0].shape[0]
        for i in range(0, count, each):
            rows = [v[i : i + each] for v in values]
            yield dict(zip(item, rows, strict=True)) if isinstance(item, Mapping) else rows


def _size(item: Any, inputs: Sequence[Slot], batch: int) -> int:
    """Rows of a batch of which each, or several, make a sample; 0 for what is one sample, or does not fit."""
    values = _values(item, inputs)
    if len(values) != len(inputs):
        return 0
    try:
        given = [tuple(v.shape if hasattr(v, "shape") else np.shape(v)) for v in values]
    except ValueError:  # of unequal rows: said later
        return 0
    if isinstance(item, Mapping):  # in its own order: of each array, some input's rows
        fits = [any(_rows(g, s) for s in inputs) for g in given]
    else:
        fits = [_rows(g, s) for g, s in zip(given, inputs, strict=True)]
    counts = {g[0] for g in given if g}
    if not all(fits) or len(counts) != 1 or len({s.shape[0] for s in inputs}) != 1:
        return 0
    count, own = int(counts.pop()), inputs[0].shape[0]
    if batch > 1:
        return count if count > 1 else 0
    return count if count > own and count % own == 0 else 0


def _rows(given: tuple[int, ...], slot: Slot) -> bool:
    return len(given) == len(slot.shape) > 1 and given[1:] == slot.shape[1:]


def _values(item: Any, inputs: Sequence[Slot]) -> list[Any]:
    """The arrays of an item."""
    if isinstance(item, Mapping):
        return list(item.values())
    return list(item) if has_arrays(item, inputs) else [item]
