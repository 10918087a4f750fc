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

The power p weighs the noise of activations against that of weights:

    noise(s) =   step_y(s)^2 * sum_i s_i^2 |W2_i|^2                       rounding y'
               + sum_o step_W2(s, o)^2 * sum_i E[y_i^2] / s_i^2           rounding W2'
               + step_W1(s)^2 * sum_i s_i^2 |W2_i|^2 * E[x^2]             rounding W1' (per tensor)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

import numpy as np

from fullint.model.ir import Array, Graph, Op, Tensor, Uses, constant
from fullint.model.weights import INT8_WEIGHTS
from fullint.ops import ROWS, traits_of
from fullint.ops.make import ACTIVATIONS
from fullint.reporting import Change

ChannelRanges = Mapping[Tensor, tuple[Array, Array]]
"""Per tensor: smallest and largest value of each channel, float32 [channels]."""

POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)
ROWS_LOOKED_AT = 64
"""Rounding steps of a consumer's outputs are estimated from this many of them."""
LARGEST = 1e30
SMALLEST = 1e-3
"""A channel is never blown up by more than the inverse of this."""
ENERGY = 0.1
"""E[y^2] of a channel as a share of its largest square, typical of what follows a RELU."""

_LINEAR = (ACTIVATIONS["NONE"], ACTIVATIONS["RELU"])
_RELU6 = ACTIVATIONS["RELU6"]


@dataclass
class Stream:
    """Tensors whose channels are rescaled together, and what writes and reads them."""

    channels: int
    tensors: list[Tensor] = field(default_factory=list)
    producers: list[Op] = field(default_factory=list)
    consumers: list[Op] = field(default_factory=list)
    constants: list[tuple[Op, int]] = field(default_factory=list)
    clipped: list[Tensor] = field(default_factory=list)
    blocked: str | None = None


def streams(graph: Graph) -> list[Stream]:
    """Every stream that can be rescaled."""
    finder = _Finder(graph)
    return [s for s in finder.streams() if s.blocked is None and s.producers and s.consumers]


class _Finder:
    """Walks out from each tensor through operators that keep channels apart."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.uses = Uses(graph)
        self.ends = set(graph.inputs) | set(graph.outputs)
        self.seen: set[Tensor] = set()
        self.usable: dict[Op, bool] = {}

    def streams(self) -> list[Stream]:
        found = []
        for op in self.graph.ops:
            out = op.outputs[0] if op.outputs else None
            if _is_weighted(op) and out is not None and out not in self.seen:
                found.append(self._walk(out))
        return found

    def _walk(self, start: Tensor) -> Stream:
        stream = Stream(start.shape[-1] if start.shape else 0)
        waiting = [start]
        while waiting:
            t = waiting.pop()
            if t in self.seen:
                continue
            self.seen.add(t)
            stream.tensors.append(t)
            if t in self.ends or t.is_constant or t.dtype != "float32" or not t.shape or t.shape[-1] % max(stream.channels, 1):
                stream.blocked = f'"{t.name}" must keep its values'
            producer = self.uses.producer.get(t)
            if producer is not None:
                waiting += self._backwards(producer, stream)
            for reader, index in self.uses.of(t):
                waiting += self._forwards(reader, index, t, stream)
        return stream

    def _backwards(self, op: Op, stream: Stream) -> list[Tensor]:
        if _is_weighted(op):
            activation = op.options.get("fused_activation_function", 0)
            if activation == _RELU6:
                stream.clipped.append(op.outputs[0])
            if (
                activation not in (*_LINEAR, _RELU6)
                or not self._constant_weights(op)
                or op.outputs[0].shape[-1] != stream.channels
            ):
                stream.blocked = f"{op.kind} cannot rescale its output"
            stream.producers.append(op)
            return []
        return self._through(op, stream)

    def _forwards(self, op: Op, index: int, t: Tensor, stream: Stream) -> list[Tensor]:
        if _is_weighted(op) and index == ROWS[op.kind].data:
            if not self._constant_weights(op) or not _columns_fit(op, t, stream.channels):
                stream.blocked = f"{op.kind} cannot take a rescaled input"
            stream.consumers.append(op)
            return []
        if index and traits_of(op.kind).adds is None:
            stream.blocked = f'"{t.name}" is a parameter of {op.kind}'
            return []
        return self._through(op, stream)

    def _constant_weights(self, op: Op) -> bool:
        if op not in self.usable:
            row = ROWS[op.kind]
            w, b = op.input(row.weight or 0), op.input(row.bias or 0)
            self.usable[op] = w is not None and _moderate(w) and (b is None or _moderate(b))
        return self.usable[op]

    def _through(self, op: Op, stream: Stream) -> list[Tensor]:
        """An operator the rescaling passes: its data operands and its output."""
        if traits_of(op.kind).adds is not None and op.options.get("fused_activation_function", 0) in _LINEAR:
            for i, x in enumerate(op.inputs):
                if x is not None and x.is_constant:
                    if x.shape[-1:] not in ((stream.channels,),) and not (x.size == 1 and x.array.reshape(-1)[0] == 0):
                        stream.blocked = f"{op.kind} adds a constant that does not run along the channels"
                    elif (op, i) not in stream.constants:
                        stream.constants.append((op, i))
            data = [x for x in op.inputs if x is not None and not x.is_constant]
            if any(x.shape[-1:] != op.outputs[0].shape[-1:] for x in data):
                stream.blocked = f"{op.kind} broadcasts channels"
            return [*data, op.outputs[0]]
        if _passes_scaling(op) and op.options.get("fused_activation_function", 0) in _LINEAR:
            x = op.inputs[0]
            return [x, op.outputs[0]] if x is not None else []
        stream.blocked = f"{op.kind} mixes or bends channels"
        return []


def _is_weighted(op: Op) -> bool:
    row = ROWS.get(op.kind)
    return row is not None and row.weight is not None


def _passes_scaling(op: Op) -> bool:
    """Whether channels that are rescaled before an operator are rescaled behind it."""
    traits = traits_of(op.kind)
    return traits.homogeneous and traits.keeps_channels is not None and traits.keeps_channels(op)


def _moderate(t: Tensor) -> bool:
    """A float32 constant of numbers that can be multiplied by a thousand."""
    return t.buffer is not None and t.dtype == "float32" and t.size > 0 and t.array.max() < LARGEST and t.array.min() > -LARGEST


def _columns_fit(op: Op, t: Tensor, channels: int) -> bool:
    w = op.input(ROWS[op.kind].weight or 0)
    assert w is not None
    if ROWS[op.kind].depthwise:
        return w.shape[3] == channels
    return w.shape[-1] % channels == 0 and w.shape[-1] == t.shape[-1]


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
    graph: Graph, found: Sequence[Stream], observed: AbstractSet[Tensor], ranges: ChannelRanges, *, per_tensor: bool
) -> Equalized:
    """Rescale streams of a float graph.

    Args:
        graph: prepared.
        found: its streams.
        observed: tensors whose ranges were measured; a stream with one that was not measured per
            channel stays as it is, since its range after rescaling would not be known.
        ranges: what was measured per channel.
        per_tensor: whether weights will have one scale each.
    """
    changes: list[Change] = []
    after = dict(ranges)
    rescaled: dict[Op, Op] = {}
    for given in found:
        measured = [t for t in given.tensors if t in ranges and ranges[t][0].size == given.channels]
        if not measured or any(t in observed and t not in measured for t in (*given.tensors, *given.clipped)):
            continue
        stream = _as_it_is(given, rescaled)
        power, s = _choose(stream, {t: ranges[t] for t in measured}, per_tensor)
        if power == 0:
            continue
        _rescale(given, s, rescaled)
        for t in measured:
            low, high = after[t]
            after[t] = (low / s, high / s)
        first = given.producers[0]
        changes.append(
            Change("equalize", first.origin, first.kind, first.outputs[0].name, f"{given.channels} channels, power {power:g}")
        )
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


def _choose(stream: Stream, ranges: ChannelRanges, per_tensor: bool) -> tuple[float, Array]:
    """The power with the least noise, and its factors.

    A channel that is always zero keeps its size; one that ends at 6 may grow up to the clip only.
    """
    size = np.max([np.maximum(np.abs(low), np.abs(high)) for low, high in ranges.values()], axis=0)
    floor = np.max([ranges[t][1] / 6 for t in stream.clipped if t in ranges], axis=0, initial=0.0)
    top = float(size.max(initial=0.0))
    if top <= 0 or not np.isfinite(size).all():
        return 0.0, np.ones(stream.channels, np.float32)
    relative = np.where(size > 0, np.maximum(size / top, SMALLEST), 1.0)
    columns = [_columns(op, stream.channels) for op in stream.consumers]
    rows = [_rows(op) for op in stream.producers] if per_tensor else []
    best: tuple[float, float, Array] | None = None
    for power in POWERS:
        s = np.minimum(np.maximum(relative**power, floor), 1.0)
        with np.errstate(over="ignore", invalid="ignore"):
            noise = _noise(s, size, list(ranges.values()), columns, rows, per_tensor)
        if not np.isfinite(noise):
            return 0.0, s
        if best is None or noise < best[0] * 0.98:
            best = (noise, power, s)
    assert best is not None
    return best[1], best[2].astype(np.float32)


@dataclass(frozen=True)
class _Columns:
    """A consumer's weights as seen from the channels it reads.

    Attributes:
        gain: sum of W^2 over outputs and taps, per channel.
        sizes: root of the sum of W^2 over taps, [some of the outputs, channels].
        share: outputs that each row of `sizes` stands for.
        depthwise: each channel has its own output, hence its own step per channel.
    """

    gain: Array
    sizes: Array
    share: float
    depthwise: bool


def _columns(op: Op, channels: int) -> _Columns:
    w = op.inputs[ROWS[op.kind].weight or 0]
    assert w is not None
    flat = w.array.reshape(w.shape[0], -1, channels)
    gain = np.einsum("otc,otc->c", flat, flat)
    some = flat[:: max(1, -(-len(flat) // ROWS_LOOKED_AT))]
    sizes = np.sqrt(np.einsum("otc,otc->oc", some, some))
    return _Columns(gain, sizes, len(flat) / len(some), ROWS[op.kind].depthwise)


def _noise(
    s: Array,
    size: Array,
    ranges: Sequence[tuple[Array, Array]],
    columns: Sequence[_Columns],
    rows: Sequence[Array],
    per_tensor: bool,
) -> float:
    """The module's estimate.

    Args:
        rows: per producer, the size of each row and the energy of what it multiplies.
    """
    gain = sum(c.gain for c in columns)
    total = 0.0
    for low, high in ranges:
        step = (max(float((high / s).max()), 0) - min(float((low / s).min()), 0)) / 255
        total += step**2 * float((np.square(s) * gain).sum()) / 12
    energy = ENERGY * np.square(size / s)
    for c in columns:
        scaled = c.sizes * s
        if c.depthwise and not per_tensor:
            total += float((np.square(scaled[0] / INT8_WEIGHTS.most) * energy).sum()) / 12
            continue
        steps = scaled.max(axis=1)
        steps = np.full_like(steps, steps.max(initial=0.0)) if per_tensor else steps
        total += float(np.square(steps / INT8_WEIGHTS.most).sum()) * c.share / 12 * float(energy.sum())
    if per_tensor:
        for r in rows:
            step = float((r[0] / s).max()) / INT8_WEIGHTS.most
            total += step**2 / 12 * float((np.square(s) * gain).sum()) * r[1][0]
    return total


def _rows(op: Op) -> Array:
    """Largest |W| of each output channel of a producer, and a guess of its input's energy."""
    row = ROWS[op.kind]
    w = op.inputs[row.weight or 0]
    assert w is not None and row.axis is not None
    others = tuple(i for i in range(len(w.shape)) if i != row.axis)
    peak = np.maximum(w.array.max(axis=others), -w.array.min(axis=others))
    taps = w.size / w.shape[row.axis]
    return np.stack([peak, np.full_like(peak, taps * ENERGY)])


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
