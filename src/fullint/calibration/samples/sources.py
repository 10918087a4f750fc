"""Where raw samples come from: a path, arrays, an iterable or a function, as one `RawSamples`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fullint.calibration.samples.arrays_in_files import FileRows, NpyRows, open_npz
from fullint.calibration.samples.images import ImageFolder
from fullint.calibration.samples.labels import read_labels
from fullint.calibration.samples.python_file import from_function
from fullint.calibration.samples.slots import ImageOptions, Slot
from fullint.errors import SamplesError
from fullint.files import check_name, unreadable
from fullint.model.ir import Array


@dataclass(frozen=True, eq=False)
class RawSamples:
    """Raw samples.

    Attributes:
        items: the samples, to be read once.
        count: how many; None for a stream, which tells only at its end.
        pick: the samples of some numbers, in ascending order; None for a stream.
        arrays: the arrays that the samples come from, by name, where they have names.
        images: the folder of images, where they come from one.
    """

    items: Iterable[Any]
    count: int | None = None
    pick: Callable[[Sequence[int]], Iterable[Any]] | None = None
    arrays: Mapping[str, Any] | None = None
    images: ImageFolder | None = None

    def labels(self, given: Any) -> Array | None:
        """The right class of each sample, int64; None where none are given.

        Raises:
            SamplesError: they cannot be read, or their number is not that of the samples.
        """
        if given is None:
            return None
        found = read_labels(given, self.arrays, self.images)
        if self.count is not None and len(found) != self.count:
            raise SamplesError(f"there are {len(found)} labels for {self.count} samples: give one for each")
        return found


def from_anywhere(source: Any, inputs: Sequence[Slot], images: ImageOptions, labels: Any = None) -> RawSamples:
    """Raw samples from a path, an array, a dict of arrays, an iterable or a function.

    Args:
        source: as the user gave it.
        inputs: of the model.
        images: how images are read.
        labels: as the user gave them; an array of this name is none of the inputs.
    """
    if isinstance(source, str | Path):
        return _from_path(str(source), inputs, images, labels)
    if isinstance(source, np.ndarray):
        return _from_arrays([source], inputs)
    if isinstance(source, Mapping):
        return _from_named(source, inputs, labels)
    if callable(source):
        source = source()
    if not isinstance(source, Iterable):
        raise SamplesError(f"samples must be a path, arrays, an iterable or a function, not {type(source).__name__}")
    if isinstance(source, Sequence):
        return RawSamples(source, len(source), lambda numbers: (source[n] for n in numbers))
    return RawSamples(source)


def _from_path(path: str, inputs: Sequence[Slot], images: ImageOptions, labels: Any) -> RawSamples:
    check_name(path)
    where, name = parted(path)
    if name is not None and where.suffix == ".py":
        return RawSamples(from_function(where, name)())
    if not where.exists():
        raise SamplesError(f"{where}: no such file or folder")
    if (why := unreadable(where)) is not None:
        raise SamplesError(why)
    if where.is_dir():
        return _from_folder(where, inputs, images)
    if where.suffix == ".npy":
        return _from_arrays([NpyRows(where)], inputs)
    if where.suffix == ".npz":
        return _from_npz(where, inputs, labels, name)
    raise SamplesError(f"{path}: not a source of samples; give a .npz, a .npy, a folder of images or file.py:function")


def parted(path: str) -> tuple[Path, str | None]:
    """(file, name) of FILE.py:NAME and FILE.npz:NAME; (path, None) of what is there, and of all others."""
    file, _, name = path.rpartition(":")
    if not Path(path).exists() and file.endswith((".py", ".npz")) and name:
        return Path(file), name
    return Path(path), None


def _from_folder(folder: Path, inputs: Sequence[Slot], images: ImageOptions) -> RawSamples:
    found = ImageFolder(folder, inputs, images)

    def pick(numbers: Sequence[int]) -> Iterator[list[Array]]:
        return (found[n] for n in numbers)

    return RawSamples(pick(range(len(found))), len(found), pick, images=found)


def _from_named(arrays: Mapping[str, Any], inputs: Sequence[Slot], labels: Any) -> RawSamples:
    """Arrays by name; those that carry labels are no inputs."""
    given = {name: array for name, array in arrays.items() if not (isinstance(labels, str) and name == labels)}
    return replace(_from_arrays(_columns(given, inputs), inputs), arrays=arrays)


def _columns(arrays: Mapping[str, Any], inputs: Sequence[Slot]) -> list[Any]:
    """Arrays in input order: by name where one has an input's name, by names that are alike, else in the order given.

    Raises:
        SamplesError: some inputs have an array of their name, and others have none; or there are not as many as inputs.
    """
    exact = [next((n for n in sorted(_names(s)) if n in arrays), None) for s in inputs]
    found = [n for n in exact if n is not None]
    if len(found) == len(inputs):
        return [arrays[n] for n in found]
    if found and (len(inputs) > 1 or len(arrays) > 1):
        lacking = ", ".join(_said(s) for s, n in zip(inputs, exact, strict=True) if n is None)
        raise SamplesError(f"there are no samples for input {lacking}; the arrays are {_quoted(arrays)}")
    alike = [[n for n in arrays if _alike(n, s)] for s in inputs]
    if len(inputs) > 1 and all(len(a) == 1 for a in alike) and len({a[0] for a in alike}) == len(inputs):
        return [arrays[a[0]] for a in alike]
    if len(arrays) > len(inputs):  # texts and records beside the samples are none
        arrays = {n: a for n, a in arrays.items() if _is_numbers(a)}
    if len(arrays) != len(inputs):
        raise SamplesError(
            f"the arrays do not match the inputs: {len(arrays)} given ({_quoted(arrays)}), {len(inputs)} needed "
            f"({', '.join(map(_said, inputs))}); FILE.npz:NAME chooses one array"
        )
    return list(arrays.values())


def _is_numbers(array: Any) -> bool:
    try:
        return getattr(array, "dtype", np.dtype(np.float32)).kind in "fiub"
    except SamplesError:
        return False


def _names(slot: Slot) -> set[str]:
    return {*slot.aliases, slot.name, slot.name.removesuffix(":0")} - {""}


def _alike(name: str, slot: Slot) -> bool:
    """Whether a name is that of an input but for what exporters put around it: image, serving_default_image:0."""
    own = slot.name.removesuffix(":0").removeprefix("serving_default_").lower()
    return name.lower() in (own, own.rpartition("/")[2])


def _said(slot: Slot) -> str:
    return f'"{slot.name}" ({slot.dtype} {list(slot.shape)})'


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{n}"' for n in names)


def _from_arrays(arrays: Sequence[Any], inputs: Sequence[Slot]) -> RawSamples:
    if len(arrays) != len(inputs):
        wanted = ", ".join(map(_said, inputs))
        raise SamplesError(
            f"the samples are {len(arrays)} array, but the model has {len(inputs)} inputs ({wanted}): give one each"
        )
    for array, slot in zip(arrays, inputs, strict=True):
        if len(np.shape(array)) == 0:
            raise SamplesError(f'the samples of input "{slot.name}" are a single number; the first axis must be samples')
        _check_rows(array, slot)
    counts = {len(a) for a in arrays}
    if len(counts) > 1:
        raise SamplesError(f"the inputs have different numbers of samples: {sorted(counts)}")

    def pick(numbers: Sequence[int]) -> Iterator[list[Any]]:
        return (list(row) for row in zip(*(_picked(a, numbers) for a in arrays), strict=True))

    def rows() -> Iterator[list[Any]]:
        return (list(row) for row in zip(*arrays, strict=True))

    return RawSamples(rows(), counts.pop(), pick)


def _picked(array: Any, numbers: Sequence[int]) -> Iterable[Any]:
    """Some rows of an array, by ascending numbers."""
    if isinstance(array, FileRows):
        return array.rows(numbers)
    if isinstance(array, np.ndarray):
        return (array[n] for n in numbers)
    wanted = set(numbers)
    return (row for number, row in enumerate(array) if number in wanted)


def _check_rows(array: Any, slot: Slot) -> None:
    """Refuse rows that are no samples before one is read: of another size than the input, or than one of its batch.

    Raises:
        SamplesError: they are.
    """
    shape = getattr(array, "shape", None)
    if shape is None or any(n < 1 for n in slot.shape):
        return
    if math.prod(shape[1:]) not in (math.prod(slot.shape), math.prod(slot.shape[1:])):
        raise SamplesError(f'sample 0, input "{slot.name}": has shape {list(shape[1:])}, the model expects {list(slot.shape)}')


def _from_npz(path: Path, inputs: Sequence[Slot], labels: Any, name: str | None) -> RawSamples:
    columns = open_npz(path)
    if name is not None:
        if name not in columns:
            raise SamplesError(f'{path}: has no array "{name}"; it has {_quoted(columns)}')
        return replace(_from_arrays([columns[name]], inputs), arrays=columns)
    return _from_named(columns, inputs, labels)
