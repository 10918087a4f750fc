"""One calibration: every entry of a model run on its samples, those held back for the certificate left over.

samples --split--> the first nine tenths --Collector--> Stats
                   the last tenth                            held back, for the certificate
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from fullint.calibration.collect import Collector
from fullint.calibration.range_methods import InputValues
from fullint.calibration.samples import Held, Samples, split
from fullint.calibration.signatures import view
from fullint.calibration.statistics import Stats, merge
from fullint.model.ir import Array, Model, Tensor
from fullint.reporting import Progress
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
    """

    tensors: Sequence[Tensor]
    by_channel: AbstractSet[Tensor] = frozenset()
    heads: Sequence[Tensor] = ()
    keep: int = 0


@dataclass(frozen=True)
class Calibration:
    """What came of it.

    Attributes:
        stats: ranges, over all entries.
        held: what each entry's samples leave for the certificate.
        kept: the first samples of the main entry, in graph input order.
        inputs: some of the values that the float inputs were given.
    """

    stats: Stats
    held: tuple[Held, ...]
    kept: tuple[list[Array], ...]
    inputs: InputValues


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
    inputs = InputValues()
    for number, graph in enumerate(model.entries):
        main = number == 0
        heads, keep = (wanted.heads, wanted.keep) if main else ((), 0)
        with Collector(view(model, graph), wanted.tensors, wanted.by_channel, worker, threads, heads, keep) as collector:

            def add(index: int, sample: list[Array], number: int = number, collector: Collector = collector) -> None:
                inputs.add(model.entries[number].inputs, sample)
                if number == 0 and index < wanted.keep:
                    kept.append(sample)
                collector.add(index, ready(number, sample))
                progress("calibrate", index + 1, samples[number].count)

            held.append(split(samples[number], add))
            stats.append(collector.finish())
    return Calibration(merge(stats), tuple(held), tuple(kept), inputs)
