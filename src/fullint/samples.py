"""Representative samples, from wherever the user has them, one at a time.

    .npz            arrays by input or signature name, else in input order; first axis = samples
    .npy            the same for a model with one input
    folder          images, resized to the input, (pixel - mean) / std
    file.py:name    a function that yields what a TensorFlow representative_dataset yields
    Python          any iterable of arrays, tuples or dicts; an array or dict of arrays; a function

Uncompressed files are mapped and compressed ones read piece by piece, so memory does not depend on
the number of samples. Each sample is checked: shape, type, and that every number is finite.
"""

from __future__ import annotations

import importlib.util
import itertools
import sys
import zipfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from fullint.errors import SamplesError
from fullint.ir import NUMPY_TYPES, Array, Model, Quant, Tensor
from fullint.numerics import quantize

IMAGES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff"})
HELD_BACK_SHARE, HELD_BACK_MOST, HELD_BACK_FROM = 10, 64, 10

WAYS = """give representative samples with -c / samples=:
    -c samples.npz          arrays by input name (or in input order), first axis = samples
    -c samples.npy          for a model with one input
    -c folder/              images (with --mean, --std, --layout)
    -c data.py:function     yields what a TensorFlow representative_dataset yields
    --synthetic             random numbers: for speed trials only, the accuracy means nothing"""


@dataclass(frozen=True)
class ImageOptions:
    """How the pixels of a folder of images become an input: (pixel - mean) / std.

    Attributes:
        mean, std: one number, or one per channel. std 255 brings pixels to 0..1.
        layout: "NHWC" or "NCHW", the layout of the model's input.
    """

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (255.0,)
    layout: str = "NHWC"


@dataclass(frozen=True)
class Slot:
    """One graph input as samples see it."""

    name: str
    aliases: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    quant: Quant | None = None

    def fit(self, value: Any, sample: int) -> Array:
        """A sample's array in the input's shape and type.

        Raises:
            SamplesError: it does not fit, or holds values that are not finite.
        """
        where = f'sample {sample}, input "{self.name}"'
        try:
            array = np.asarray(value)
        except ValueError as e:
            raise SamplesError(f"{where}: not an array ({e})") from e
        if array.dtype.kind not in "fiub":
            raise SamplesError(f"{where}: has type {array.dtype}, the model takes {self.dtype}")
        if _squeezed(array.shape) != _squeezed(self.shape):
            raise SamplesError(f"{where}: has shape {list(array.shape)}, the model takes {list(self.shape)}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            kind = "NaN" if np.isnan(array).any() else "infinity"
            raise SamplesError(f"{where}: holds {kind}")
        if self.quant is not None and array.dtype.kind == "f" and self.dtype in ("int8", "uint8", "int16"):
            array = quantize(array.astype(np.float32), self.quant, self.dtype)
        target = NUMPY_TYPES[self.dtype]
        if self.dtype != "bool" and np.dtype(target).kind in "iu" and array.dtype != target:
            self._refuse_lossy(array, target, where)
        return np.ascontiguousarray(array, dtype=target).reshape(self.shape)

    def _refuse_lossy(self, array: Array, target: type[Any], where: str) -> None:
        info = np.iinfo(target)
        if array.dtype.kind == "f" and (array != np.trunc(array)).any():
            raise SamplesError(f"{where}: holds fractions, the model takes {self.dtype}")
        if array.size and (array.min() < info.min or array.max() > info.max):
            raise SamplesError(f"{where}: holds values outside {self.dtype}")


def slots(model: Model) -> list[Slot]:
    """The graph inputs, with the names a signature gives them."""
    aliases: dict[Tensor, list[str]] = {}
    for signature in model.signatures:
        if signature.graph is model.main:
            for name, tensor in signature.inputs:
                aliases.setdefault(tensor, []).append(name or "")
    return [Slot(t.name, tuple(aliases.get(t, ())), t.shape, t.dtype, _quant(t)) for t in model.main.inputs]


def _quant(t: Tensor) -> Quant | None:
    return t.quant if t.quant is not None and t.quant.scale.size == 1 else None


@dataclass
class Samples:
    """Samples that fit a model, read one by one; `count` is None where only reading tells."""

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
        """Samples without a batch dimension, `batch` of them to a run; the last run repeats its last one."""
        rows = [(index, _in_order(item, self.inputs, index)) for index, item in group]
        rows += [rows[-1]] * (self.batch - len(rows))
        out = []
        for position, slot in enumerate(self.inputs):
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
    """Samples from any source this module names.

    Args:
        source: path, "file.py:function", array(s), iterable or function.
        inputs: the model's inputs.
        num_samples: take the first this many.
        images: for a folder of images.
        batch: samples to a run.

    Raises:
        SamplesError: the source is not there, or does not fit the model.
    """
    raw, count = _source(source, inputs, images or ImageOptions())
    if num_samples is not None:
        if num_samples < 1:
            raise SamplesError("num_samples must be at least 1")
        raw = itertools.islice(raw, num_samples)
        count = None if count is None else min(count, num_samples)
    if count == 0:
        raise SamplesError("the set of samples is empty")
    runs = None if count is None else -(-count // batch)
    return Samples(inputs, raw, runs, batch)


def synthetic(inputs: Sequence[Slot], count: int) -> Samples:
    """Random samples, for speed trials: standard normal numbers, zeros for indices and booleans."""

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


@dataclass
class Split:
    """Samples parted into those that calibrate and those held back for the certificate.

    The last tenth, 1 to 64 of them, is held back; under ten samples all serve both ends. `held` may
    be read once `calibrating` has been read to its end.
    """

    samples: Samples
    calibrated: int = 0
    held: Iterable[list[Array]] = field(default_factory=list)
    held_back: bool = True
    total: int = 0
    last: list[Array] | None = None

    def calibrating(self) -> Iterator[tuple[int, list[Array]]]:
        """(index, arrays) of the samples that calibrate."""
        count = self.samples.count
        stream = iter(self.samples)
        if count is not None and count >= HELD_BACK_FROM:
            keep = _held_back(count)
            self.total = count
            for index, sample in enumerate(itertools.islice(stream, count - keep)):
                self.calibrated += 1
                self.last = sample
                yield index, sample
            self.held = stream
            return
        yield from self._unknown(stream)

    def _unknown(self, stream: Iterator[list[Array]]) -> Iterator[tuple[int, list[Array]]]:
        waiting: deque[list[Array]] = deque()
        for sample in stream:
            self.total += 1
            self.last = sample
            waiting.append(sample)
            while self.total >= HELD_BACK_FROM and len(waiting) > _held_back(self.total):
                yield self.calibrated, waiting.popleft()
                self.calibrated += 1
        if self.total == 0:
            raise SamplesError("the set of samples is empty")
        self.held = list(waiting)
        if self.total < HELD_BACK_FROM:
            self.held_back = False
            for sample in waiting:
                yield self.calibrated, sample
                self.calibrated += 1


def _held_back(count: int) -> int:
    return max(1, min(HELD_BACK_MOST, count // HELD_BACK_SHARE))


def _squeezed(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(n for n in shape if n != 1)


def _in_order(item: Any, inputs: Sequence[Slot], index: int) -> list[Any]:
    """One sample's values in graph input order."""
    if isinstance(item, Mapping):
        return [_named(item, slot, index) for slot in inputs]
    if isinstance(item, list | tuple) and not (len(inputs) == 1 and len(item) != 1):
        if len(item) != len(inputs):
            raise SamplesError(f"sample {index}: has {len(item)} arrays, the model has {len(inputs)} inputs")
        return list(item)
    if len(inputs) != 1:
        raise SamplesError(f"sample {index}: is one array, the model has {len(inputs)} inputs")
    return [item]


def _named(item: Mapping[Any, Any], slot: Slot, index: int) -> Any:
    for name in (*slot.aliases, slot.name, slot.name.removesuffix(":0")):
        if name in item:
            return item[name]
    known = ", ".join(f'"{k}"' for k in item)
    raise SamplesError(f'sample {index}: has nothing for input "{slot.name}"; it has {known}')


def _source(source: Any, inputs: Sequence[Slot], images: ImageOptions) -> tuple[Iterable[Any], int | None]:
    if isinstance(source, str | Path):
        return _from_path(str(source), inputs, images)
    if isinstance(source, np.ndarray):
        return _from_arrays([source], inputs)
    if isinstance(source, Mapping):
        return _from_arrays(_columns(source, inputs), inputs)
    if callable(source):
        source = source()
    if not isinstance(source, Iterable):
        raise SamplesError(f"samples must be a path, arrays, an iterable or a function, not {type(source).__name__}")
    return source, len(source) if isinstance(source, Sequence) else None


def _from_path(path: str, inputs: Sequence[Slot], images: ImageOptions) -> tuple[Iterable[Any], int | None]:
    file, _, function = path.rpartition(":")
    if file.endswith(".py") and function:
        return _from_function(Path(file), function)(), None
    where = Path(path)
    if not where.exists():
        raise SamplesError(f"{path}: no such file or folder")
    if where.is_dir():
        return _from_images(where, inputs, images)
    if where.suffix == ".npy":
        return _from_arrays([_load_npy(where)], inputs)
    if where.suffix == ".npz":
        return _from_npz(where, inputs)
    raise SamplesError(f"{path}: not a .npz, a .npy, a folder of images or file.py:function")


def _columns(arrays: Mapping[str, Any], inputs: Sequence[Slot]) -> list[Any]:
    """Arrays in input order: by name where the names fit, else as they come."""
    names = [{*s.aliases, s.name, s.name.removesuffix(":0")} for s in inputs]
    if all(any(n in arrays for n in options) for options in names):
        return [next(arrays[n] for n in sorted(options) if n in arrays) for options in names]
    given = list(arrays.values())
    if len(given) < len(inputs):
        have, want = ", ".join(arrays), ", ".join(s.name for s in inputs)
        raise SamplesError(f"the samples hold {len(given)} arrays ({have}), the model has {len(inputs)} inputs ({want})")
    return given[: len(inputs)]


def _from_arrays(arrays: Sequence[Any], inputs: Sequence[Slot]) -> tuple[Iterable[Any], int]:
    if len(arrays) != len(inputs):
        raise SamplesError(f"the samples are {len(arrays)} array, the model has {len(inputs)} inputs")
    for array, slot in zip(arrays, inputs, strict=True):
        if len(np.shape(array)) == 0:
            raise SamplesError(f'the samples of input "{slot.name}" are one number; the first axis must be samples')
    counts = {len(a) for a in arrays}
    if len(counts) > 1:
        raise SamplesError(f"the inputs have different numbers of samples: {sorted(counts)}")
    return (list(rows) for rows in zip(*arrays, strict=True)), counts.pop()


def _load_npy(path: Path) -> Array:
    try:
        array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as e:
        raise SamplesError(f"{path}: not a readable .npy file ({e})") from e
    return array


def _from_npz(path: Path, inputs: Sequence[Slot]) -> tuple[Iterable[Any], int]:
    try:
        archive = zipfile.ZipFile(path)
        columns = {i.filename.removesuffix(".npy"): _Column(path, archive, i) for i in archive.infolist()}
    except (zipfile.BadZipFile, ValueError, OSError, EOFError) as e:
        raise SamplesError(f"{path}: not a readable .npz file ({e})") from e
    if not columns:
        raise SamplesError(f"{path}: holds no array")
    return _from_arrays(_columns(columns, inputs), inputs)


class _Column:
    """One array of a .npz, iterated along its first axis without holding it whole."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
        self.path, self.archive, self.info = path, archive, info
        with archive.open(info) as f:
            version = np.lib.format.read_magic(f)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            self.shape, self.fortran, self.dtype = read(f)
            self.header = f.tell()
        if self.dtype.hasobject:
            raise ValueError(f"array {info.filename} holds Python objects")

    def __len__(self) -> int:
        return int(self.shape[0])

    def __iter__(self) -> Iterator[Array]:
        if self.fortran:
            with self.archive.open(self.info) as f:
                yield from np.lib.format.read_array(f, allow_pickle=False)
        elif self.info.compress_type == zipfile.ZIP_STORED:
            yield from np.memmap(self.path, self.dtype, "r", self._offset(), self.shape)
        else:
            yield from self._pieces()

    def _offset(self) -> int:
        """Where the array's bytes start in the file: behind the zip's local header and NumPy's own."""
        with open(self.path, "rb") as f:
            f.seek(self.info.header_offset + 26)
            lengths = np.frombuffer(f.read(4), "<u2")
        return self.info.header_offset + 30 + int(lengths.sum()) + self.header

    def _pieces(self) -> Iterator[Array]:
        shape = self.shape[1:]
        size = int(np.prod(shape)) * self.dtype.itemsize
        with self.archive.open(self.info) as f:
            f.read(self.header)
            for _ in range(len(self)):
                data = f.read(size)
                if len(data) < size:
                    raise SamplesError(f"{self.path}: array {self.info.filename} is cut short")
                yield np.frombuffer(data, self.dtype).reshape(shape)


def _from_function(file: Path, name: str) -> Callable[[], Iterable[Any]]:
    if not file.exists():
        raise SamplesError(f"{file}: no such file")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(file.stem, module)
    try:
        spec.loader.exec_module(module)
    except Exception as e:
        raise SamplesError(f"{file}: cannot be imported ({type(e).__name__}: {e})") from e
    function = getattr(module, name, None)
    if not callable(function):
        raise SamplesError(f"{file}: has no function {name}")

    def run() -> Iterator[Any]:
        try:
            yield from function()
        except SamplesError:
            raise
        except Exception as e:
            raise SamplesError(f"{file}:{name} failed ({type(e).__name__}: {e})") from e

    return run


def _from_images(folder: Path, inputs: Sequence[Slot], images: ImageOptions) -> tuple[Iterable[Any], int]:
    try:
        from PIL import Image
    except ImportError as e:
        raise SamplesError('images need Pillow: pip install "fullint[images]"') from e
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        raise SamplesError("a folder of images needs a model with one input of four dimensions")
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGES)
    if not files:
        raise SamplesError(f"{folder}: holds no images")
    planar = images.layout.upper() == "NCHW"
    _, *dims = inputs[0].shape
    height, width, channels = (dims[1], dims[2], dims[0]) if planar else (dims[0], dims[1], dims[2])
    if channels not in (1, 3, 4):
        raise SamplesError(f"an input of {channels} channels is no image; try --layout {'NHWC' if planar else 'NCHW'}")

    def load(file: Path) -> Array:
        try:
            with Image.open(file) as picture:
                mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
                pixels: Array = np.asarray(picture.convert(mode).resize((width, height), Image.Resampling.BILINEAR), np.float32)
        except OSError as e:
            raise SamplesError(f"{file}: not a readable image ({e})") from e
        pixels = pixels.reshape(height, width, channels)
        if inputs[0].dtype == "float32":
            pixels = (pixels - np.asarray(images.mean, np.float32)) / np.asarray(images.std, np.float32)
        return pixels.transpose(2, 0, 1) if planar else pixels

    return ([load(f)] for f in files), len(files)
