"""What a model's inputs look like to samples, and how a value is fitted to one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fullint.errors import SamplesError
from fullint.model.ir import NUMPY_TYPES, Array, Model, Quant, Tensor
from fullint.model.numerics import quantize


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
        with np.errstate(over="ignore"):
            fitted = np.ascontiguousarray(array, dtype=target).reshape(self.shape)
        if fitted.dtype.kind == "f" and not np.isfinite(fitted).all():
            raise SamplesError(f"{where}: holds numbers too large for {self.dtype}")
        return fitted

    def _refuse_lossy(self, array: Array, target: type[Any], where: str) -> None:
        info = np.iinfo(target)
        if array.dtype.kind == "f" and (array != np.trunc(array)).any():
            raise SamplesError(f"{where}: holds fractions, the model takes {self.dtype}")
        if array.size and (array.min() < info.min or array.max() > info.max):
            raise SamplesError(f"{where}: holds values outside {self.dtype}")


def slots(model: Model, given: Sequence[Tensor] | None = None) -> list[Slot]:
    """The graph inputs, with the names a signature gives them.

    Args:
        given: the inputs of the file that samples are made for, where their types differ from the model's.
    """
    aliases: dict[Tensor, list[str]] = {}
    for signature in model.signatures:
        if signature.graph is model.main:
            for name, tensor in signature.inputs:
                aliases.setdefault(tensor, []).append(name or "")
    pairs = zip(model.main.inputs, given or model.main.inputs, strict=True)
    return [Slot(t.name, tuple(aliases.get(t, ())), t.shape, g.dtype, _quant(g)) for t, g in pairs]


def _quant(t: Tensor) -> Quant | None:
    return t.quant if t.quant is not None and t.quant.scale.size == 1 else None


def _squeezed(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(n for n in shape if n != 1)
