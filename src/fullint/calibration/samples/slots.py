"""The model's inputs as samples see them, and how a value is fitted to one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fullint.errors import SamplesError
from fullint.model.ir import NUMPY_TYPES, Array, Model, Quant, Tensor
from fullint.model.numerics import quantize
from fullint.printable import unescaped


@dataclass(frozen=True)
class ImageOptions:
    """How the images of a folder become an input: (pixel - mean) / std.

    Attributes:
        mean, std: one number, or one per channel; std 255 maps pixels to 0..1.
        layout: "NHWC" or "NCHW", the layout of the model's input.
    """

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (255.0,)
    layout: str = "NHWC"


@dataclass(frozen=True)
class Slot:
    """One graph input: its name, the names signatures give it, shape, type and (if quantized) parameters."""

    name: str
    aliases: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    quant: Quant | None = None

    def fit(self, value: Any, sample: int) -> Array:
        """Convert a value to the input's shape and type.

        Args:
            value: anything `np.asarray` accepts.
            sample: index of the sample, for messages.

        Raises:
            SamplesError: it does not fit, or contains values that are not finite.
        """
        where = f'sample {sample}, input "{self.name}"'
        try:
            array = np.asarray(value)
        except ValueError as e:
            raise SamplesError(f"{where}: cannot be made into an array ({e}); give numbers in a regular shape") from e
        if array.dtype.kind not in "fiub":
            raise SamplesError(f"{where}: has type {array.dtype}, the model expects {self.dtype}")
        if _squeezed(array.shape) != _squeezed(self.shape):
            raise SamplesError(f"{where}: has shape {list(array.shape)}, the model expects {list(self.shape)}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            kind = "NaN" if np.isnan(array).any() else "infinity"
            raise SamplesError(f"{where}: contains {kind}")
        if self.quant is not None and array.dtype.kind == "f" and self.dtype in ("int8", "uint8", "int16"):
            array = quantize(array.astype(np.float32), self.quant, self.dtype)
        target = NUMPY_TYPES[self.dtype]
        if self.dtype != "bool" and np.dtype(target).kind in "iu" and array.dtype != target:
            self._refuse_lossy(array, target, where)
        with np.errstate(over="ignore"):
            fitted = np.ascontiguousarray(array, dtype=target).reshape(self.shape)
        if fitted.dtype.kind == "f" and not np.isfinite(fitted).all():
            raise SamplesError(f"{where}: contains values too large for {self.dtype}")
        return fitted

    def _refuse_lossy(self, array: Array, target: type[Any], where: str) -> None:
        info = np.iinfo(target)
        if array.dtype.kind == "f" and (array != np.trunc(array)).any():
            raise SamplesError(f"{where}: contains fractions, the model expects {self.dtype}")
        if array.size and (array.min() < info.min or array.max() > info.max):
            raise SamplesError(f"{where}: contains values outside the range of {self.dtype}")


def slots(model: Model, given: Sequence[Tensor] | None = None) -> list[Slot]:
    """The model's inputs as slots.

    Args:
        model: the model; its signatures give the aliases.
        given: the inputs that the samples are made for, if their types differ from the model's.

    Raises:
        SamplesError: an input is no array of numbers.
    """
    for t in model.main.inputs:
        if t.dtype not in NUMPY_TYPES:
            raise SamplesError(f'input "{t.name}" is of type {t.dtype}: no samples can be given for it')
    aliases: dict[Tensor, list[str]] = {}
    for signature in model.signatures:
        if signature.graph is model.main:
            for name, tensor in signature.inputs:
                aliases.setdefault(tensor, []).append(name or "")
    pairs = list(zip(model.main.inputs, given or model.main.inputs, strict=True))
    for t, _ in pairs:
        if unescaped(t.name) != t.name:
            aliases.setdefault(t, []).append(unescaped(t.name))
    return [Slot(t.name, tuple(aliases.get(t, ())), t.shape, g.dtype, _quant(g)) for t, g in pairs]


def _quant(t: Tensor) -> Quant | None:
    return t.quant if t.quant is not None and t.quant.scale.size == 1 else None


def _squeezed(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(n for n in shape if n != 1)


def has_arrays(item: Any, inputs: Sequence[Slot]) -> bool:
    """Whether a sample is a list with an array for each input, and not itself the array of the only one."""
    return isinstance(item, list | tuple) and not (len(inputs) == 1 and len(item) != 1)
