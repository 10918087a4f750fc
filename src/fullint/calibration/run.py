"""One calibration: every entry of a model run on its samples, those held back for the certificate left over.

samples --split--> the first nine tenths --Collector--> Statistics --finish--> Stats
                   the last tenth                                   held back, for the certificate
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

from fullint.calibration.collect import Collector
from fullint.calibration.input_values import InputValues
from fullint.calibration.range_methods import DEFAULT_METHOD, RangeMethod
from fullint.calibration.samples import Held, Samples, split
from fullint.calibration.signatures import view
from fullint.calibration.statistics import Stats, finish, merge_entries
from fullint.model.ir import Array, Model, Tensor
from fullint.options import Progress
from fullint.runtime.process import WorkerProcess

Ready = Callable[[int, list[Array]], list[Array]]
"""(number of the entry, a sample as it was given) -> the sample as the model takes it."""


@dataclass(frozen=True)
class Wanted:
    """What is to be measured.

    Attributes:
        tensors: float values whose ranges are wanted.
        by_channel: those of them whose channels' ranges are wanted too.
        heads: tensors of the main graph whose channel means are wanted of the first `keep` samples.
        keep: how many samples of the main entry are kept for corrections that come later.
        method: how ranges are made of what is seen.
    """

    tensors: Sequence[Tensor]
    by_channel: AbstractSet[Tensor] = frozenset()
    heads: Sequence[Tensor] = ()
    keep: int = 0
    method: type[RangeMethod] = DEFAULT_METHOD


@dataclass(frozen=True)
class Calibration:
    """What came of it.

    Attributes:
        stats: ranges, over all entries.
        held: what each entry's samples leave for the certificate.
        kept: the first samples of the main entry, in graph input order.
        inputs: some of the values that the float inputs were given.
        digest: SHA-256 of the samples that calibrated, as the model takes them.
    """

    stats: Stats
    held: tuple[Held, ...]
    kept: tuple[list[Array], ...]
    inputs: InputValues
    digest: str


def calibrate_entries(
    model: Model,
    samples: Sequence[Samples],
    wanted: Wanted,
    worker: WorkerProcess,
    threads: int,
    progress: Progress,
    ready: Ready = lambda number, sample: sample,
) -> Calibration:
    """Run all samples of all entries, in one pass.

    Args:
        model: prepared.
        samples: of each entry.
        wanted: what to measure.
        worker: a child process to run them in.
        threads: samples run at the same time.
        progress: told of each sample.
        ready: makes a sample what the model takes, where it was given for another form of it.
    """
    stats: list[Stats] = []
    held: list[Held] = []
    kept: list[list[Array]] = []
    inputs, digest = InputValues(), hashlib.sha256()
    for number, graph in enumerate(model.entries):
        main = number == 0
        heads, keep = (wanted.heads, wanted.keep) if main else ((), 0)
        own = view(model, graph)
        with Collector(own, wanted.tensors, wanted.by_channel, worker, threads, heads, keep, wanted.method) as collector:

            def add(index: int, sample: list[Array], number: int = number, collector: Collector = collector) -> None:
                inputs.add(model.entries[number].inputs, sample)
                for array in sample:
                    digest.update(np.ascontiguousarray(array).data)
                if number == 0 and index < wanted.keep:
                    kept.append(sample)
                collector.add(index, ready(number, sample))
                progress("calibrate", index + 1, samples[number].count)

            held.append(split(samples[number], add))
            stats.append(finish(own, collector.finish()))
    return Calibration(merge_entries(stats), tuple(held), tuple(kept), inputs, digest.hexdigest())
