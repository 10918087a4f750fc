"""A calibration whose samples are measured in shards, by workers: which shards there are, and one result of them all.

See `shards` for what one of them does.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, NamedTuple, Protocol

import numpy as np

from fullint.calibration.collect import Collected, empty_vector, has_state, probed, require_finite
from fullint.calibration.entry_stats import renumbered
from fullint.calibration.input_values import MOST, InputValues
from fullint.calibration.run import Calibration, Wanted, digest_of_entries
from fullint.calibration.samples import Held, Samples
from fullint.calibration.samples.held_back import KEPT, LEAST, Also, SamplesKnown, drawn, held_of
from fullint.calibration.samples.numbering import Numbering
from fullint.calibration.samples.spread import Spread
from fullint.calibration.samples.values_seen import ValuesSeen
from fullint.calibration.shards import DIGEST_BYTES, AsTaken, SampleFile, ShardJob, ShardResult, Shipped
from fullint.calibration.signatures import view
from fullint.calibration.statistics import finish, tensor_keys
from fullint.model.ir import Array, Model
from fullint.model.tflite import write_model
from fullint.options import Progress
from fullint.passes.as_trained import as_trained

MEASURE_SHARD = "fullint.calibration.shards:measure_shard"
SHARDS_EACH = 6
"""For each worker's thread: so many that a slow one keeps nobody waiting for long, and so few that starting costs little."""
FEWEST, MOST_RUNS = 256, 100_000
"""Runs of a shard; to start a process for one takes half a second."""
SHIPPED_BYTES = 64 * 2**20
"""Of the samples that are sent with a shard."""

Stretches = list[tuple[int, int]]


class _Part(NamedTuple):
    """Some runs of the source, and what `ShardJob` says of them."""

    runs: Stretches
    left_out: frozenset[int] = frozenset()
    again: bool = False
    held: bool = False


class Engine(Protocol):
    """What calls a function elsewhere, for many arguments."""

    @property
    def threads(self) -> int:
        """Calls at the same time."""

    def each(self, function: str, count: int, argument: Callable[[int], Any]) -> Iterator[tuple[int, Any]]:
        """(number, result) of each call, in the order in which they end."""


def can_be_sharded(model: Model, samples: Sequence[Samples], wanted: Wanted) -> bool:
    """Whether samples can be measured apart from one another.

    Their number has to be known, no run may depend on those before it, and each graph needs something to be measured.
    """
    if has_state(model) or not all(s.can_be_picked for s in samples):
        return False
    views = (view(model, graph) for graph in model.entries)
    return all(probed(own, wanted.tensors, wanted.by_channel, set(wanted.methods))[1] for own in views)


def calibrate_in_shards(
    model: Model,
    samples: Sequence[Samples],
    sources: Sequence[SampleFile | None],
    ready: Sequence[AsTaken],
    wanted: Wanted,
    engine: Engine,
    progress: Progress,
    seed: int = 0,
) -> Calibration:
    """What `run.calibrate_entries` finds, measured elsewhere.

    Args:
        model: prepared.
        samples: of each entry, that can be sharded.
        sources: of each entry, where workers read samples themselves; None where they are sent.
        ready: of each entry, makes a sample what the model takes; it goes to the workers.
        wanted: what to measure.
        engine: that calls the workers.
        progress: told of the samples that are done.
        seed: of the draw of samples that are held back.
    """
    kept = Spread(wanted.keep)
    inputs, held, each, collected, seen = InputValues(), [], [], [], []
    views = tuple(view(model, graph) for graph in model.entries)
    for number, own in enumerate(views):
        run = _Entry(own, samples[number], sources[number], ready[number], wanted, engine)
        found = run.measured(seed, progress)
        collected.append(found.collected(own, samples[number].first_number))
        left = run.held(found)
        held.append(left)
        each.append(finish(own, collected[-1].statistics()))
        seen.append(run.take_inputs(found, inputs))
        if number == 0:
            for index in range(len(found.runs)):
                kept.add(index, [])
    numbers = [*kept.samples()]
    main = held[0].calibrated_runs
    fetched = zip(numbers, _fetched(samples[0], [main[n] for n in numbers]), strict=True)
    digest = digest_of_entries([left.digest for left in held])
    return Calibration(tuple(each), tuple(held), dict(fetched), inputs, digest, tuple(collected), views, tuple(seen))


def _fetched(samples: Samples, runs: Iterable[int]) -> Iterator[list[Array]]:
    """Some runs, in one pass as long as they ascend: compressed files are read from their beginning."""
    part: list[int] = []
    for run in runs:
        if part and run < part[-1]:
            yield from samples.some(part)
            part = []
        part.append(run)
    yield from samples.some(part)


@dataclass(frozen=True, eq=False)
class _Measured:
    """What came of the shards of an entry.

    Attributes:
        results: in the order of calibration.
        runs: that calibrated, in that order.
        held_runs: those held back.
        known: all samples.
        digests: of all samples, uint8 [runs, DIGEST_BYTES].
        probes: of the measuring model.
    """

    results: Sequence[ShardResult]
    held: ShardResult | None
    runs: Numbering
    held_runs: Sequence[int]
    known: SamplesKnown
    digests: Array
    probes: Sequence[Any]

    def collected(self, own: Model, called: Callable[[int], int]) -> Collected:
        """What the samples have shown, numbered in the order of calibration.

        Args:
            own: the graph.
            called: what messages call a run.

        Raises:
            SamplesError: one drives a tensor to NaN or infinity.
        """
        found = functools.reduce(lambda one, other: one.merge(other), (r.found for r in self.results))
        require_finite(self.probes, found, called)
        found = renumbered(found, self.runs.places)
        if self.held is not None:
            found = replace(found, held=self.held.found.held, held_methods=self.held.found.held_methods)
        return Collected(self.probes, found, tensor_keys(own), set(), ((0, len(self.runs)),))


class _Entry:
    """The shards of one graph that is run."""

    def __init__(
        self, own: Model, samples: Samples, source: SampleFile | None, ready: AsTaken, wanted: Wanted, engine: Engine
    ) -> None:
        self.own, self.samples, self.source, self.ready, self.engine = own, samples, source, ready, engine
        measuring, self.probes = probed(own, wanted.tensors, wanted.by_channel, set(wanted.methods))
        self.model = write_model(as_trained(measuring, wanted.rounding))
        self.empty = empty_vector(self.probes, wanted.methods)
        assert samples.count is not None
        self.count = samples.count

    def measured(self, seed: int, progress: Progress) -> _Measured:
        """Measure all shards, those again that took what came again for new, and the samples that are held back."""
        rng = np.random.default_rng(seed)
        first = next(self.samples.some([0]))
        apart = drawn(self.count, first, rng)
        size = math.ceil(self.count / (SHARDS_EACH * self.engine.threads))
        size = min(max(size, FEWEST), MOST_RUNS)
        if self.source is None:
            size = min(size, max(SHIPPED_BYTES // max(sum(a.nbytes for a in first), 1), 1))
        shards = [(a, min(a + size, self.count)) for a in range(0, self.count, size)]
        parts = [_Part([s], frozenset(r for r in apart if s[0] <= r < s[1])) for s in shards]
        done, known, new, finished = dict[int, ShardResult](), SamplesKnown(), list[bool](), 0
        # those drawn are measured beside the others, since they are hardly ever like one before them
        for n, result in self._each([*parts, *_held(sorted(apart))]):
            done[n] = result
            if n < len(shards):
                finished += shards[n][1] - shards[n][0]
                progress("calibrate", finished, self.count)
            while len(new) < self.count and (digests := _next_digests(done, shards, len(new))) is not None:
                new += [known.is_new(digest.tobytes()) for digest in digests]
        held = [run for run in sorted(apart) if new[run]]
        late = held if len(held) < LEAST else []  # most of what was drawn had been seen before: it calibrates, after all others
        held = [] if late else held
        held_result = done.pop(len(shards), None)
        for n, result in self._again(shards, done, new, apart):
            done[n] = result
        results = [done[n] for n in range(len(shards))]
        results += [result for _, result in self._each([_Part(Numbering.of(late).stretches, again=True)] if late else [])]
        if len(held) != len(apart):
            held_result = next((result for _, result in self._each(_held(held))), None)
        runs = Numbering.of(run for result in results for run in result.calibrated)
        digests = np.concatenate([_digests(done[n]) for n in range(len(shards))])
        return _Measured(results, held_result, runs, held, known, digests, self.probes)

    def _again(
        self, shards: Sequence[tuple[int, int]], done: dict[int, ShardResult], new: Sequence[bool], apart: set[int]
    ) -> Iterator[tuple[int, ShardResult]]:
        """Shards that calibrated on samples which had come before, in another."""
        wrong, parts = [], []
        for n, (first, last) in enumerate(shards):
            left_out = frozenset(run for run in range(first, last) if not new[run] or run in apart)
            if [*done[n].calibrated] != [run for run in range(first, last) if run not in left_out]:
                wrong.append(n)
                parts.append(_Part([(first, last)], left_out, again=True))
        for i, result in self._each(parts):
            yield wrong[i], result

    def _each(self, parts: Sequence[_Part]) -> Iterator[tuple[int, ShardResult]]:
        def job(n: int) -> ShardJob:
            runs, left_out, again, held = parts[n]
            source: SampleFile | Shipped | None = self.source
            if source is None:
                samples = [s for first, last in runs for s in self.samples.some(range(first, last))]
                source = Shipped(self.samples.inputs, samples)
            return ShardJob(self.model, self.empty, self.ready, source, runs, left_out, again=again, held=held)

        for n, result in self.engine.each(MEASURE_SHARD, len(parts), job):
            for position, span in result.reach.items():
                self.samples.reach[position] = span.union(self.samples.reach.get(position, span))
            yield n, result

    def held(self, found: _Measured) -> Held:
        """The samples that are left for the certificate."""
        held = [*zip(found.held_runs, _fetched(self.samples, found.held_runs), strict=True)]
        also = Also()
        for number, sample in enumerate(_fetched(self.samples, islice(found.runs, KEPT))):
            if not also.add(number, sample):
                break
        order = np.fromiter(found.runs, np.int64, len(found.runs))
        digest = hashlib.sha256(found.digests[order].tobytes()).digest()
        return held_of(held, also.samples, found.runs, found.known, digest)

    def take_inputs(self, found: _Measured, values: InputValues) -> tuple[ValuesSeen, ...]:
        """Some of the values that the inputs were given, and what all are like."""
        seen = []
        for place, (t, slot) in enumerate(zip(self.own.main.inputs, self.samples.inputs, strict=True)):
            one = ValuesSeen(slot)
            for result in found.results:
                one.take(result.inputs[place].seen)
                for run, some in _first(result.inputs[place].taken, values.count.get(t, 0)):
                    values.take(t, int(found.runs.places(np.array([run]))[0]), some)
            seen.append(one)
        return tuple(seen)


def _held(runs: Sequence[int]) -> list[_Part]:
    """Samples that are held back, if there are any."""
    return [_Part(Numbering.of(runs).stretches, again=True, held=True)] if runs else []


def _digests(result: ShardResult) -> Array:
    """Of all its samples, uint8 [runs, DIGEST_BYTES]."""
    return np.frombuffer(result.digests, np.uint8).reshape(-1, DIGEST_BYTES)


def _next_digests(done: Mapping[int, ShardResult], shards: Sequence[tuple[int, int]], first: int) -> Array | None:
    """Digests of the shard that begins with a run; None where it is not measured yet."""
    number = first // (shards[0][1] - shards[0][0])
    return _digests(done[number]) if number in done else None


def _first(taken: Iterable[tuple[int, Array]], count: int) -> Iterator[tuple[int, Array]]:
    """The values that one run over all samples would still have kept."""
    for run, some in taken:
        if count >= MOST:
            return
        yield run, some
        count += some.size
