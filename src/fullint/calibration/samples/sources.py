"""Sources of raw samples: each returns (iterable of samples, their number or None)."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fullint.calibration.samples.slots import ImageOptions, Slot
from fullint.errors import SamplesError
from fullint.model.ir import Array

_END = object()
IMAGES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff"})


def from_anywhere(source: Any, inputs: Sequence[Slot], images: ImageOptions) -> tuple[Iterable[Any], int | None]:
    """Raw samples from a path, an array, a dict of arrays, an iterable or a function."""
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
    raise SamplesError(f"{path}: not a source of samples; give a .npz, a .npy, a folder of images or file.py:function")


def _columns(arrays: Mapping[str, Any], inputs: Sequence[Slot]) -> list[Any]:
    """Arrays in input order: by name if every input has one, else in the order given."""
    names = [{*s.aliases, s.name, s.name.removesuffix(":0")} for s in inputs]
    if all(any(n in arrays for n in options) for options in names):
        return [next(arrays[n] for n in sorted(options) if n in arrays) for options in names]
    given = list(arrays.values())
    if len(given) != len(inputs):
        have, want = ", ".join(arrays), ", ".join(s.name for s in inputs)
        raise SamplesError(f"the arrays do not match the inputs: {len(given)} given ({have}), {len(inputs)} needed ({want})")
    return given[: len(inputs)]


def _from_arrays(arrays: Sequence[Any], inputs: Sequence[Slot]) -> tuple[Iterable[Any], int]:
    if len(arrays) != len(inputs):
        raise SamplesError(f"the samples are {len(arrays)} array, but the model has {len(inputs)} inputs: give one array each")
    for array, slot in zip(arrays, inputs, strict=True):
        if len(np.shape(array)) == 0:
            raise SamplesError(f'the samples of input "{slot.name}" are a single number; the first axis must be samples')
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
        raise SamplesError(f"{path}: contains no array")
    return _from_arrays(_columns(columns, inputs), inputs)


class _Column:
    """One array of a .npz, iterated along its first axis without loading all of it."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
        self.path, self.archive, self.info = path, archive, info
        with archive.open(info) as f:
            version = np.lib.format.read_magic(f)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            self.shape, self.fortran, self.dtype = read(f)
            self.header = f.tell()
        if self.dtype.hasobject:
            raise ValueError(f"array {info.filename} contains Python objects; save it with a numeric type")

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
        """Offset in the file of the array's bytes, after the zip's local header and NumPy's header."""
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
                    raise SamplesError(f"{self.path}: array {self.info.filename} is truncated; write or copy the file again")
                yield np.frombuffer(data, self.dtype).reshape(shape)


def _from_function(file: Path, name: str) -> Callable[[], Iterable[Any]]:
    if not file.exists():
        raise SamplesError(f"{file}: no such file")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(file.stem, module)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as e:
        raise SamplesError(f"{file}: cannot be imported ({type(e).__name__}: {e})") from e
    function = getattr(module, name, None)
    if not callable(function):
        raise SamplesError(f"{file}: has no function {name}")

    def run() -> Iterator[Any]:
        """Yield the function's samples; its prints go to standard error, to keep standard output clean."""
        try:
            with contextlib.redirect_stdout(sys.stderr):
                items = iter(function())
            while True:
                with contextlib.redirect_stdout(sys.stderr):
                    item = next(items, _END)
                if item is _END:
                    return
                yield item
        except (Exception, SystemExit) as e:
            raise SamplesError(f"{file}:{name} failed ({type(e).__name__}: {e})") from e

    return run


def _from_images(folder: Path, inputs: Sequence[Slot], images: ImageOptions) -> tuple[Iterable[Any], int]:
    try:
        from PIL import Image
    except ImportError as e:
        raise SamplesError('images need Pillow: pip install "fullint[images]"') from e
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        raise SamplesError("a folder of images needs a model with a single input of four dimensions; give a .npz instead")
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGES)
    if not files:
        raise SamplesError(f"{folder}: contains no images")
    planar = images.layout.upper() == "NCHW"
    _, *dims = inputs[0].shape
    height, width, channels = (dims[1], dims[2], dims[0]) if planar else (dims[0], dims[1], dims[2])
    if channels not in (1, 3, 4):
        raise SamplesError(f"images have 1, 3 or 4 channels, not {channels}; try --layout {'NHWC' if planar else 'NCHW'}")

    for what, values in (("mean", images.mean), ("std", images.std)):
        if len(values) not in (1, channels):
            raise SamplesError(f"--{what} has {len(values)} values, the input has {channels} channels")

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
