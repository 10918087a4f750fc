"""Streams: tensors whose channels have to be rescaled together, found by walking out from a weighted operator's result.

CONV_2D --> y --+--> DEPTHWISE_CONV_2D        the stream: y and z, which share their channels;
|                             producers: both CONV_2D; consumer: DEPTHWISE_CONV_2D, and who reads the sum
CONV_2D --> z --+--> ADD --> ...
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fullint.model.ir import Graph, Op, Tensor, Uses
from fullint.ops import ROWS, traits_of
from fullint.ops.make import ACTIVATIONS, CLAMPS

LARGEST = 1e30
_LINEAR = (ACTIVATIONS["NONE"], ACTIVATIONS["RELU"])
_RELU6 = ACTIVATIONS["RELU6"]
_, CLIP = CLAMPS[_RELU6]
"""Where RELU6 ends."""


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
