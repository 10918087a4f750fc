"""Samples as a stream that is checked against the model's inputs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fullint.calibration.samples.batches import taken_apart
from fullint.calibration.samples.slots import ImageOptions, Slot, has_arrays
from fullint.calibration.samples.sources import from_anywhere
from fullint.errors import SamplesError
from fullint.model.ir import NUMPY_TYPES, Array
from fullint.model.ranges import Range

WAYS = """give representative samples with -c / samples=:
    -c samples.npz          arrays by input name (or in input order), first axis = samples; FILE.npz:NAME chooses one array
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
        numbers: each sample's number in the source, where not all of them are used.
        labels: the right class of each sample, int64, in the order of `raw`.
        images: how pixels became values, where the samples are a folder of images.
        reach: by the number of a quantized input, smallest and largest real value that was given for it so far.
        pick: raw samples by their numbers in the source, in ascending order; None for a stream.
        size: number of samples, None if unknown before reading.
    """

    inputs: Sequence[Slot]
    raw: Iterable[Any]
    count: int | None = None
    batch: int = 1
    numbers: Sequence[int] | None = None
    labels: Array | None = None
    images: ImageOptions | None = None
    reach: dict[int, Range] = field(default_factory=dict)
    pick: Callable[[Sequence[int]], Iterable[Any]] | None = None
    size: int | None = None

    @property
    def can_be_picked(self) -> bool:
        """Whether any run can be read by itself; then their number is known."""
        return self.pick is not None and self.count is not None

    def some(self, runs: Sequence[int]) -> Iterator[list[Array]]:
        """Some runs, in ascending order, of a source whose samples can be picked."""
        assert self.pick is not None and self.size is not None
        ends = ((run * self.batch, min((run + 1) * self.batch, self.size)) for run in runs)
        numbers = [self.number(index) for first, last in ends for index in range(first, last)]
        return iter(replace(self, raw=self.pick(numbers), numbers=numbers, count=len(runs), size=len(numbers)))

    def __iter__(self) -> Iterator[list[Array]]:
        items = ((self.number(index), item) for index, item in enumerate(self.raw))
        if self.batch == 1:
            for index, item in items:
                yield self._fit(index, item)
            return
        while group := list(itertools.islice(items, self.batch)):
            yield self._stack(group)

    def number(self, index: int) -> int:
        """A sample's number in the source."""
        return index if self.numbers is None else self.numbers[index]

    def first_number(self, run: int) -> int:
        """The number in the source of the first sample of a run."""
        return self.number(run * self.batch)

    def labels_of(self, run: int) -> Array:
        """The right classes of the samples of a run; of a run that is filled up, those of the samples that were given.

        Raises:
            SamplesError: there are fewer labels than samples.
        """
        assert self.labels is not None
        found = self.labels[run * self.batch : (run + 1) * self.batch]
        if not found.size:
            raise SamplesError(f"there are {self.labels.size} labels, but more samples: give one for each")
        return found

    def _fit(self, index: int, item: Any) -> list[Array]:
        values = _in_order(item, self.inputs, index)
        for position, (slot, value) in enumerate(zip(self.inputs, values, strict=True)):
            if slot.quant is not None and getattr(value, "dtype", np.dtype(object)).kind == "f" and np.size(value):
                self.reach[position] = Range.of(np.asarray(value)).union(self.reach.get(position, Range(0.0, 0.0)))
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


@dataclass(frozen=True)
class Reading:
    """How samples are read.

    Attributes:
        num_samples: use only this many: drawn at random where their number is known, the first of a stream.
        images: how images are read.
        batch: samples per run.
        labels: the right classes, as the user gave them.
        seed: of what is drawn.
        in_order: whether the samples follow one another, so that the first are used instead of some drawn at random.
    """

    num_samples: int | None = None
    images: ImageOptions = field(default_factory=ImageOptions)
    batch: int = 1
    labels: Any = None
    seed: int = 0
    in_order: bool = False


def open_samples(source: Any, inputs: Sequence[Slot], reading: Reading | None = None) -> Samples:
    """Samples from any source listed in `calibration.samples`.

    Args:
        source: path, "file.py:function", array(s), iterable or function.
        inputs: the model's inputs.
        reading: how they are read.

    Raises:
        SamplesError: the source does not exist, or does not fit the model.
    """
    how = reading or Reading()
    if how.num_samples is not None and how.num_samples < 1:
        raise SamplesError("num_samples must be at least 1")
    found = taken_apart(from_anywhere(source, inputs, how.images, how.labels), inputs, how.batch)
    labels = found.labels(how.labels)
    if found.count == 0:
        raise SamplesError("there are no samples: give at least one")
    given = Samples(
        inputs, found.items, _runs(found.count, how.batch), how.batch, labels=labels, pick=found.pick, size=found.count
    )
    given = replace(given, images=how.images if found.images is not None else None)
    if how.num_samples is None or (found.count is not None and how.num_samples >= found.count):
        return given
    if found.count is None or found.pick is None or how.in_order:
        count = None if found.count is None else how.num_samples
        return replace(given, raw=itertools.islice(found.items, how.num_samples), count=_runs(count, how.batch), size=count)
    drawn = np.sort(np.random.default_rng(how.seed).choice(found.count, how.num_samples, replace=False))
    numbers = [int(n) for n in drawn]
    labels = None if labels is None else labels[drawn]
    count = len(numbers)
    return replace(given, raw=found.pick(numbers), count=_runs(count, how.batch), numbers=numbers, labels=labels, size=count)


def keeping_first(samples: Iterable[list[Array]], most: int, kept: list[list[Array]]) -> Iterator[list[Array]]:
    """The samples; the first are kept."""
    for sample in samples:
        if len(kept) < most:
            kept.append(sample)
        yield sample


def _runs(count: int | None, batch: int) -> int | None:
    return None if count is None else -(-count // batch)


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
    if has_arrays(item, inputs):
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
    raise SamplesError(f'sample {index}: has no array for input "{slot.name}" ({slot.dtype} {list(slot.shape)}); it has {known}')
