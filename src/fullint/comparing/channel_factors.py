"""What quantizers that equalize channels have divided each channel of an activation by, told by the weights that read it.

    float     y --CONV_2D W--> z                        W'_oi = W_oi s_i / t_o        s: factors of y, t: of z
    integer   y' = y / s --CONV_2D W'--> z' = z / t     s_i = median over o of  W'_oi t_o / W_oi

From the outputs backwards, t is known where s is asked for. A median is not moved by a few weights that are wrong. The weights
that write an activation tell the same in their rows, and what all of its channels have in common; their bias tells who is right
where readers and writers differ. Equalizers leave the largest channel about as it was: a common factor is an error to be found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

from fullint.comparing.biases import bias_of
from fullint.comparing.groups import OperatorGroup
from fullint.comparing.isolated import constant_weights, weighted
from fullint.model.ir import Array, Graph, Op, Tensor
from fullint.model.numerics import dequantize
from fullint.ops import ROWS
from fullint.ops.base import plain_scale
from fullint.quantization.side_by_side import data_of
from fullint.quantization.streams import Stream, streams

EQUAL = 0.05
"""Factors that differ by less are no factors, but rounding."""
SURE_ERROR, FEWEST_RESCALED = 1.1, 0.05
"""Factors that are known well, and the share of them that differ where channels were rescaled."""
SMALL = 6
"""Steps: smaller weights are rounded too coarsely to tell a ratio."""
HARDLY = 1e-4
"""Of the largest weight of an operator that is float in both models: the same."""
COMMON = 1.25
"""Most that equalizers change the largest channel by, and what other samples take for the largest."""
MANY = 64
"""Steps of a bias: smaller ones are rounded too coarsely to tell a ratio."""
AGREE = 0.1
"""Of their median: where half of the channels lie nearer to it, they mean the same."""
WRONG = 1.5
"""Weights of a channel that are so many times too large or small are wrong."""
SURE_STEPS = 4.0
"""Output steps of a bias: corrections for other errors change it by less."""
SAME_FACTOR, ERRORS = 1.3, 6.0
"""Readers and writers may differ by so much, or by so many standard errors, and mean the same factor; the writers know it better,
since each row has a scale of its own."""
WEIGHTS_AT_A_TIME = 2**20
"""Weights whose medians are found at a time: more would take ten times their memory."""
Becomes = Mapping[Op, tuple[Op, OperatorGroup]]
"""Operator with weights of the float model -> the one that it has become, and their group."""
Factors = Mapping[Tensor, Array]
"""Activation of the float model -> float32 [channels], what the integer model's has been divided by."""


@dataclass(frozen=True, eq=False)
class _Told:
    """Factors, and how many times they may be too large or small."""

    factors: Array
    error: Array


def channel_factors(exact: Graph, groups: Sequence[OperatorGroup], peaks: Mapping[Tensor, Array]) -> dict[Tensor, Array]:
    """The factors of activations whose channels were rescaled.

    Args:
        exact: the float graph.
        groups: what its operators have become.
        peaks: the largest size of each channel of its activations.
    """
    integer = {w: (q, g) for g in groups if (w := weighted(g.exact)) is not None and (q := weighted(g.ops)) is not None}
    place = {op: i for i, op in enumerate(exact.ops)}
    order = sorted(streams(exact), key=lambda s: min(place[op] for op in s.producers))
    shapes: dict[Tensor, Array] = {}
    rescaled: list[tuple[Stream, _Told]] = []
    for stream in reversed(order):
        told = _by_readers(stream, integer, shapes, peaks)
        if told is not None and _differ(told):
            rescaled.insert(0, (stream, told))
            shapes |= _of_tensors(stream, told.factors)
    found: dict[Tensor, Array] = {}
    for stream, told in rescaled:
        waiting = shapes.keys() - found.keys()
        found |= _of_tensors(stream, _refined(stream, integer, told, found, waiting))
    return found


def _differ(told: _Told) -> bool:
    """Whether channels have factors of their own, judged by those that are known well: where most are 1, the others are noise."""
    sure = told.factors[np.isfinite(told.factors) & (told.error > 0) & (told.error < SURE_ERROR)]
    if not sure.size:
        return False
    away = np.abs(sure / np.median(sure) - 1) > EQUAL
    return float(away.mean()) > FEWEST_RESCALED


def misscaled_channels(group: OperatorGroup, factors: Factors) -> dict[int, float]:
    """Channels of a group's result whose weights are not as large as they should be, and how many times as large they are.

    Data that hardly uses a channel does not show it.
    """
    op, integer = weighted(group.exact), weighted(group.ops)
    told = _rows(op, integer, factors) if op is not None and integer is not None else None
    if op is None or told is None:
        return {}
    wanted = factors.get(op.outputs[0], np.ones(told.factors.size))
    if wanted.size != told.factors.size:
        return {}
    times = told.factors * wanted
    with np.errstate(divide="ignore", invalid="ignore"):
        off = np.abs(np.log(times)) > np.log(WRONG * np.maximum(told.error, 1))
    return {int(c): float(times[c]) for c in np.flatnonzero(off & np.isfinite(times) & (told.error > 0))}


def _of_tensors(stream: Stream, s: Array) -> dict[Tensor, Array]:
    """The factors of each tensor of a stream; flattened ones repeat the channels."""
    return {t: np.tile(s, t.shape[-1] // s.size).astype(np.float32) for t in stream.tensors}


def _by_readers(stream: Stream, integer: Becomes, known: Factors, peaks: Mapping[Tensor, Array]) -> _Told | None:
    """The factors of one stream, 1 for its largest channel; NaN for channels that are hardly read; None where nothing is told."""
    read = [t for op in stream.consumers if op in integer and (t := _by_reader(op, integer[op][0], known, stream.channels))]
    if not read:
        return None
    s = _middle([t.factors for t in read])
    if not np.isfinite(s).any() or np.nanmin(s) <= 0:
        return None
    sizes = np.where(np.isfinite(s), _sizes(stream, peaks), -1)
    return _Told(s / s[int(sizes.argmax())], np.max([t.error for t in read], axis=0))


def _sizes(stream: Stream, peaks: Mapping[Tensor, Array]) -> Array:
    """The largest value of each channel."""
    known = [peaks[t] for t in stream.tensors if t in peaks and peaks[t].size == stream.channels]
    return np.max(known, axis=0) if known else np.ones(stream.channels)


def _middle(rows: Sequence[Array]) -> Array:
    """The median of what several say of each channel; NaN where none knows."""
    return _median(np.stack(rows, axis=1))[0]


def _refined(stream: Stream, integer: Becomes, told: _Told, known: Factors, waiting: AbstractSet[Tensor]) -> Array:
    """The factors as the weights that write the stream have them, where these agree with those that read it, or the bias does."""
    ready = [op for op in stream.producers if op in integer and data_of(op) not in waiting]
    rows = [_by_writer(op, integer[op][0], known) for op in ready]
    written = [row for row in rows if row is not None and row.size == told.factors.size]
    s = _middle(written) if written else np.full(stream.channels, np.nan)
    third, weak = (_by_biases(ready, integer, s.size, steps) for steps in (SURE_STEPS, 0.0))
    factors = told.factors * _in_common(told.factors, s, weak)
    by_row = any(ROWS[op.kind].depthwise for op in stream.consumers)
    with np.errstate(invalid="ignore", divide="ignore"):
        near = np.log(np.maximum(SAME_FACTOR, told.error))
        agree = np.abs(np.log(s / factors)) < near
        nearer = np.abs(np.log(third / s)) < np.abs(np.log(third / factors))
        nearest_to_one = np.abs(np.log(s)) < np.abs(np.log(factors))
    if _wrong_throughout(s, factors):
        nearer, nearest_to_one = np.full(s.size, False), np.full(s.size, False)
    writer_right = agree | ~np.isfinite(factors) | np.where(np.isfinite(third), nearer, nearest_to_one & by_row)
    found = np.where(writer_right, s, factors)
    for other in (s, factors, weak, np.ones(s.size)):  # where nothing better is known
        found = np.where(np.isfinite(found), found, other)
    return found


def _wrong_throughout(by_writers: Array, by_readers: Array) -> bool:
    """Whether writers differ from readers by one factor in all channels: a scale that is wrong, and not single weights.

    Readers do not, since theirs are relative to the largest channel.
    """
    middle = _typical(by_writers / by_readers)
    return middle is not None and max(middle, 1 / middle) > SAME_FACTOR


def _in_common(factors: Array, by_weights: Array, by_bias: Array) -> float:
    """What readers' factors have to be multiplied by: what writers say, if it is little, else what the bias says.

    Readers alone cannot tell it, since it may as well be in the scale of their weights; nor can writers.
    """
    writers, bias = (_typical(others / factors) for others in (by_weights, by_bias))
    if writers is not None and max(writers, 1 / writers) < COMMON:
        return writers
    return bias or 1.0


def _typical(ratios: Array) -> float | None:
    """The median of those that are known; None where they do not agree."""
    known = ratios[np.isfinite(ratios)]
    if not known.size:
        return None
    middle = float(np.median(known))
    return middle if float(np.median(np.abs(known - middle))) < AGREE * middle else None


def _by_biases(ops: Sequence[Op], integer: Becomes, channels: int, steps: float) -> Array:
    """What the biases of a stream's writers were divided by; NaN where nothing is known."""
    told = [b for op in ops if (b := _by_bias(op, integer[op][1], integer[op][0], steps)) is not None and b.size == channels]
    return _middle(told) if told else np.full(channels, np.nan)


def _by_bias(op: Op, group: OperatorGroup, integer: Op, steps: float) -> Array | None:
    """What the bias was divided by, which tells who is right where writers and readers differ.

    NaN where it is less than so many steps of the result: corrections for other errors change it too much.
    """
    place = ROWS[op.kind].bias
    b = integer.input(place) if place is not None else None
    a = bias_of(op, group)
    if a is None or b is None or b.buffer is None or a.size != b.size:
        return None
    if b.dtype == "int32" and b.quant is not None:
        now, large = dequantize(b.array, b.quant).reshape(-1), np.abs(b.array.reshape(-1).astype(np.int64)) >= MANY
    elif b.dtype == "float32":
        now, large = b.array.reshape(-1), b.array.reshape(-1) != 0
    else:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = a / now
    sure = np.abs(now) >= steps * (plain_scale(integer.outputs[0]) or 0.0)
    found: Array = np.where(large & sure & (ratios > 0), ratios, np.nan)
    return found


def _by_writer(op: Op, integer: Op, known: Factors) -> Array | None:
    """What the rows of the weights that make an activation were divided by; NaN where they do not tell."""
    told = _rows(op, integer, known)
    if told is None:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Array = np.where(told.factors > 0, 1 / told.factors, np.nan)
    return found


def _rows(op: Op, integer: Op, known: Factors) -> _Told | None:
    """How many times as large as the float model's the rows of its weights are, but for what its input was divided by."""
    row, ratios = ROWS[op.kind], _Ratios.of(op, integer)
    before, axis = known.get(data_of(op)), row.axis or 0
    if ratios is None:
        return None
    if before is not None:
        ratios = ratios.times(1 / (np.repeat(before, ratios.values.shape[-1] // before.size) if row.depthwise else before))
    return _Told(*ratios.of_channels(axis, ratios.values.shape[axis]))


def _by_reader(op: Op, integer: Op, known: Factors, channels: int) -> _Told | None:
    ratios = _Ratios.of(op, integer)
    if ratios is None:
        return None
    after, row = known.get(op.outputs[0]), ROWS[op.kind]
    if row.depthwise:
        own, error = ratios.of_channels(-1, ratios.values.shape[-1])
        return _Told(own * after if after is not None else own, error)
    if after is not None:
        ratios = ratios.times(after.reshape([-1 if i == (row.axis or 0) else 1 for i in range(ratios.values.ndim)]))
    return _Told(*ratios.of_channels(-1, channels))


@dataclass(frozen=True, eq=False)
class _Ratios:
    """Integer weights over float ones.

    Attributes:
        values: NaN where the float weight is 0.
        large: where the integer weight has so many steps that its rounding is no matter.
    """

    values: Array
    large: Array

    @classmethod
    def of(cls, op: Op, integer: Op) -> _Ratios | None:
        """Of an operator and what it has become; None where their weights cannot be compared."""
        a, b = constant_weights(op), constant_weights(integer)
        if a is None or b is None or a.dtype != "float32" or a.shape != b.shape:
            return None
        if b.dtype == "int8" and b.quant is not None:
            now, large = dequantize(b.array, b.quant), np.abs(b.array.astype(np.int16)) >= SMALL
        elif b.dtype == "float32":  # left over in a half-quantized model
            now, large = b.array, np.abs(b.array) > HARDLY * np.abs(b.array).max(initial=0)
        else:
            return None
        ratios = np.full(now.shape, np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            np.divide(now, a.array, out=ratios, where=a.array != 0, dtype=np.float64)
        return cls(ratios, large)

    def times(self, factors: Array) -> _Ratios:
        """The ratios multiplied by factors that are broadcast; where these are not known, nor are the ratios."""
        return _Ratios(self.values * factors, self.large)

    def of_channels(self, axis: int, channels: int) -> tuple[Array, Array]:
        """What is typical of each channel along an axis, and how many times it may be too large or small; NaN and 0: nothing.

        That is the median of the large weights, whose rounding is no matter.
        """
        values, large = (_by_channel(a, axis, channels) for a in (self.values, self.large))
        some = max(1, WEIGHTS_AT_A_TIME * channels // max(values.size, 1))
        found = []
        for first in range(0, channels, some):
            v, known = (np.moveaxis(a[..., first : first + some], -1, 0) for a in (values, large))
            found.append(_median(np.where(known, v, np.nan).reshape(len(v), -1)))
        middle, error = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return middle, error


def _by_channel(values: Array, axis: int, channels: int) -> Array:
    """A view with the channels along the last axis; where `axis` repeats them, with the repetitions along the one before."""
    last = np.moveaxis(values, axis, -1)
    return last.reshape(*last.shape[:-1], -1, channels)


def _median(rows: Array) -> tuple[Array, Array]:
    """The median of each row, and how many times it may be too large or small; NaN and 0 where there is none."""
    known = np.isfinite(rows)
    count = known.sum(axis=1)
    middle = _middle_of(np.where(known, rows, np.inf), count)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = _middle_of(np.where(known, np.abs(rows - middle[:, None]), np.inf), count)
        error = 1 + ERRORS * spread / np.abs(middle) / np.sqrt(np.maximum(count, 1))
    return middle, np.where(np.isfinite(error), error, 0.0)


def _middle_of(rows: Array, count: Array) -> Array:
    """The median of the `count` smallest values of each row; NaN where there are none."""
    rows.sort(axis=1)
    low, high = (np.take_along_axis(rows, k[:, None], axis=1)[:, 0] for k in (np.maximum(count - 1, 0) // 2, count // 2))
    found: Array = np.where(count > 0, (low + high) / 2, np.nan)
    return found
