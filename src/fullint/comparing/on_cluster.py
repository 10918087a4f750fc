"""Both models run by the workers of a cluster, on shards of the samples.

    [0, 500)  [500, 1000)  ...      shards --run_pairs--> what both models gave, in the order of the samples

What workers send back are the outputs themselves, so that figures are made here, of the same values in the same order.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from fullint.calibration.collect import has_state
from fullint.calibration.samples import Samples
from fullint.calibration.shard_run import SHARDS_EACH, SHIPPED_BYTES
from fullint.calibration.shards import SampleFile, Shipped
from fullint.cluster.connection import Cluster
from fullint.comparing.ends import PairedEnds
from fullint.comparing.output_runs import MODELS, BothOutputs, pairs_here
from fullint.limits import Limits, limits
from fullint.runtime.process import WorkerProcess

RUN_PAIRS = "fullint.comparing.on_cluster:run_pairs"
FEWEST_PAIRS = 64
"""Runs of a shard; to start the processes for one takes a second."""
WAITING_EACH = 2
"""Shards for each thread of the workers whose outputs may wait here."""
NOT_SPREAD = "scheduler: the samples were run here: their number is not known before, or each run depends on the one before"


@dataclass(frozen=True, eq=False)
class PairsJob:
    """What one worker is to run.

    Attributes:
        ends: the models.
        source: of the samples.
        runs: of the source, (first, one after the last).
        within: limits of a process that runs a model.
    """

    ends: PairedEnds
    source: SampleFile | Shipped
    runs: tuple[int, int]
    within: Limits


def run_pairs(job: PairsJob) -> list[BothOutputs]:
    """Run a shard."""
    with contextlib.ExitStack() as stack:
        first, second = (stack.enter_context(WorkerProcess(what, job.within)) for what in MODELS)
        samples = (sample for _, sample in job.source.runs([job.runs], {}))
        return [*pairs_here(first, second, job.ends, samples)]


def can_be_spread(ends: PairedEnds, samples: Samples) -> bool:
    """Whether samples can be run apart from one another."""
    return samples.can_be_picked and not has_state(ends.exact) and not has_state(ends.integer)


def pairs_there(
    scheduler: str, ends: PairedEnds, samples: Samples, source: SampleFile | None
) -> Generator[BothOutputs, None, None]:
    """Run both models on all samples, in shards; some shards at a time, so that what is known early does not pile up.

    Args:
        scheduler: of the cluster.
        ends: the models.
        samples: that can be spread.
        source: where workers read them themselves; None where they are sent.

    Raises:
        UsageError: there is no such cluster, or a worker has other releases, or cannot read the samples.
        RuntimeFailure: one of the models does not run.
    """
    count, within = samples.count or 0, limits()
    with Cluster(scheduler) as cluster:
        cluster.require_readable([source.path] if source is not None else [])
        size = max(FEWEST_PAIRS, math.ceil(count / (SHARDS_EACH * cluster.threads)))
        size = max(1, min(size, SHIPPED_BYTES // max(_bytes_of_run(ends), 1)))
        shards = [(first, min(first + size, count)) for first in range(0, count, size)]
        at_once = WAITING_EACH * cluster.threads
        for begin in range(0, len(shards), at_once):
            some = shards[begin : begin + at_once]

            def job(n: int, some: Sequence[tuple[int, int]] = some) -> PairsJob:
                given = source or Shipped(samples.inputs, [*samples.some(range(*some[n]))])
                return PairsJob(ends, given, some[n], within)

            found = dict(cluster.each(RUN_PAIRS, len(some), job))
            for n in range(len(some)):
                yield from found.pop(n)


def _bytes_of_run(ends: PairedEnds) -> int:
    """Of a sample and its outputs."""
    return sum(4 * max(t.size, 1) for t in (*ends.exact.main.inputs, *ends.exact.main.outputs, *ends.integer.main.outputs))
