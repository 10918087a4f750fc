"""Channels of unequal size are brought to one size, so that they share a scale without loss.

    y = relu(W1 x + b1),  z = W2 y + b2

    for any s > 0, per channel of y:     y' = y / s,   W1' = W1 / s (rows),   b1' = b1 / s,
                                         W2' = W2 * s (columns),              z unchanged

The float model computes the same; the integer one has less noise. A channel that uses a tenth of its
tensor's range has a tenth of the resolution; s_i = (A_i / A_max)^p, A_i the channel's largest value,
gives it back. The rescaling runs through everything positively homogeneous (RELU, additions,
pooling, …), so whole residual streams are rescaled together. (After Nagel et al., "Data-free
quantization through weight equalization and bias correction", 2019, with activations' sizes in
place of weights'.)

Where weights share a scale, rows and columns of unequal size are brought nearer to each other as well:

    s_i = (A_i / A_max)^p (w1_i / w1_max)^q (w2_max / w2_i)^r         w1_i, w2_i: largest |W1| of the row, |W2| of the column

Powers p, q and r are those with the least noise (`equalization_noise`). No channel but the one that sets the range ends above
1 / m of it, m = 1 + 3.5 / sqrt(samples), since new samples have larger values than those seen; behind RELU6 none grows beyond
the clip. The weights of a channel that is always zero set nobody's scale.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from fullint.model.ir import Array, Graph, Op, Tensor, constant
from fullint.ops import ROWS
from fullint.quantization.equalization_noise import Columns, Rows, columns_of, noise_of, rows_of
from fullint.quantization.streams import Stream
from fullint.reporting import Change

ChannelRanges = Mapping[Tensor, tuple[Array, Array]]
"""Per tensor: smallest and largest value of each channel, float32 [channels]."""

POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)
OF_WEIGHTS = (0.0, 0.5, 1.0)
CLIP = 6.0
"""Where RELU6 ends."""
SMALLEST = 1e-3
"""A channel is never blown up by more than the inverse of this."""
HEADROOM = 3.5
"""See `margin`: measured on ten networks with 10 to 200 samples; 2 clips with few samples, 5 gives away steps with many."""


class _Powers(NamedTuple):
    """Of the channels' sizes, and of the largest weights of the rows that write them and of the columns that read them."""

    size: float
    rows: float
    columns: float

    def __str__(self) -> str:
        of_weights = f", of weights {self.rows:g} and {self.columns:g}" if self.rows or self.columns else ""
        return f"power {self.size:g}{of_weights}"


@dataclass(frozen=True)
class Equalized:
    """A rescaled graph.

    Attributes:
        graph: tensors of activations are those of the given one; operators with other constants are new.
        channels: the channel ranges it has.
        changes: what was done.
    """

    graph: Graph
    channels: dict[Tensor, tuple[Array, Array]]
    changes: tuple[Change, ...]


def equalize(
    graph: Graph, found: Sequence[Stream], observed: AbstractSet[Tensor], ranges: ChannelRanges, count: int, *, per_tensor: bool
) -> Equalized:
    """Rescale streams of a float graph.

    Args:
        graph: prepared.
        found: its streams.
        observed: tensors whose ranges were measured; a stream with one that was not measured per
            channel stays as it is, since its range after rescaling would not be known.
        ranges: what was measured per channel.
        count: samples that it was measured on.
        per_tensor: whether weights will have one scale each.
    """
    changes: list[Change] = []
    after = dict(ranges)
    rescaled: dict[Op, Op] = {}
    for of_weights in ((0.0,), OF_WEIGHTS) if per_tensor else ((0.0,),):
        for given in found:
            measured = [t for t in given.tensors if t in ranges and ranges[t][0].size == given.channels]
            if not measured or any(t in observed and t not in measured for t in (*given.tensors, *given.clipped)):
                continue
            stream = _as_it_is(given, rescaled)
            now = {t: after[t] for t in measured}
            limits = _limits(stream, ranges, now, margin(count), per_tensor=per_tensor)
            powers, s = _choose(stream, now, limits, margin(count), of_weights, per_tensor=per_tensor)
            if (s == 1).all():
                continue
            _rescale(given, s, rescaled)
            after |= {t: (low / s, high / s) for t, (low, high) in now.items()}
            first = given.producers[0]
            why = f"{given.channels} channels, {powers}"
            changes.append(Change("equalize", first.origin, first.kind, first.outputs[0].name, why))
    ops = [rescaled.get(op, op) for op in graph.ops]
    new = replace(graph, tensors=list(graph.tensors), inputs=list(graph.inputs), outputs=list(graph.outputs), ops=ops)
    new.sync_tensors()
    return Equalized(new, after, tuple(changes))


def _as_it_is(stream: Stream, rescaled: Mapping[Op, Op]) -> Stream:
    """A stream over operators that other streams may have rescaled."""
    return replace(
        stream,
        producers=[rescaled.get(op, op) for op in stream.producers],
        consumers=[rescaled.get(op, op) for op in stream.consumers],
    )


def _choose(
    stream: Stream,
    ranges: ChannelRanges,
    limits: tuple[Array, Array],
    room: float,
    of_weights: Sequence[float],
    *,
    per_tensor: bool,
) -> tuple[_Powers, Array]:
    """The powers with the least noise, and their factors, within limits."""
    nothing = _Powers(0.0, 0.0, 0.0), np.ones(stream.channels, np.float32)
    size = np.max([np.maximum(np.abs(low), np.abs(high)) for low, high in ranges.values()], axis=0)
    top = float(size.max(initial=0.0))
    if top <= 0 or not np.isfinite(size).all():
        return nothing
    readers = [columns_of(op, stream.channels) for op in stream.consumers]
    writers = [rows_of(op) for op in stream.producers] if per_tensor else []
    peaks = [_relative((w.peak for w in group), size > 0) for group in (writers, readers if per_tensor else [])]
    best: tuple[float, _Powers, Array] | None = None
    for powers in itertools.starmap(_Powers, itertools.product(POWERS, of_weights, of_weights)):
        s = np.maximum(size / top, SMALLEST) ** powers.size * peaks[0] ** powers.rows / peaks[1] ** powers.columns
        s = np.clip(_with_room(s, size, room) if any(powers) else s, *limits)
        s = _with_dead(s, size > 0, readers, writers)
        with np.errstate(over="ignore", invalid="ignore"):
            noise = noise_of(s, size, list(ranges.values()), readers, writers, per_tensor=per_tensor)
        if not np.isfinite(noise):
            return nothing
        if best is None or noise < best[0] * 0.98:
            best = (noise, powers, s)
    assert best is not None
    return best[1], best[2].astype(np.float32)


def _limits(stream: Stream, given: ChannelRanges, now: ChannelRanges, room: float, *, per_tensor: bool) -> tuple[Array, Array]:
    """Smallest and largest factor of each channel.

    Behind RELU6 a channel grows up to the clip only, and one that reached it in the given model does not shrink, since the clip
    would not shrink with it. Only where weights share a scale is there a reason to shrink one at all.
    """
    whole = np.ones(stream.channels)
    before, reach = (
        np.max([room * ranges[t][1] for t in stream.clipped if t in ranges], axis=0, initial=0.0) for ranges in (given, now)
    )
    least = np.minimum(np.maximum(reach / CLIP, SMALLEST), 1.0) * whole
    most = np.where(before >= CLIP, 1.0, 1 / SMALLEST if per_tensor else 1.0) * whole
    return least, most


def _with_room(s: Array, size: Array, room: float) -> Array:
    """The factors, those of all channels but the one that sets the range so that they end below it."""
    reach = size / s
    first = int(np.argmax(reach))
    with_room: Array = np.maximum(s, room * size / reach[first])
    with_room[first] = s[first]
    return with_room


def _relative(peaks: Iterable[Array], alive: Array) -> Array:
    """The largest weights of each channel, as shares of the largest of those that are not always zero."""
    size = functools.reduce(np.maximum, peaks, np.zeros(alive.shape))
    top = float(size[alive].max())
    relative: Array = np.maximum(size / top, SMALLEST) if top > 0 else np.ones(size.shape)
    return relative


def margin(count: int) -> float:
    """Room that a rescaled channel keeps above the largest value that `count` samples have shown."""
    return 1 + HEADROOM / math.sqrt(max(count, 1))


def _with_dead(s: Array, alive: Array, readers: Sequence[Columns], writers: Sequence[Rows]) -> Array:
    """The factors, those of channels that are always zero so that their weights set nobody's scale.

    s_i = min(1, max over alive (s w2) / w2_i)      and, per tensor, s_i >= w1_i / max over alive (w1 / s)
    """
    if alive.all():
        return s
    s = np.where(alive, s, 1.0)
    for r in readers:
        most = float((s * r.peak)[alive].max())
        s = np.where(alive, s, np.minimum(s, most / np.maximum(r.peak, 1e-30)))
    for w in writers:
        most = float((w.peak / s)[alive].max())
        if most > 0:
            s = np.where(alive, s, np.maximum(s, w.peak / most))
    bounded: Array = np.clip(s, SMALLEST, 1 / SMALLEST)
    return bounded


def _rescale(stream: Stream, s: Array, rescaled: dict[Op, Op]) -> None:
    """Put operators with rescaled constants in the place of a stream's; `rescaled` says which stands for which."""

    def own(op: Op) -> Op:
        return rescaled.setdefault(op, replace(op, inputs=list(op.inputs)))

    for op in map(own, stream.producers):
        row = ROWS[op.kind]
        w, b = op.input(row.weight or 0), op.input(row.bias or 0)
        assert w is not None and row.axis is not None
        shape = [1] * len(w.shape)
        shape[row.axis] = -1
        op.inputs[row.weight or 0] = constant(w.name, (w.array / s.reshape(shape)).astype(np.float32, copy=False))
        if b is not None:
            op.inputs[row.bias or 0] = constant(b.name, (b.array / s).astype(np.float32, copy=False))
    for op in map(own, stream.consumers):
        w = op.inputs[ROWS[op.kind].weight or 0]
        assert w is not None
        factor = np.tile(s, w.shape[-1] // s.size)
        op.inputs[ROWS[op.kind].weight or 0] = constant(w.name, (w.array * factor).astype(np.float32, copy=False))
    for op, i in ((own(op), i) for op, i in stream.constants):
        c = op.inputs[i]
        assert c is not None
        if c.size > 1:
            op.inputs[i] = constant(c.name, (c.array / s).astype(np.float32, copy=False))
