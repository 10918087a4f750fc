"""How often the values of an integer model's activations lie where in their ranges.

codes of a tensor on some samples  ->  counts in equal parts of [-128, 127], shares at both ends
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fullint.documents.graph import GraphHistogram
from fullint.model.ir import Array, Model, Tensor
from fullint.model.subgraphs import copy_model
from fullint.pages.graphs import range_of
from fullint.runtime.process import WorkerProcess
from fullint.verification.kernel_outputs import integer_inputs, outputs_of

_PARTS = 32
_MOST_VALUES = 1 << 24
"""Values of all observed tensors of one sample together; tensors beyond that have no histogram."""


def histograms(model: Model, samples: Sequence[Sequence[Array]], worker: WorkerProcess) -> dict[Tensor, GraphHistogram]:
    """Histograms of the activations of the main graph that have codes of one scale.

    Args:
        model: all integer or partly so.
        samples: of its inputs, float.
        worker: an idle child process.
    """
    copy, twins = copy_model(model)
    seen: list[Tensor] = []
    values = 0
    for op in model.main.ops:
        for t in op.outputs:
            values += t.size
            if range_of(t) is not None and values <= _MOST_VALUES:
                seen.append(t)
    if not seen or not samples:
        return {}
    copy.main.outputs = [twins[t] for t in seen]
    copy.signatures = []
    counts = {t: np.zeros(_bins(t), np.int64) for t in seen}
    floats = all(t.is_float for t in model.main.inputs)
    given = [list(sample) if floats else integer_inputs(model, list(sample)) for sample in samples]
    for found in outputs_of(worker, copy, given):
        for t, codes in zip(seen, found, strict=True):
            first = np.iinfo(t.dtype).min
            counts[t] += np.bincount(codes.reshape(-1).astype(np.int64) - first, minlength=_bins(t))
    return {t: _histogram(t, counts[t]) for t in seen}


def _bins(t: Tensor) -> int:
    limits = np.iinfo(t.dtype)
    return int(limits.max) - int(limits.min) + 1


def _histogram(t: Tensor, counts: Array) -> GraphHistogram:
    ends = range_of(t)
    assert ends is not None
    total = max(int(counts.sum()), 1)
    parts = counts.reshape(_PARTS, -1).sum(axis=1)
    return GraphHistogram(*ends, tuple(int(n) for n in parts), float(counts[0] / total), float(counts[-1] / total))
