"""What rounding costs in a stream whose channels are rescaled: the estimate by which equalization chooses its power.

noise(s) =   step_y(s)^2 * sum_i s_i^2 |W2_i|^2                       rounding y'
+ sum_o step_W2(s, o)^2 * sum_i E[y_i^2] / s_i^2           rounding W2'
+ step_W1(s)^2 * sum_i s_i^2 |W2_i|^2 * E[x^2]             rounding W1' (per tensor)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fullint.model.ir import Array, Op
from fullint.model.weights import INT8_WEIGHTS
from fullint.ops import ROWS

ROWS_LOOKED_AT = 64
"""Rounding steps of a consumer's outputs are estimated from this many of them."""
ENERGY = 0.1
"""E[y^2] of a channel as a share of its largest square, typical of what follows a RELU."""


@dataclass(frozen=True)
class Columns:
    """A consumer's weights as seen from the channels it reads.

    Attributes:
        gain: sum of W^2 over outputs and taps, per channel.
        peak: largest |W| per channel.
        sizes: root of the sum of W^2 over taps, [some of the outputs, channels].
        share: outputs that each row of `sizes` stands for.
        depthwise: each channel has its own output, hence its own step per channel.
    """

    gain: Array
    peak: Array
    sizes: Array
    share: float
    depthwise: bool


@dataclass(frozen=True)
class Rows:
    """A producer's weights as seen from the channels it writes.

    Attributes:
        peak: largest |W| of each channel.
        energy: a guess of the energy of what a row multiplies.
    """

    peak: Array
    energy: float


def columns_of(op: Op, channels: int) -> Columns:
    """A consumer's."""
    w = op.inputs[ROWS[op.kind].weight or 0]
    assert w is not None
    flat = w.array.reshape(w.shape[0], -1, channels)
    gain = np.einsum("otc,otc->c", flat, flat)
    peak = np.maximum(flat.max(axis=(0, 1)), -flat.min(axis=(0, 1)))
    some = flat[:: max(1, -(-len(flat) // ROWS_LOOKED_AT))]
    sizes = np.sqrt(np.einsum("otc,otc->oc", some, some))
    return Columns(gain, peak, sizes, len(flat) / len(some), ROWS[op.kind].depthwise)


def rows_of(op: Op) -> Rows:
    """A producer's."""
    row = ROWS[op.kind]
    w = op.inputs[row.weight or 0]
    assert w is not None and row.axis is not None
    others = tuple(i for i in range(len(w.shape)) if i != row.axis)
    peak = np.maximum(w.array.max(axis=others), -w.array.min(axis=others))
    return Rows(peak, w.size / w.shape[row.axis] * ENERGY)


def noise_of(
    s: Array,
    size: Array,
    ranges: Sequence[tuple[Array, Array]],
    readers: Sequence[Columns],
    writers: Sequence[Rows],
    *,
    per_tensor: bool,
) -> float:
    """The estimate.

    Args:
        s: factor of each channel.
        size: largest |value| of each channel.
        ranges: smallest and largest value of each channel, of each tensor of the stream.
        readers, writers: weights of the consumers and, per tensor, of the producers.
        per_tensor: whether weights have one scale for all channels.
    """
    gain = sum(c.gain for c in readers)
    total = 0.0
    for low, high in ranges:
        step = (max(float((high / s).max()), 0) - min(float((low / s).min()), 0)) / 255
        total += step**2 * float((np.square(s) * gain).sum()) / 12
    energy = ENERGY * np.square(size / s)
    for c in readers:
        scaled = c.sizes * s
        if c.depthwise and not per_tensor:
            total += float((np.square(scaled[0] / INT8_WEIGHTS.most) * energy).sum()) / 12
            continue
        steps = scaled.max(axis=1)
        steps = np.full_like(steps, steps.max(initial=0.0)) if per_tensor else steps
        total += float(np.square(steps / INT8_WEIGHTS.most).sum()) * c.share / 12 * float(energy.sum())
    for w in writers:
        step = float((w.peak / s).max()) / INT8_WEIGHTS.most
        total += step**2 / 12 * float((np.square(s) * gain).sum()) * w.energy
    return total
