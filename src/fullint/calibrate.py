"""Measuring ranges: the float model run over the representative samples, in one pass.

    x --CONV_2D--> y         =>      x --CONV_2D--> y --REDUCE_MIN--> .
                                                      --REDUCE_MAX--> .   PACK --> [min, max, …]

The minima and maxima are computed inside the graph, so that one small vector per sample leaves the
runtime and XNNPACK still runs the network. Memory does not depend on the number of samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from fullint.assign import Range
from fullint.build import ACTIVATIONS, make_op
from fullint.errors import SamplesError
from fullint.ir import Array, Graph, Model, Op, Tensor, constant
from fullint.sandbox import Sandbox, model_file
from fullint.tflite import write_model

_NOT_NEGATIVE = (ACTIVATIONS["RELU"], ACTIVATIONS["RELU6"])


@dataclass(frozen=True)
class Probe:
    """One scalar of the measuring model: which end of which tensor's range it is."""

    tensor: Tensor
    end: int


def calibrate(
    model: Model,
    tensors: Sequence[Tensor],
    samples: Iterable[tuple[int, Sequence[Array]]],
    box: Sandbox,
    threads: int,
) -> dict[Tensor, Range]:
    """Smallest and largest value of each tensor over all samples.

    Args:
        model: prepared float model with static shapes.
        tensors: float tensors of its main graph.
        samples: (index, arrays in graph input order), each run once.
        box: a child process to run them in.
        threads: samples run at the same time.

    Raises:
        SamplesError: a sample drives a tensor to NaN or infinity.
        RuntimeFailure: the runtime refuses the model or crashes on it.
    """
    if not tensors:
        for _ in samples:
            pass
        return {}
    measuring, probes = measuring_model(model, tensors)
    with model_file(write_model(measuring)) as path:
        box.call("measure", path, threads)
        for index, arrays in samples:
            box.send("sample", index, list(arrays))
        low, high, bad = box.call("measured")
    if bad is not None:
        sample, position = bad
        tensor = probes[position].tensor
        raise SamplesError(f'sample {sample} drives tensor "{tensor.name}" to a value that is not finite')
    return _ranges(probes, low, high)


def measuring_model(model: Model, tensors: Sequence[Tensor]) -> tuple[Model, list[Probe]]:
    """The model with a vector of minima and maxima as its only output."""
    old = model.main
    made_by = {t: op for op in old.ops for t in op.outputs}
    probes = [Probe(t, end) for t in tensors for end in (0, 1) if end or not _starts_at_zero(made_by.get(t))]
    ops: list[Op] = []
    axes: dict[int, Tensor] = {}
    scalars = [_scalar(p, ops, axes) for p in probes]
    vector = Tensor("ranges", (len(scalars),), "float32")
    ops.append(make_op("PACK", scalars, [vector], values_count=len(scalars), axis=0))
    graph = Graph(old.name, [], list(old.inputs), [vector], [*old.ops, *ops])
    graph.sync_tensors()
    return Model([graph, *model.graphs[1:]], version=model.version), probes


def _scalar(probe: Probe, ops: list[Op], axes: dict[int, Tensor]) -> Tensor:
    rank = len(probe.tensor.shape)
    if rank == 0:
        return probe.tensor
    if rank not in axes:
        axes[rank] = constant(f"axes{rank}", np.arange(rank, dtype=np.int32))
    out = Tensor("", (), "float32", has_rank=True)
    ops.append(make_op("REDUCE_MAX" if probe.end else "REDUCE_MIN", [probe.tensor, axes[rank]], [out], keep_dims=False))
    return out


def _starts_at_zero(op: Op | None) -> bool:
    """Whether a fused activation lets nothing below zero through (its minimum need not be measured)."""
    return op is not None and op.options.get("fused_activation_function") in _NOT_NEGATIVE


def _ranges(probes: Sequence[Probe], low: Array, high: Array) -> dict[Tensor, Range]:
    ranges: dict[Tensor, Range] = {}
    for probe, a, b in zip(probes, low, high, strict=True):
        before = ranges.get(probe.tensor, (0.0, 0.0))
        ranges[probe.tensor] = (before[0], float(b)) if probe.end else (float(a), before[1])
    return ranges
