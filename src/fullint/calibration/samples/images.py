"""Samples from a folder of images.

    file  =>  resized to the input, 0..255  =>  (pixel - mean) / std

Images of 16 bits per channel are brought to 0..255 by their depth. Hidden files (such as the ._ files that macOS leaves) are no
images; an image of more pixels than anybody calibrates on is refused before it is unpacked.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fullint.calibration.samples.slots import ImageOptions, Slot
from fullint.errors import SamplesError
from fullint.model.ir import Array

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff"})
MOST_PIXELS, MOST_DEEP_PIXELS = 100_000_000, 25_000_000
"""Those of more than 8 bits take 4 bytes each, in several copies."""
DEEP = ("I", "F")
"""How Pillow's modes of more than 8 bits begin."""
SIXTEEN_BITS = 65535


class ImageFolder:
    """The images below a folder as samples, loaded one by one.

    Args:
        folder: where they are.
        inputs: the model's inputs: one, of four dimensions.
        images: how pixels become values.

    Raises:
        SamplesError: there are none, or they do not fit the model.
    """

    def __init__(self, folder: Path, inputs: Sequence[Slot], images: ImageOptions) -> None:
        try:
            import PIL  # noqa: F401 - only whether it is there
        except ImportError as e:
            raise SamplesError('images need Pillow: pip install "fullint[images]"') from e
        if len(inputs) != 1 or len(inputs[0].shape) != 4:
            raise SamplesError("a folder of images needs a model with a single input of four dimensions; give a .npz instead")
        self.folder, self.options, self.dtype = folder, images, inputs[0].dtype
        self.files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith("."))
        if not self.files:
            raise SamplesError(f"{folder}: contains no images")
        self.planar = images.layout.upper() == "NCHW"
        _, *dims = inputs[0].shape
        self.height, self.width, self.channels = (dims[1], dims[2], dims[0]) if self.planar else (dims[0], dims[1], dims[2])
        if self.channels not in (1, 3, 4):
            other = "NHWC" if self.planar else "NCHW"
            raise SamplesError(f"images have 1, 3 or 4 channels, not {self.channels}; try --layout {other}")
        for what, values in (("mean", images.mean), ("std", images.std)):
            if len(values) not in (1, self.channels):
                raise SamplesError(f"--{what} has {len(values)} values, the input has {self.channels} channels")

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> list[Array]:
        pixels = self._pixels(self.files[index]).reshape(self.height, self.width, self.channels)
        if self.dtype == "float32":
            pixels = (pixels - np.asarray(self.options.mean, np.float32)) / np.asarray(self.options.std, np.float32)
        return [pixels.transpose(2, 0, 1) if self.planar else pixels]

    def classes(self) -> list[str]:
        """For each file, the name of the folder that it lies in.

        Raises:
            SamplesError: some lie in no folder of their own.
        """
        loose = [p for p in self.files if p.parent == self.folder]
        if loose:
            raise SamplesError(f"{loose[0]}: lies in no folder of a class; labels by folder need one folder for each class")
        return [p.relative_to(self.folder).parts[0] for p in self.files]

    def _pixels(self, file: Path) -> Array:
        """An image's pixels in the input's size, float32, 0..255."""
        from PIL import Image

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `MOST_PIXELS` is the bound
                with Image.open(file) as picture:
                    most = MOST_DEEP_PIXELS if picture.mode.startswith(DEEP) else MOST_PIXELS
                    if picture.width * picture.height > most:
                        raise SamplesError(_too_large(file, picture.width, picture.height, most))
                    found = self._resized(file, picture)
        except Image.DecompressionBombError as e:
            raise SamplesError(f"{file}: too many pixels to be a sample ({e}); scale it down, or remove it") from e
        except SamplesError:
            raise
        except Exception as e:  # whatever Pillow's plugins make of a damaged file
            raise SamplesError(f"{file}: not a readable image ({e})") from e
        return found

    def _resized(self, file: Path, picture: Picture) -> Array:
        from PIL import Image

        size = (self.width, self.height)
        if not picture.mode.startswith(DEEP):
            mode = {1: "L", 3: "RGB", 4: "RGBA"}[self.channels]
            return np.asarray(picture.convert(mode).resize(size, Image.Resampling.BILINEAR), np.float32)
        deep = np.asarray(picture, np.float32)
        if picture.mode == "F" or deep.min() < 0 or deep.max() > SIXTEEN_BITS:
            raise SamplesError(f"{file}: pixels of {picture.mode} have no depth to scale them by; give a .npz instead")
        grey = Image.fromarray(deep * (255 / SIXTEEN_BITS)).resize(size, Image.Resampling.BILINEAR)
        one: Array = np.asarray(grey, np.float32)[..., None]
        colours: Array = np.repeat(one, min(self.channels, 3), axis=2)
        return np.concatenate([colours, np.full_like(one, 255)], axis=2) if self.channels == 4 else colours


def _too_large(file: Path, width: int, height: int, most: int) -> str:
    return f"{file}: {width} x {height} pixels are too many for a sample (at most {most:,}); scale it down, or remove it"
