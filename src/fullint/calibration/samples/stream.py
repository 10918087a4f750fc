"""Samples as a stream that is checked against the model's inputs."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fullint.calibration.samples.slots import ImageOptions, Slot
from fullint.calibration.samples.sources import from_anywhere
from fullint.errors import SamplesError
from fullint.model.ir import NUMPY_TYPES, Array
from fullint.model.ranges import Range

WAYS = """give representative samples with -c / samples=:
    -c samples.npz          arrays by input name (or in input order), first axis = samples
    -c samples.npy          for a model with one input
    -c folder/              images (with --mean, --std, --layout)
    -c data.py:function     a function that yields what a TensorFlow representative_dataset yields
    --synthetic             random numbers, for speed tests only: the accuracy is meaningless"""


@dataclass
class Samples:
    """Samples that fit a model, read one by one.

    Attributes:
        inputs: the model's inputs.
        raw: the samples as the source gives them.
        count: number of runs (groups of `batch` samples), None if unknown before reading.
        batch: samples per run.
    """

    inputs: Sequence[Slot]
    raw: Iterable[Any]
    count: int | None = None
    batch: int = 1

    def __iter__(self) -> Iterator[list[Array]]:
        items = enumerate(self.raw)
        if self.batch == 1:
            for index, item in items:
                yield self._fit(index, item)
            return
        while group := list(itertools.islice(items, self.batch)):
            yield self._stack(group)

    def _fit(self, index: int, item: Any) -> list[Array]:
        values = _in_order(item, self.inputs, index)
        return [slot.fit(value, index) for slot, value in zip(self.inputs, values, strict=True)]

    def _stack(self, group: list[tuple[int, Any]]) -> list[Array]:
        """Stack `batch` samples of batch 1 into one run; the last run is filled up by repeating its last sample."""
        rows = [(index, _in_order(item, self.inputs, index)) for index, item in group]
        rows += [rows[-1]] * (self.batch - len(rows))
        out = []
        for position, slot in enumerate(self.inputs):
            if not slot.shape or slot.shape[0] != self.batch:
                out.append(slot.fit(rows[0][1][position], rows[0][0]))  # an input without a batch
                continue
            one = replace(slot, shape=(1, *slot.shape[1:]))
            out.append(np.concatenate([one.fit(values[position], index) for index, values in rows]))
        return out


def open_samples(
    source: Any,
    inputs: Sequence[Slot],
    num_samples: int | None = None,
    images: ImageOptions | None = None,
    batch: int = 1,
) -> Samples:
    """Samples from any source listed in `calibration.samples`.

    Args:
        source: path, "file.py:function", array(s), iterable or function.
        inputs: the model's inputs.
        num_samples: use only this many, from the start.
        images: options for a folder of images.
        batch: samples per run.

    Raises:
        SamplesError: the source does not exist, or does not fit the model.
    """
    raw, count = from_anywhere(source, inputs, images or ImageOptions())
    if num_samples is not None:
        if num_samples < 1:
            raise SamplesError("num_samples must be at least 1")
        raw = itertools.islice(raw, num_samples)
        count = None if count is None else min(count, num_samples)
    if count == 0:
        raise SamplesError("there are no samples: give at least one")
    runs = None if count is None else -(-count // batch)
    return Samples(inputs, raw, runs, batch)


def synthetic(inputs: Sequence[Slot], count: int) -> Samples:
    """Random samples for speed tests: standard normal values; zeros for indices and booleans."""

    def draw() -> Iterator[list[Array]]:
        rng = np.random.default_rng(0)
        for _ in range(count):
            yield [
                rng.normal(size=s.shape).astype(np.float32)
                if s.dtype == "float32" or s.quant is not None
                else np.zeros(s.shape, NUMPY_TYPES[s.dtype])
                for s in inputs
            ]

    return Samples(inputs, draw(), count)


def draw_samples(inputs: Sequence[Slot], spans: Sequence[Range | None], count: int) -> Samples:
    """Random inputs within each input's range: normal values around its middle, with the ends at 3 sigma.

    Args:
        inputs: the model's inputs.
        spans: smallest and largest value of each input; None if unknown (standard normal values then; zeros for indices
            and booleans).
        count: number of samples.
    """

    def draw() -> Iterator[list[Array]]:
        rng = np.random.default_rng(0)
        for _ in range(count):
            yield [_draw(rng, slot, span) for slot, span in zip(inputs, spans, strict=True)]

    return Samples(inputs, draw(), count)


def _draw(rng: np.random.Generator, slot: Slot, span: Range | None) -> Array:
    if slot.dtype != "float32" and (slot.quant is None or slot.dtype not in ("int8", "uint8", "int16")):
        return np.zeros(slot.shape, NUMPY_TYPES[slot.dtype])
    low, high = span or Range(-3.0, 3.0)
    values = rng.normal((low + high) / 2, (high - low) / 6, slot.shape).astype(np.float32)
    return values if span is None else np.clip(values, low, high)


def _in_order(item: Any, inputs: Sequence[Slot], index: int) -> list[Any]:
    """One sample's values in graph input order."""
    if isinstance(item, Mapping):
        return [_named(item, slot, index) for slot in inputs]
    if isinstance(item, list | tuple) and not (len(inputs) == 1 and len(item) != 1):
        if len(item) != len(inputs):
            raise SamplesError(f"sample {index}: has {len(item)} arrays, but the model has {len(inputs)} inputs")
        return list(item)
    if len(inputs) != 1:
        names = ", ".join(slot.name for slot in inputs)
        wanted = f"the model has {len(inputs)} inputs ({names}): give a tuple in that order, or a dict by input name"
        raise SamplesError(f"sample {index} is one array, but {wanted}")
    return [item]


def _named(item: Mapping[Any, Any], slot: Slot, index: int) -> Any:
    for name in (*slot.aliases, slot.name, slot.name.removesuffix(":0")):
        if name in item:
            return item[name]
    known = ", ".join(f'"{k}"' for k in item)
    raise SamplesError(f'sample {index}: has no array for input "{slot.name}"; it has {known}')
