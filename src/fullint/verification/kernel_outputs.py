"""Inputs and outputs of integer models as real values, and how far the outputs of two runs differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fullint.model.ir import NUMPY_TYPES, Array, Model, Tensor
from fullint.model.numerics import dequantize, quantize
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import WorkerProcess, model_file

FAR_STEPS = 2
"""Integer outputs of two kernel sets may differ by this many steps."""


def real(value: Array, tensor: Tensor | None) -> Array:
    """An output's real values: dequantized if it is quantized."""
    quantized = tensor is not None and tensor.quant is not None and tensor.quant.scale.size == 1
    if quantized and value.dtype in (np.int8, np.uint8, np.int16):
        assert tensor is not None and tensor.quant is not None
        return dequantize(value, tensor.quant)
    return value


def as_read(sample: Sequence[Array], given: Sequence[Tensor], now: Sequence[Tensor]) -> list[Array]:
    """A sample of a model for another form of it: some inputs that were quantized are float, or that were float carry ids."""
    return [_whole(real(a, g), t) if g.dtype != t.dtype else a for a, g, t in zip(sample, given, now, strict=True)]


def _whole(array: Array, tensor: Tensor) -> Array:
    """Float ids for an input of plain integers, or the other way round; fractions are dropped, as the float model's CAST does."""
    if array.dtype.kind in "iu" and tensor.dtype == "float32":
        return array.astype(np.float32)
    if array.dtype.kind != "f" or tensor.dtype not in ("int32", "int64"):
        return array
    with np.errstate(invalid="ignore"):
        return array.astype(NUMPY_TYPES[tensor.dtype])


def integer_inputs(result: Model, sample: Sequence[Array], given: Sequence[Tensor] | None = None) -> list[Array]:
    """A sample in the types and shapes of an integer model's inputs.

    Args:
        result: the integer model.
        sample: arrays in graph input order.
        given: the inputs the sample was made for, whose parameters dequantize it where the types differ.
    """
    ready = []
    sources: Sequence[Tensor | None] = given if given is not None else [None] * len(sample)
    for tensor, array, source in zip(result.main.inputs, sample, sources, strict=True):
        if source is not None and source.dtype != tensor.dtype:
            array = real(array, source)
        if tensor.dtype in ("int8", "uint8", "int16") and array.dtype == np.float32 and tensor.quant is not None:
            array = quantize(array, tensor.quant, tensor.dtype)
        ready.append(np.ascontiguousarray(_whole(array, tensor)).reshape(tensor.shape))
    return ready


def outputs_of(worker: WorkerProcess, model: Model | bytes, samples: Sequence[Sequence[Array]]) -> list[list[Array]]:
    """A model's outputs for some samples, on XNNPACK."""
    with model_file(model) as path:
        worker.call(Open(path, "xnnpack", 1))
        return [worker.call(Run(list(sample))) for sample in samples]


def largest_steps(a: Sequence[Array], b: Sequence[Array]) -> int:
    """Largest difference between integer outputs, in steps; float outputs are ignored."""
    worst = 0
    for x, y in zip(a, b, strict=True):
        if x.dtype in (np.int8, np.uint8, np.int16) and x.shape == y.shape:
            worst = max(worst, int(np.abs(x.astype(np.int32) - y.astype(np.int32)).max(initial=0)))
    return worst


def count_far(a: Sequence[Array], b: Sequence[Array]) -> int:
    """Number of quantized values that differ by more than `FAR_STEPS`, and of all other values that differ at all."""
    count = 0
    for x, y in zip(a, b, strict=True):
        if x.shape == y.shape:
            codes = x.dtype in (np.int8, np.uint8, np.int16)
            count += int((np.abs(x.astype(np.float64) - y.astype(np.float64)) > (FAR_STEPS if codes else 0)).sum())
    return count
