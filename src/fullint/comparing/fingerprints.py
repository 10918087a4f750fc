"""Some values of every activation of a model, by which activations of two models are told to be the same.

sample --run--> all activations --> every n-th value of each, as real numbers        similarity = correlation of two of them
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fullint.calibration.portions import bytes_of, portions
from fullint.calibration.signatures import with_outputs
from fullint.model.ir import NUMPY_TYPES, Array, Graph, Model, Tensor
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import WorkerProcess, model_file
from fullint.verification.kernel_outputs import real

PRINTED_VALUES = 1024
"""Values of an activation that are kept of each sample."""

Prints = Mapping[Tensor, Array]
"""Activation -> some of its values, float64, those of all samples one after the other."""


def activations(graph: Graph) -> list[Tensor]:
    """The values of a graph that can be read: inputs and results, not variables, not those whose size is open."""
    made = [*graph.inputs, *(t for op in graph.ops for t in op.outputs)]
    return [t for t in dict.fromkeys(made) if t.dtype in NUMPY_TYPES and t.size and t.buffer is None and not t.is_variable]


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """What some samples have shown of the activations of a model.

    Attributes:
        prints: some values of each.
        peaks: the largest size that each of its channels (last axis) has had.
    """

    prints: Prints
    peaks: Mapping[Tensor, Array]


def fingerprints(worker: WorkerProcess, model: Model, samples: Sequence[Sequence[Array]]) -> Fingerprints:
    """Some values of every activation of the main graph.

    Args:
        worker: runs the model.
        model: with fixed shapes.
        samples: in graph input order, in the types of the inputs.
    """
    found: dict[Tensor, list[Array]] = {}
    peaks: dict[Tensor, Array] = {}
    for portion in portions(activations(model.main), bytes_of):
        with model_file(with_outputs(model, portion)) as path:
            worker.call(Open(path, "xnnpack", 1))
            for sample in samples:
                for t, values in zip(portion, worker.call(Run(list(sample))), strict=True):
                    flat = real(values, t).reshape(-1)
                    found.setdefault(t, []).append(flat[:: max(1, flat.size // PRINTED_VALUES)].astype(np.float64))
                    largest = np.abs(flat.reshape(-1, values.shape[-1] if values.ndim else 1)).max(axis=0)
                    peaks[t] = np.maximum(largest, peaks.get(t, largest))
    return Fingerprints({t: np.concatenate(parts) for t, parts in found.items()}, peaks)


def near(a: Array | None, b: Array | None, most: float) -> bool:
    """Whether two fingerprints differ by less than a share of their size; correlation does not tell sizes."""
    if a is None or b is None or a.shape != b.shape:
        return False
    return float(np.square(a - b).sum()) <= most**2 * float(np.square(a).sum())


def similarity(a: Array | None, b: Array | None) -> float:
    """Correlation of two fingerprints, -1 to 1; 0 where one is constant or missing, 1 where both are the same constants."""
    if a is None or b is None or a.shape != b.shape:
        return 0.0
    x, y = a - a.mean(), b - b.mean()
    size = float(np.sqrt((x @ x) * (y @ y)))
    if not np.isfinite(size) or size == 0:
        return float(np.array_equal(a, b))
    return float(x @ y) / size
