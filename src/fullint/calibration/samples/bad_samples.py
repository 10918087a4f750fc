"""A run that failed: whether the sample is to blame, or the model.

fails on the sample, runs on zeros     =>     the sample holds something that the model cannot take: an index out of range
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fullint.errors import RuntimeFailure, SamplesError
from fullint.model.ir import Array
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import WorkerProcess


def blamed(
    worker: WorkerProcess, path: str, names: Sequence[str], sample: Sequence[Array], number: int, failure: RuntimeFailure
) -> SamplesError | RuntimeFailure:
    """What to raise where a model did not run on a sample.

    Args:
        worker: a process to run the model in again.
        path: of the model.
        names: of its inputs.
        sample: the one that it failed on.
        number: what messages call it.
        failure: what happened.
    """
    try:
        if failure.crashed:
            worker.restart()
        worker.call(Open(path, "xnnpack", 1, [a.shape for a in sample]))
        worker.call(Run([np.zeros_like(a) for a in sample]))
    except RuntimeFailure:
        return failure
    indices = [
        f'"{name}" {int(a.min())} to {int(a.max())}'
        for name, a in zip(names, sample, strict=True)
        if a.dtype.kind in "iu" and a.size
    ]
    held = f" (whole numbers: {', '.join(indices)})" if indices else ""
    return SamplesError(
        f"sample {number}: the model runs on zeros, but not on this sample{held}: {failure}; correct or remove it"
    )
