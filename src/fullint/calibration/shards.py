"""One calibration in shards, each measured anywhere: bit for bit what one run over all samples measures.

    runs 0 ... n of the source       [0, 5000)      [5000, 10000)    ...          shards
    each, somewhere                  measure_shard(ShardJob) -> ShardResult       ranges, histograms, digests of its samples
    here, in the order of the runs   which samples are like one before them, of any shard?
                                     those that a shard took for new: it is measured once more without them
                                     all results: merged, numbered as one run would have

A shard leaves out the runs that are held back, which are drawn before, by their number alone, and what comes again in itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fullint.calibration.collect import MeasuredVector, held_number
from fullint.calibration.entry_stats import InputStats
from fullint.calibration.input_values import MOST, some_values
from fullint.calibration.samples import Reading, Slot, open_samples
from fullint.calibration.samples.held_back import SamplesKnown, digest_of
from fullint.calibration.samples.numbering import Numbering
from fullint.calibration.samples.values_seen import ValuesSeen
from fullint.errors import RuntimeFailure, UsageError
from fullint.model.ir import Array
from fullint.model.ranges import Range
from fullint.runtime.interpreter import ends_of, invoke, open_interpreter
from fullint.temporary import temporary_file

DIGEST_BYTES = 16
AsTaken = Callable[[list[Array]], list[Array]]
"""A sample as it was given -> as the model takes it; another process can have the function."""


@dataclass(frozen=True, eq=False)
class SampleFile:
    """Samples that a worker opens where they lie.

    Attributes:
        path: as the user gave it, absolute.
        inputs: of the model.
        reading: how they are read.
    """

    path: str
    inputs: Sequence[Slot]
    reading: Reading

    @classmethod
    def of(cls, given: Any, inputs: Sequence[Slot], reading: Reading) -> SampleFile:
        """What a user gave as samples.

        Raises:
            UsageError: they are in no file.
        """
        if not isinstance(given, str | Path):
            raise UsageError("shared: samples that workers read are files or folders; leave it out to send them")
        return cls(str(Path(given).absolute()), inputs, reading)

    def runs(self, stretches: Sequence[tuple[int, int]], reach: dict[int, Range]) -> Iterator[tuple[int, list[Array]]]:
        """(run, sample) of some runs; `reach` gets what `Samples.reach` has."""
        opened = replace(open_samples(self.path, self.inputs, self.reading), reach=reach)
        for first, last in stretches:
            yield from enumerate(opened.some(range(first, last)), first)


@dataclass(frozen=True, eq=False)
class Shipped:
    """Samples that come with the job.

    Attributes:
        inputs: of the model.
        samples: one for each run of the job.
    """

    inputs: Sequence[Slot]
    samples: Sequence[list[Array]]

    def runs(
        self,
        stretches: Sequence[tuple[int, int]],
        reach: dict[int, Range],  # noqa: ARG002 - as SampleFile has it
    ) -> Iterator[tuple[int, list[Array]]]:
        """(run, sample) of the job's runs; how far they reach is known where they come from."""
        return zip((run for first, last in stretches for run in range(first, last)), self.samples, strict=True)


@dataclass(frozen=True, eq=False)
class ShardJob:
    """What one worker is to measure.

    Attributes:
        model: the measuring model.
        empty: what its outputs go to.
        ready: makes a sample what the measuring model takes.
        source: of the samples.
        runs: of the source, as ranges (first, one after the last).
        left_out: runs that do not calibrate.
        again: whether `left_out` has all that come again; else what comes again among these runs is left out besides.
        held: whether these runs are held back, and are numbered by their place; then, `again` is set.
    """

    model: bytes
    empty: MeasuredVector
    ready: AsTaken
    source: SampleFile | Shipped
    runs: Sequence[tuple[int, int]]
    left_out: frozenset[int] = frozenset()
    again: bool = False
    held: bool = False


@dataclass(frozen=True, eq=False)
class ShardResult:
    """What a worker has measured.

    Attributes:
        found: numbered by runs.
        digests: of all samples, `DIGEST_BYTES` each.
        calibrated: the runs that calibrated.
        inputs: what these were given; numbered by runs.
        reach: see `Samples.reach`.
    """

    found: MeasuredVector
    digests: bytes
    calibrated: Numbering
    inputs: tuple[InputStats, ...]
    reach: dict[int, Range]


def measure_shard(job: ShardJob) -> ShardResult:
    """Measure a shard, one sample after the other, on one core.

    Raises:
        SamplesError: a sample does not fit.
        RuntimeFailure: the runtime does not run one.
    """
    found, known, calibrated, digests = job.empty, SamplesKnown(), Numbering(), bytearray()
    seen = [ValuesSeen(slot) for slot in job.source.inputs]
    taken: list[list[tuple[int, Array]]] = [[] for _ in seen]
    counts, reach = [0 for _ in seen], dict[int, Range]()
    with temporary_file(".tflite") as path:
        path.write_bytes(job.model)
        runner = open_interpreter(str(path), "xnnpack", 1)
        ends, outputs = ends_of(runner)
        for place, (run, sample) in enumerate(job.source.runs(job.runs, reach)):
            digest = digest_of(sample)
            digests += digest
            new = job.again or known.is_new(digest)
            if not new or run in job.left_out:
                continue
            for i, array in enumerate(sample):
                seen[i].add(array)
                if array.dtype == np.float32 and counts[i] < MOST:
                    taken[i].append((run, some_values(array)))
                    counts[i] += taken[i][-1][1].size
            try:
                invoke(runner, job.ready(sample), ends)
            except (RuntimeError, ValueError) as e:
                raise RuntimeFailure(f"sample {run}: {e}") from e
            found.add(held_number(place) if job.held else run, [runner.get_tensor(i) for i in outputs])
            calibrated.append(run)
    inputs = tuple(InputStats(tuple(t), s.counted) for t, s in zip(taken, seen, strict=True))
    return ShardResult(found, bytes(digests), calibrated, inputs, reach)
