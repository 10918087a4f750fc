"""How much longer one result takes than another on this machine, measured in turns.

ratio = median over turns of (median of the runs of one / median of the runs of the other)
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from fullint.model.ir import Array
from fullint.quantization.stage_values import Written
from fullint.runtime.messages import Latency, Open
from fullint.runtime.process import WorkerProcess, model_file
from fullint.verification.kernel_outputs import integer_inputs

LATENCY_TURNS = 5
TURN_SECONDS = 0.04
MOST_RUNS = 200


def latency_ratio(worker: WorkerProcess, before: Written, after: Written, sample: Sequence[Array]) -> float:
    """Latency of one result divided by that of another, on XNNPACK and one thread.

    Args:
        worker: an idle child process.
        before: what the other is compared with.
        after: the other.
        sample: of both, as the prepared model takes it.
    """
    ratios = []
    with model_file(before.data) as one, model_file(after.data) as other:
        for _ in range(LATENCY_TURNS):
            first, second = (_seconds(worker, path, w, sample) for path, w in ((one, before), (other, after)))
            ratios.append(second / first)
    return round(statistics.median(ratios), 3)


def _seconds(worker: WorkerProcess, path: str, written: Written, sample: Sequence[Array]) -> float:
    arrays = integer_inputs(written.emitted.model, sample)
    worker.call(Open(path, "xnnpack", 1))
    once = min(worker.call(Latency(arrays, 3)))
    runs = min(max(int(TURN_SECONDS / max(once, 1e-7)), 3), MOST_RUNS)
    return statistics.median(worker.call(Latency(arrays, runs)))
