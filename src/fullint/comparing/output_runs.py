"""Both models run on all samples, by two processes of this machine or by the workers of a cluster.

    here      float model    | integer model                      one sample after the other
    there     [0, 500)  [500, 1000)  ...                          a shard each: what both gave, in the order of the samples

What workers send back are the outputs themselves, so that figures are made here, of the same values in the same order.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fullint.calibration.collect import has_state
from fullint.calibration.samples import Reading, Samples, Slot
from fullint.calibration.shard_run import SHARDS_EACH, SHIPPED_BYTES, Engine
from fullint.calibration.shards import SampleFile, Shipped
from fullint.comparing.ends import PairedEnds
from fullint.errors import UsageError
from fullint.limits import Limits, limits
from fullint.model.ir import Array
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import WorkerProcess, model_file

RUN_PAIRS = "fullint.comparing.output_runs:run_pairs"
FEWEST_PAIRS = 64
"""Runs of a shard; to start the processes for one takes a second."""
MODELS = ("the float model", "the integer model")
NOT_SPREAD = "scheduler: the samples were run here: their number is not known before, or each run depends on the one before"

BothOutputs = tuple[list[Array], list[Array]]
"""What the float model gave for a sample, and what the integer one gave."""


def pairs_here(
    first: WorkerProcess, second: WorkerProcess, ends: PairedEnds, samples: Iterable[list[Array]]
) -> Iterator[BothOutputs]:
    """Run both models on each sample, side by side.

    Args:
        first, second: idle processes for the float and the integer model.
        ends: the models.
        samples: of the float model.

    Raises:
        RuntimeFailure: one of the models does not run.
    """
    with model_file(ends.exact) as one, model_file(ends.integer) as two:
        first.call(Open(one, "xnnpack", 1))
        second.call(Open(two, "xnnpack", 1))
        for sample in samples:
            second.send(Run(ends.converted(sample)))
            yield first.call(Run(sample)), second.receive(Run)


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
    return samples.pick is not None and samples.count is not None and not has_state(ends.exact) and not has_state(ends.integer)


def pairs_there(engine: Engine, ends: PairedEnds, samples: Samples, source: SampleFile | None) -> Iterator[BothOutputs]:
    """Run both models on all samples, in shards; some shards at a time, so that what is known early does not pile up.

    Args:
        engine: that calls the workers.
        ends: the models.
        samples: that can be spread.
        source: where workers read them themselves; None where they are sent.

    Raises:
        RuntimeFailure: one of the models does not run.
    """
    count = samples.count or 0
    size = max(FEWEST_PAIRS, math.ceil(count / (SHARDS_EACH * engine.threads)))
    size = max(1, min(size, SHIPPED_BYTES // max(_bytes_of_run(ends), 1)))
    shards = [(first, min(first + size, count)) for first in range(0, count, size)]
    at_once = 2 * engine.threads
    for begin in range(0, len(shards), at_once):
        some = shards[begin : begin + at_once]

        def job(n: int, some: Sequence[tuple[int, int]] = some) -> PairsJob:
            given = source or Shipped(samples.inputs, [*samples.some(range(*some[n]))])
            return PairsJob(ends, given, some[n], limits())

        found = dict(engine.each(RUN_PAIRS, len(some), job))
        for n in range(len(some)):
            yield from found.pop(n)


def _bytes_of_run(ends: PairedEnds) -> int:
    """Of a sample and its outputs."""
    return sum(4 * max(t.size, 1) for t in (*ends.exact.main.inputs, *ends.exact.main.outputs, *ends.integer.main.outputs))


def read_there(samples: Any, inputs: Sequence[Slot], reading: Reading) -> SampleFile:
    """Samples that workers read themselves.

    Raises:
        UsageError: they are in no file.
    """
    if not isinstance(samples, str | Path):
        raise UsageError("shared: samples that workers read are files or folders; leave it out to send them")
    return SampleFile(str(Path(samples).absolute()), inputs, replace(reading, labels=None))
