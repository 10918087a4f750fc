"""Measuring ranges: the float model run over the representative samples, in one pass.

    x --CONV_2D--> y         =>      x --CONV_2D--> y --REDUCE_MIN--> .
                                                      --REDUCE_MAX--> .   PACK --> [min, max, …]

The minima and maxima are computed inside the graph, so that one small vector per sample leaves the
runtime and XNNPACK still runs the network. Memory does not depend on the number of samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

from fullint.assign import Range
from fullint.build import ACTIVATIONS, make_op
from fullint.correct_bias import append_means
from fullint.cost import total_macs
from fullint.errors import SamplesError
from fullint.ir import Array, Graph, Model, Op, Tensor, constant
from fullint.sandbox import Sandbox, model_file

LARGE_MACS = 1_000_000_000
"""From here on all threads work on one sample: see `execute._Statistics`."""
_NOT_NEGATIVE = (ACTIVATIONS["RELU"], ACTIVATIONS["RELU6"])


@dataclass(frozen=True)
class Stats:
    """What was measured.

    Attributes:
        ranges: smallest and largest value of each tensor.
        channels: the same per channel (last axis), for tensors it was asked for.
        means: channel means of the heads' outputs, [samples below `keep`, channels of all heads].
    """

    ranges: dict[Tensor, Range]
    channels: dict[Tensor, tuple[Array, Array]]
    means: Array


@dataclass(frozen=True)
class Probe:
    """A stretch of the measuring model's output: one end of one tensor's range, whole or per channel."""

    tensor: Tensor
    end: int
    start: int
    size: int


def calibrate(
    model: Model,
    tensors: Sequence[Tensor],
    by_channel: AbstractSet[Tensor],
    samples: Iterable[tuple[int, Sequence[Array]]],
    box: Sandbox,
    threads: int,
    heads: Sequence[Tensor] = (),
    keep: int = 0,
) -> Stats:
    """Smallest and largest value of each tensor over all samples.

    Args:
        model: prepared float model with static shapes.
        tensors: float tensors of its main graph.
        by_channel: those of them to measure per channel.
        samples: (index, arrays in graph input order), each run once.
        box: a child process to run them in.
        threads: samples run at the same time.
        heads: tensors whose channel means are kept for the first `keep` samples.

    Raises:
        SamplesError: a sample drives a tensor to NaN or infinity.
        RuntimeFailure: the runtime refuses the model or crashes on it.
    """
    if not tensors:
        for _ in samples:
            pass
        return Stats({}, {}, np.zeros((0, 0), np.float32))
    measuring, probes = measuring_model(model, tensors, by_channel, heads)
    with model_file(measuring) as path:
        box.call("measure", path, threads, keep if heads else 0, total_macs(model) >= LARGE_MACS)
        for index, arrays in samples:
            box.send("sample", index, list(arrays))
        low, high, bad, means = box.call("measured")
    if bad is not None:
        sample, position = bad
        tensor = next(p.tensor for p in probes if p.start <= position < p.start + p.size)
        raise SamplesError(f'sample {sample} drives tensor "{tensor.name}" to a value that is not finite')
    return _stats(probes, low, high, means)


def measuring_model(
    model: Model, tensors: Sequence[Tensor], by_channel: AbstractSet[Tensor] = frozenset(), heads: Sequence[Tensor] = ()
) -> tuple[Model, list[Probe]]:
    """The model with a vector of minima and maxima as its output, and one of the heads' means if there are any."""
    old = model.main
    made_by = {t: op for op in old.ops for t in op.outputs}
    writer = _ProbeWriter(by_channel)
    for t in tensors:
        if not _starts_at_zero(made_by.get(t)):
            writer.add(t, 0)
        writer.add(t, 1)
    outputs = [writer.finish()]
    if heads:
        outputs.append(append_means(heads, writer.ops))
    graph = Graph(old.name, [], list(old.inputs), outputs, [*old.ops, *writer.ops])
    graph.sync_tensors()
    return Model([graph, *model.graphs[1:]], version=model.version), writer.probes


class _ProbeWriter:
    """Appends reductions and joins their results to one vector."""

    def __init__(self, by_channel: AbstractSet[Tensor]) -> None:
        self.by_channel = by_channel
        self.ops: list[Op] = []
        self.probes: list[Probe] = []
        self.parts: list[Tensor] = []
        self.axes: dict[int, Tensor] = {}
        self.size = 0

    def add(self, t: Tensor, end: int) -> None:
        channels = t in self.by_channel
        size = t.shape[-1] if channels else 1
        self.probes.append(Probe(t, end, self.size, size))
        self.size += size
        reduced = len(t.shape) - 1 if channels else len(t.shape)
        if reduced == 0:
            self.parts.append(t if channels else self._reshaped(t, 1))
            return
        if reduced not in self.axes:
            self.axes[reduced] = constant(f"axes{reduced}", np.arange(reduced, dtype=np.int32))
        out = Tensor("", (size,) if channels else (), "float32", has_rank=True)
        kind = "REDUCE_MAX" if end else "REDUCE_MIN"
        self.ops.append(make_op(kind, [t, self.axes[reduced]], [out], keep_dims=False))
        self.parts.append(out if channels else self._reshaped(out, 1))

    def _reshaped(self, t: Tensor, size: int) -> Tensor:
        out = Tensor("", (size,), "float32")
        shape = self.axes.setdefault(-size, constant(f"shape{size}", np.array([size], np.int32)))
        self.ops.append(make_op("RESHAPE", [t, shape], [out], new_shape=[size]))
        return out

    def finish(self) -> Tensor:
        vector = Tensor("ranges", (self.size,), "float32")
        self.ops.append(make_op("CONCATENATION", self.parts, [vector], axis=0))
        return vector


def _starts_at_zero(op: Op | None) -> bool:
    """Whether a fused activation lets nothing below zero through (its minimum need not be measured)."""
    return op is not None and op.options.get("fused_activation_function") in _NOT_NEGATIVE


def _stats(probes: Sequence[Probe], low: Array, high: Array, means: Array) -> Stats:
    stats = Stats({}, {}, means)
    ends: dict[Tensor, list[Array]] = {}
    for p in probes:
        piece = slice(p.start, p.start + p.size)
        pair = ends.setdefault(p.tensor, [np.zeros(p.size, np.float32), np.zeros(p.size, np.float32)])
        pair[p.end] = (high if p.end else low)[piece]
    for tensor, (a, b) in ends.items():
        stats.ranges[tensor] = (float(a.min()), float(b.max()))
        if a.size > 1:
            stats.channels[tensor] = (a, b)
    return stats
