"""Scales and zero points, and the arithmetic between real and integer values.

    q = clamp(round(r / scale) + zero_point, lo, hi)        r = (q - zero_point) * scale

Rounding is to nearest; ties go to even here and away from zero in the kernels, so results differ only at exact ties.
Activations are int8 in [-128, 127] with any zero point; weights are int8 in [-127, 127] with zero point 0; a bias is int32
with scale s_in * s_w and zero point 0 (LiteRT 8-bit quantization specification).
"""

from __future__ import annotations

import numpy as np

from fullint.model.ir import Array, Quant, Tensor
from fullint.model.ranges import Range

INT8_MIN, INT8_MAX = -128, 127
BIAS_MAX = 2**30
"""Largest integer value of a bias: half the range of int32, to leave room in the accumulator (as in TensorFlow)."""
WIDE_BIAS_MAX = 2**38
"""The same for the int64 bias with int16 activations: the kernels rescale accumulators as numbers of at most 48 bits."""
SCALE_MIN, SCALE_MAX = 1e-36, 1e30
"""Smallest and largest scale: beyond them, products of scales are not normal float32 numbers or exceed a kernel's multiplier."""
TINY_RANGE = 1e-20
"""A range narrower than this counts as all zeros and gets a default scale."""
BLOCK_BYTES = 262_144
RANGES = {
    "int8": (-128, 127),
    "uint8": (0, 255),
    "int16": (-32768, 32767),
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**39), 2**39 - 1),
}
"""Smallest and largest integer value of each type. An int64 bias is limited to 40 bits by the int16 kernels' multipliers."""


def saturated(codes: Array) -> Array:
    """Where int32 codes are at an end of their type: what was to be written was larger."""
    found: Array = np.abs(codes.astype(np.int64)) >= RANGES["int32"][1]
    return found


def activation_params(span: Range, dtype: str = "int8") -> Quant:
    """Parameters for values in a range [low, high]; 0 is always exactly representable.

    int8     scale = (high - low) / 255, zero_point = round(-128 - low / scale)
    int16    scale = max(-low, high) / 32767, zero_point = 0 (required by the kernels)
    """
    low, high = span.with_zero()
    if high - low < TINY_RANGE:
        return Quant.of(1.0 / 128 if dtype == "int8" else 1.0 / 32768, 0)
    if dtype == "int16":
        return Quant.of(np.float32(max(-low, high) / 32767), 0)
    scale = np.float32((high - low) / 255)
    zero = int(np.clip(round_half_away(INT8_MIN - low / float(scale)), INT8_MIN, INT8_MAX))
    return Quant.of(scale, zero)


def representable(quant: Quant, dtype: str = "int8") -> Range:
    """The smallest and largest real value that `dtype` can represent with per-tensor parameters."""
    s, z = float(quant.scale[0]), int(quant.zero_point[0])
    low, high = RANGES[dtype]
    return Range((low - z) * s, (high - z) * s)


def as_activation(t: Tensor) -> tuple[Quant, str] | None:
    """(parameters, type) of a quantized activation as int8 or int16, or None; uint8 becomes int8 with zero point - 128.

    A file that is only looked at may have a zero point that is no value of its type; that means nothing.
    """
    if t.quant is None or t.quant.scale.size != 1 or t.dtype not in RANGES:
        return None
    low, high = RANGES[t.dtype]
    if not low <= int(t.quant.zero_point[0]) <= high:
        return None
    if t.dtype == "int16" and not t.quant.zero_point.any():
        return t.quant, "int16"
    if t.dtype == "uint8":
        return Quant.of(t.quant.scale, t.quant.zero_point - 128), "int8"
    return (t.quant, "int8") if t.dtype == "int8" else None


def quantize(values: Array, quant: Quant, dtype: str = "int8", *, narrow: bool = False) -> Array:
    """Quantize real values to `dtype` with saturation; `narrow` limits int8 to [-127, 127]."""
    low, high = RANGES[dtype]
    low = -high if narrow else low
    if values.nbytes > 2 * BLOCK_BYTES and values.ndim > 1 and (not quant.per_channel or quant.axis == 0):
        return _by_rows(values, quant, dtype, narrow=narrow)
    scale, zero = _along(quant, values.ndim)
    wide = np.float64 if dtype in ("int32", "int64") else np.float32
    with np.errstate(over="ignore"):  # values far outside, such as masks, saturate
        codes = np.asarray(np.divide(values, scale, dtype=wide))
    np.rint(codes, out=codes)
    codes += zero
    np.clip(codes, low, high, out=codes)
    done: Array = codes.astype(dtype)
    return done


def _by_rows(values: Array, quant: Quant, dtype: str, *, narrow: bool) -> Array:
    """`quantize` for a large array, in pieces that fit the processor's cache."""
    out = np.empty(values.shape, dtype)
    rows = max(1, BLOCK_BYTES * len(values) // values.nbytes)
    for start in range(0, len(values), rows):
        piece = slice(start, start + rows)
        part = Quant(quant.scale[piece], quant.zero_point[piece]) if quant.per_channel else quant
        block = values[piece].reshape(-1) if not part.per_channel and part.scale.size == 1 else values[piece]
        out[piece] = quantize(block, part, dtype, narrow=narrow).reshape(values[piece].shape)
    return out


def dequantize(codes: Array, quant: Quant) -> Array:
    """Dequantize integers to real values, float32."""
    scale, zero = _along(quant, codes.ndim)
    values: Array = np.array(codes, np.float32)
    np.subtract(values, zero.astype(np.float32), out=values)  # in place: weights may be large
    np.multiply(values, scale, out=values, casting="unsafe")
    return values


def round_half_away(values: Array | float) -> Array:
    """Round to the nearest integer, ties away from zero (C's round)."""
    v = np.asarray(values)
    nearest: Array = np.trunc(v + np.copysign(v.dtype.type(0.5) if v.dtype.kind == "f" else 0.5, v))
    return nearest


def bias_scales(input_scale: float, scales: Array) -> Array:
    """s_in * s_w in float32, the scale that the kernels assume for a bias."""
    product: Array = (np.float32(input_scale) * scales.astype(np.float32)).astype(np.float32)
    return product


def scales_for_bias(scales: Array, input_scale: float, bias: Array, most: int = BIAS_MAX) -> Array:
    """Weight scales, increased where the integer bias would exceed `most`.

    |b| / (s_in * s_w) <= most    <=>    s_w >= |b| / (s_in * most)
    """
    needed = np.abs(bias.astype(np.float64)) / (float(input_scale) * most)
    if scales.size == 1:
        needed = needed.max(initial=0.0)
    raised = np.maximum(scales.astype(np.float64), needed * (1 + 1e-6))
    with np.errstate(over="ignore"):
        return np.atleast_1d(np.where(needed > scales, raised, scales)).astype(np.float32)


def _along(quant: Quant, ndim: int) -> tuple[Array, Array]:
    if not quant.per_channel:
        return quant.scale.reshape(()), quant.zero_point.reshape(())
    shape = [1] * ndim
    shape[quant.axis] = -1
    return quant.scale.reshape(shape), quant.zero_point.reshape(shape)
