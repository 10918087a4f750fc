"""Models with every kind of probe, and calibration of them: a run over some samples, as statistics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from conftest import run

from fullint.calibration.collect import Collector
from fullint.calibration.range_methods import RangeMethod
from fullint.calibration.statistics import Statistics
from fullint.model.ir import Model, Tensor
from fullint.ops.builder import Builder
from fullint.ops.make import make_op
from fullint.runtime.process import WorkerProcess

Sample = list[np.ndarray]
HIDDEN = -1e38
TURNS = 3


@dataclass
class Wanted:
    """What is measured of a model."""

    model: Model
    tensors: list[Tensor]
    by_channel: frozenset[Tensor] = frozenset()


def collect(
    wanted: Wanted,
    samples: Iterable[Sample],
    first: int = 0,
    threads: int = 1,
    method: RangeMethod | None = None,
) -> Statistics:
    """Statistics of samples numbered from `first` on; `method`, before the first sample, is that of all tensors."""
    given = wanted.model, wanted.tensors, wanted.by_channel
    methods = dict.fromkeys(wanted.tensors, method) if method is not None else {}
    with WorkerProcess() as worker, Collector(*given, worker, threads, methods) as collector:
        for i, sample in enumerate(samples):
            collector.add(first + i, sample)
        return collector.finish()


def values_of(g: Builder, tensors: Sequence[Tensor], samples: Iterable[Sample]) -> list[np.ndarray]:
    """What the runtime computes for tensors of the main graph, with the samples along a new first axis."""
    outputs, g.graph.outputs = g.graph.outputs, list(tensors)
    data = g.bytes()
    g.graph.outputs = outputs
    return [np.stack(found) for found in zip(*(run(data, s) for s in samples), strict=True)]


def loop(g: Builder, before: Tensor) -> list[Tensor]:
    """Three turns of y' = -1.5 y + 0.25: what is made inside, and what comes out."""
    cond, body = Builder(name="cond"), Builder(name="body")
    i, _ = cond.input(dtype="int32"), cond.input(*before.shape)
    cond.output(cond.op("LESS", i, cond.const(np.int32(TURNS)), shape=()))
    j, y = body.input(dtype="int32"), body.input(*before.shape)
    turned = body.op("MUL", y, body.const(-1.5))
    moved = body.op("ADD", turned, body.const(0.25))
    body.output(body.op("ADD", j, body.const(np.int32(1)), shape=()), moved)
    out = [Tensor("turns", (), "int32"), Tensor("looped", before.shape, "float32")]
    first = [g.const(np.int32(0)), before]
    g.graph.ops.append(make_op("WHILE", first, out, cond_subgraph_index=cond.graph, body_subgraph_index=body.graph))
    g.output(out[1])
    return [turned, moved]


def branch(g: Builder, condition: Tensor, x: Tensor) -> list[Tensor]:
    """-2 x or x + 10: what each branch makes."""
    graphs, made = [], []
    for name, kind, number in (("then", "MUL", -2.0), ("else", "ADD", 10.0)):
        b = Builder(name=name)
        made.append(b.op(kind, b.input(*x.shape), b.const(number)))
        b.output(made[-1])
        graphs.append(b.graph)
    out = Tensor("chosen", x.shape, "float32")
    g.graph.ops.append(make_op("IF", [condition, x], [out], then_subgraph_index=graphs[0], else_subgraph_index=graphs[1]))
    g.output(out)
    return made


def every_probe(g: Builder) -> Wanted:
    """Plain, per channel, behind clamps, rows with masks, in a loop, and in branches."""
    condition, x = g.input(1, dtype="bool", name="c"), g.input(1, 4, 4, 2, name="x")
    relu = g.conv(x, 3, activation="RELU")
    plain = g.conv(relu, 2)
    mask = np.zeros((8, 4), np.float32)
    mask[::2, 2:], mask[-1] = HIDDEN, HIDDEN
    scores = g.op("ADD", g.reshape(plain, 8, 4), g.const(mask))
    head = g.dense(g.op("SOFTMAX", scores, beta=1.0), 5)
    g.output(head)
    inside = [*loop(g, g.reshape(x, 1, 32)), *branch(g, condition, x)]
    tensors = [x, relu, plain, scores, head, *inside]
    return Wanted(g.model(), tensors, frozenset({relu, plain}))


def samples(count: int, seed: int = 5) -> list[Sample]:
    """For `every_probe`; the condition holds for every other one."""
    rng = np.random.default_rng(seed)
    sizes = rng.uniform(0.5, 2, count)
    return [[np.array([i % 2 == 0]), (rng.normal(size=(1, 4, 4, 2)) * s).astype(np.float32)] for i, s in enumerate(sizes)]
