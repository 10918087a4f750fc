"""One calibration: every entry of a model run on its samples, those held back for the certificate left over.

samples --split--> most of them --Collector--> Statistics --finish--> Stats
                   a tenth                                    held back, for the certificate
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

from fullint.calibration.collect import Collected, Collector, has_state
from fullint.calibration.input_values import InputValues
from fullint.calibration.range_methods import RangeMethod
from fullint.calibration.samples import Held, Samples, split
from fullint.calibration.samples.spread import Spread
from fullint.calibration.samples.values_seen import ValuesSeen
from fullint.calibration.signatures import view
from fullint.calibration.statistics import Stats, finish, merge_entries
from fullint.model.ir import Array, Model, Tensor
from fullint.options import Progress
from fullint.passes.as_trained import Rounding
from fullint.runtime.process import WorkerProcess

Ready = Callable[[int, list[Array]], list[Array]]
"""(number of the entry, a sample as it was given) -> the sample as the model takes it."""


@dataclass(frozen=True)
class Wanted:
    """What is to be measured.

    Attributes:
        tensors: float values whose ranges are wanted.
        by_channel: those of them whose channels' ranges are wanted too.
        keep: how many samples of the main entry are kept for what is decided on them later.
        methods: before the first sample, of those of them whose ranges are not made by min-max.
        rounding: how the model was trained to round.
    """

    tensors: Sequence[Tensor]
    by_channel: AbstractSet[Tensor] = frozenset()
    keep: int = 0
    methods: Mapping[Tensor, RangeMethod] = field(default_factory=dict)
    rounding: Rounding = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Calibration:
    """What came of it.

    Attributes:
        each: ranges of each entry.
        held: what each entry's samples leave for the certificate.
        kept: some samples of the main entry, in graph input order, by their number.
        inputs: some of the values that the float inputs were given.
        digest: SHA-256 of what tells the samples of each entry that calibrated from others (`Held.digest`).
        collected: what the statistics of each entry are made of; None where nothing was measured.
        views: of each entry.
        seen: what the values given to each input of each entry are like.
        left_out: numbers of samples of the main entry that count for nothing.
        elsewhere: whether other samples calibrated than those at hand, which only judge and refine; numbers are then those
            of a calibration file.
    """

    each: tuple[Stats, ...]
    held: tuple[Held, ...]
    kept: Mapping[int, list[Array]]
    inputs: InputValues
    digest: str
    collected: tuple[Collected | None, ...]
    views: tuple[Model, ...]
    seen: tuple[tuple[ValuesSeen, ...], ...]
    left_out: AbstractSet[int] = frozenset()
    elsewhere: bool = False

    @property
    def stats(self) -> Stats:
        """Ranges, over all entries."""
        return merge_entries(self.each)

    @property
    def count(self) -> int:
        """How many samples of the main entry made ranges."""
        main = self.collected[0]
        return main.count - len(self.left_out) if self.elsewhere and main is not None else self.held[0].calibrated

    def without(self, numbers: AbstractSet[int], held: AbstractSet[int]) -> Calibration:
        """The same without some samples of the main entry.

        Args:
            numbers: of samples that calibrated, in the order of calibration.
            held: places of samples held back.
        """
        main = self.collected[0]
        each = self.each if main is None else (finish(self.views[0], main.statistics(numbers)), *self.each[1:])
        own: AbstractSet[int] = frozenset() if self.elsewhere else numbers
        kept = {number: sample for number, sample in self.kept.items() if number not in own}
        return replace(
            self,
            each=each,
            held=self.held if self.elsewhere else (self.held[0].without(own, held), *self.held[1:]),
            kept=kept,
            inputs=self.inputs.without(numbers, self.views[0].main.inputs),
            left_out=numbers,
        )

    def growth(self) -> Mapping[Tensor, tuple[float, float]]:
        """See `Collected.growth`; of the main entry. Samples with a state between them depend on each other and show nothing."""
        main = self.collected[0]
        return {} if main is None or main.states else main.growth(self.left_out)


def calibrate_entries(
    model: Model,
    samples: Sequence[Samples],
    wanted: Wanted,
    worker: WorkerProcess,
    threads: int,
    progress: Progress,
    ready: Ready = lambda number, sample: sample,
    seed: int = 0,
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
        seed: of the draw of samples that are held back.
    """
    stats: list[Stats] = []
    held: list[Held] = []
    kept = Spread(wanted.keep, in_order=has_state(model))
    collected: list[Collected | None] = []
    seen = tuple(tuple(ValuesSeen(slot) for slot in own.inputs) for own in samples)
    views = tuple(view(model, graph) for graph in model.entries)
    inputs, in_order = InputValues(), has_state(model)
    for number, own in enumerate(views):
        given = (own, wanted.tensors, wanted.by_channel, worker, threads, wanted.methods, wanted.rounding)
        with Collector(*given) as collector:

            def add(index: int, sample: list[Array], run: int, number: int = number, collector: Collector = collector) -> None:
                inputs.add(index, model.entries[number].inputs, sample)
                for array, values in zip(sample, seen[number], strict=True):
                    values.add(array)
                if number == 0:
                    kept.add(index, sample)
                collector.add(index, ready(number, sample), samples[number].first_number(run))
                progress("calibrate", index + 1, samples[number].count)

            left = split(samples[number], add, seed, in_order=in_order)
            if left.held_back:
                for place, (sample, run) in enumerate(zip(left.samples, left.runs, strict=True)):
                    collector.add_held(place, ready(number, sample), samples[number].first_number(run))
            held.append(left)
            stats.append(finish(own, collector.finish()))
            collected.append(collector.collected)
    digest = digest_of_entries([left.digest for left in held])
    return Calibration(tuple(stats), tuple(held), kept.samples(), inputs, digest, tuple(collected), views, seen)


def digest_of_entries(digests: Sequence[bytes]) -> str:
    """What tells the samples of all entries from others, of what does so for each."""
    return hashlib.sha256(b"".join(digests)).hexdigest()
