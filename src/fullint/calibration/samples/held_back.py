"""Samples split into those that calibrate and those held back for the certificate.

20 samples or more      a tenth, 4 to 64, drawn at random with a seed, is held back; the others calibrate
fewer                   all of them calibrate, and all of them judge
samples in sequence     (of a model with state) the last tenth is held back

A sample that is the same as an earlier one says nothing new: it calibrates once, and is never both calibrated on and held back.
Of more than `REMEMBERED` different samples, only the first are told again, so that memory does not grow with their number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from fullint.calibration.samples.numbering import Numbering
from fullint.calibration.samples.stream import Samples
from fullint.errors import SamplesError
from fullint.model.ir import Array

SHARE, LEAST, MOST, FROM = 10, 4, 64, 20
"""One of `SHARE` samples is held back, at least `LEAST`, at most `MOST`; none of fewer than `FROM`."""
BUFFERED = 40
"""Of a stream of unknown length, the first are put by until it is known how many may be held back."""
HELD_BYTES = 256 * 2**20
"""Of samples held back, beyond the first `LEAST`."""
KEPT, KEPT_BYTES = 256, 64 * 2**20
"""Most calibrated samples, and bytes of them, that are kept to judge where those held back are too few."""
REMEMBERED = 65_536
"""Different samples that are known again when they come once more."""

Numbered = tuple[int, list[Array]]
Calibrate = Callable[[int, list[Array], int], None]
"""Takes a sample: (number in the order of calibration, sample, run of the source)."""


@dataclass(frozen=True)
class Held:
    """The samples for the certificate, after the others have calibrated.

    Attributes:
        samples: the samples held back, arrays in graph input order; where none are, all samples.
        runs: for each of them, which run of the source it is.
        calibrated: number of samples that calibrated.
        total: number of all samples.
        held_back: whether `samples` took no part in calibration.
        drawn: whether `samples` are random because none were given.
        also: some that calibrated (number in the order of calibration, sample), where `samples` did not.
        calibrated_runs: for each sample that calibrated, which run of the source it is.
        most_alike: how often the most frequent sample comes.
        distinct: number of samples that differ from all earlier ones.
        digest: SHA-256 over the digests (`digest_of`) of the samples that calibrated, in their order.
    """

    samples: Iterable[list[Array]]
    runs: tuple[int, ...] = ()
    calibrated: int = 0
    total: int = 0
    held_back: bool = True
    drawn: bool = False
    also: tuple[Numbered, ...] = ()
    calibrated_runs: Numbering = field(default_factory=Numbering)
    most_alike: int = 1
    distinct: int = 0
    digest: bytes = b""

    def without(self, numbers: AbstractSet[int], held: AbstractSet[int]) -> Held:
        """The same without some samples.

        Args:
            numbers: of samples that calibrated, in the order of calibration.
            held: places among `samples`.
        """
        gone = held if self.held_back else numbers  # where none is held back, those that calibrated judge, in their order
        left = [pair for place, pair in enumerate(zip(self.samples, self.runs, strict=True)) if place not in gone]
        also = tuple(pair for pair in self.also if pair[0] not in numbers)
        enough = len(left) >= LEAST or not self.held_back
        if not enough:  # nearly all that was held back is left out: all others judge
            left += [(sample, self.calibrated_runs[number]) for number, sample in also]
        return replace(
            self,
            samples=[sample for sample, _ in left],
            runs=tuple(run for _, run in left),
            calibrated=self.calibrated - len(numbers),
            held_back=self.held_back and enough,
            also=also if enough else (),
        )


def split(samples: Samples, calibrate: Calibrate, seed: int = 0, *, in_order: bool = False) -> Held:
    """Call `calibrate` with (index, sample, run) for each calibration sample, and return the others.

    Args:
        samples: all of them.
        calibrate: takes one.
        seed: of the draw.
        in_order: whether they follow one another: the last are held back then, and none counts as repeated.

    Raises:
        SamplesError: there are none, or one does not fit.
    """
    seen = SamplesKnown(count=not in_order)
    division = _Division(calibrate)
    for one, held in _in_sequence(samples, seen) if in_order else _drawn(samples, seen, np.random.default_rng(seed)):
        division.add(one, held=held)
    return division.done(seen)


class _New(NamedTuple):
    """A sample that is like none before: which run of the source it is, and what tells it from others."""

    run: int
    sample: list[Array]
    digest: bytes


class SamplesKnown:
    """What samples there were, so that one that comes again is not used again.

    Args:
        count: whether samples that are alike count as the same.
    """

    def __init__(self, *, count: bool = True) -> None:
        self.total = self.distinct = 0
        self.times: dict[bytes, int] = {}
        self.count = count

    def is_new(self, digest: bytes) -> bool:
        """Take in the next sample; whether it is like none before."""
        self.total += 1
        times = self.times.get(digest, 0) if self.count else 0
        self.distinct += not times
        if times or (self.count and len(self.times) < REMEMBERED):
            self.times[digest] = times + 1
        return not times

    def new(self, samples: Iterable[list[Array]]) -> Iterator[_New]:
        """The samples that are like none before."""
        for run, sample in enumerate(samples):
            digest = digest_of(sample)
            if self.is_new(digest):
                yield _New(run, sample, digest)


class Also:
    """The first samples that calibrated, as many as may be kept to judge."""

    def __init__(self) -> None:
        self.samples: list[Numbered] = []
        self._bytes = 0

    def add(self, number: int, sample: list[Array]) -> bool:
        """Keep a sample, if there is room for it."""
        size = sum(a.nbytes for a in sample)
        few = len(self.samples) < LEAST
        if not few and (len(self.samples) >= KEPT or self._bytes + size > KEPT_BYTES):
            return False
        self.samples.append((number, sample))
        self._bytes += size
        return True


class _Division:
    """Takes samples one by one, each known to be held back or not."""

    def __init__(self, calibrate: Calibrate) -> None:
        self.calibrate = calibrate
        self.held: list[_New] = []
        self.also = Also()
        self.runs = Numbering()
        self.digest = hashlib.sha256()

    def add(self, one: _New, *, held: bool) -> None:
        """Hold a sample back, or calibrate on it."""
        if held:
            self.held.append(one)
        else:
            self._calibrate(one)

    def _calibrate(self, one: _New) -> None:
        self.also.add(len(self.runs), one.sample)
        self.digest.update(one.digest)
        self.calibrate(len(self.runs), one.sample, one.run)
        self.runs.append(one.run)

    def done(self, seen: SamplesKnown) -> Held:
        """What is left for the certificate."""
        if not seen.total:
            raise SamplesError("there are no samples: give at least one")
        if len(self.held) < LEAST:  # most of what was drawn had been seen before
            fewer, self.held = self.held, []
            for one in fewer:
                self._calibrate(one)
        return held_of([one[:2] for one in self.held], self.also.samples, self.runs, seen, self.digest.digest())


def held_of(held: Sequence[Numbered], also: Sequence[Numbered], runs: Numbering, known: SamplesKnown, digest: bytes) -> Held:
    """What is left for the certificate.

    Args:
        held: (run, sample) of those held back; none where all calibrate.
        also: (number in the order of calibration, sample) of some that calibrated.
        runs: that calibrated, in their order.
        known: all samples.
        digest: of those that calibrated.
    """
    judging = [*held] or [(runs[number], sample) for number, sample in also]
    return Held(
        [sample for _, sample in judging],
        tuple(run for run, _ in judging),
        len(runs),
        known.total,
        bool(held),
        also=tuple(also) if held else (),
        calibrated_runs=runs,
        most_alike=max(known.times.values(), default=1),
        distinct=known.distinct,
        digest=digest,
    )


def digest_of(sample: Sequence[Array]) -> bytes:
    """What tells a sample from others."""
    made = hashlib.sha256()  # the fastest where the CPU has instructions for it, as most have
    for array in sample:
        made.update(np.ascontiguousarray(array).data)
    return made.digest()[:16]


def _drawn(samples: Samples, seen: SamplesKnown, rng: np.random.Generator) -> Iterator[tuple[_New, bool]]:
    """The samples, each with whether it is drawn to be held back."""
    count = samples.count
    if count is None:
        yield from _drawn_of_stream(seen.new(samples), rng)
        return
    chosen: set[int] | None = None
    for one in seen.new(samples):
        if chosen is None:
            chosen = drawn(count, one.sample, rng)
        yield one, one.run in chosen


def drawn(count: int, sample: Sequence[Array], rng: np.random.Generator) -> set[int]:
    """Which runs of so many are held back, the samples being as large as one of them."""
    return {int(i) for i in rng.permutation(count)[: _held_back(count, sample)]}


def _drawn_of_stream(samples: Iterable[_New], rng: np.random.Generator) -> Iterator[tuple[_New, bool]]:
    """`_drawn` for a stream of unknown length: one of each ten, and later ones in the place of earlier ones.

    What is held back is only known at the end of the stream, so that it comes last.
    """
    held: list[_New] = []
    block: list[_New] = []
    seen = 0
    for number, one in enumerate(samples):
        block.append(one)
        if number + 1 < BUFFERED or len(block) < SHARE:
            continue
        if number + 1 == BUFFERED:
            held = [block.pop(i) for i in sorted((int(i) for i in rng.permutation(BUFFERED)[:LEAST]), reverse=True)]
        else:
            candidate = block.pop(int(rng.integers(SHARE)))
            if len(held) < _most(candidate.sample):
                held.append(candidate)
            else:  # each candidate so far has the same chance to stay
                place = int(rng.integers(seen + 1))
                if place < len(held):
                    held[place], candidate = candidate, held[place]
                block.append(candidate)
        seen = max(seen + 1, len(held))
        yield from ((one, False) for one in block)
        block = []
    if not held and block:  # the whole stream is here
        count = len(block)
        held = [block[int(i)] for i in rng.permutation(count)[: _held_back(count, block[0].sample)]]
    runs = {one.run for one in held}
    yield from ((one, False) for one in block if one.run not in runs)
    yield from ((one, True) for one in sorted(held, key=lambda one: one.run))


def _in_sequence(samples: Samples, seen: SamplesKnown) -> Iterator[tuple[_New, bool]]:
    """The samples in their order, the last tenth to be held back."""
    waiting: list[_New] = []
    for one in seen.new(samples):
        if samples.count is not None:
            yield one, one.run >= samples.count - _held_back(samples.count, one.sample)
            continue
        waiting.append(one)
        while one.run + 1 >= FROM and len(waiting) > _held_back(one.run + 1, one.sample):
            yield waiting.pop(0), False
    enough = seen.total >= FROM
    yield from ((one, enough) for one in waiting)


def _held_back(count: int, sample: Sequence[Array]) -> int:
    """How many of so many samples are held back."""
    return 0 if count < FROM else max(LEAST, min(_most(sample), count // SHARE))


def _most(sample: Sequence[Array]) -> int:
    size = max(sum(a.nbytes for a in sample), 1)
    return max(LEAST, min(MOST, HELD_BYTES // size))
