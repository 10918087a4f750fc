"""What one graph's samples have shown, under names that survive a new export (`value_keys`): a part of a calibration file.

samples 0 1 2 3 4 5 ... of A      calibrating: 0 1 3 4 ..., held back: 2 ...
.folded()                     all of them, numbered by their place in A: what a run without any held back would have
A.folded, B.folded                merge: B's numbers behind A's, as one run over A and then B would have
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from fullint.calibration.collect import MeasuredVector, directions, held_number
from fullint.calibration.input_values import MOST
from fullint.calibration.probes import Seen
from fullint.calibration.range_methods import MinMax, RangeMethod
from fullint.calibration.samples.numbering import Numbering
from fullint.calibration.samples.values_seen import Counted
from fullint.calibration.statistics import count_of, joined_ranges
from fullint.errors import UsageError
from fullint.model.ir import Array

_Both = tuple[RangeMethod, RangeMethod | None]


class Stretch(NamedTuple):
    """A stretch of the measured vector: whose it is, what it shows, and how long it is; `name` is for messages."""

    key: str
    what: Seen
    size: int
    name: str

    @property
    def place(self) -> tuple[str, Seen]:
        """What it is found by."""
        return self.key, self.what


@dataclass(frozen=True, eq=False)
class InputStats:
    """What an input was given.

    Attributes:
        taken: (number of a sample, some of its values); numbers are those of `EntryStats.found`.
        seen, held_seen: what all values are like of samples that calibrated, and of those held back.
    """

    taken: tuple[tuple[int, Array], ...]
    seen: Counted
    held_seen: Counted = field(default_factory=Counted)


@dataclass(frozen=True, eq=False)
class EntryStats:
    """What the samples of one graph have shown.

    Attributes:
        stretches: what `found` is made of, values last.
        found: what was measured; None where the graph has nothing to be measured.
        inputs: of the graph, in order.
        numbers: of the samples that calibrated, as they are called in `found`: ranges (first, one after the last).
        runs: the runs of the source that these numbers stand for, from 0 on; None where the numbers are the runs.
        held_runs: runs that were held back.
        total: runs of the source.
        digest: tells the samples that calibrated from others.
    """

    stretches: tuple[Stretch, ...]
    found: MeasuredVector | None
    inputs: tuple[InputStats, ...]
    numbers: tuple[tuple[int, int], ...]
    runs: Numbering | None
    held_runs: tuple[int, ...]
    total: int
    digest: bytes

    @property
    def count(self) -> int:
        """How many samples calibrated."""
        return count_of(self.numbers)

    def folded(self) -> EntryStats:
        """The same with the samples that were held back among the others, numbered by runs."""
        if self.runs is None:
            return self
        runs = self.runs
        numbers = joined_ranges(sorted([*runs.stretches, *((run, run + 1) for run in self.held_runs)]))
        found = None if self.found is None else _folded(self.found, runs, self.held_runs)
        inputs = tuple(self._folded_input(one, runs) for one in self.inputs)
        digest = hashlib.sha256(self.digest + repr(self.held_runs).encode()).digest()
        return replace(self, found=found, inputs=inputs, numbers=numbers, runs=None, held_runs=(), digest=digest)

    def _folded_input(self, one: InputStats, runs: Numbering) -> InputStats:
        held = {held_number(place): run for place, run in enumerate(self.held_runs)}
        taken = sorted(((held[n] if n < 0 else runs[n], values) for n, values in one.taken), key=lambda pair: pair[0])
        return InputStats(tuple(_most(taken)), one.seen.merge(one.held_seen))

    def merge(self, other: EntryStats) -> EntryStats:
        """What both have seen, as one run over the samples of this one and then of the other.

        Raises:
            UsageError: they are of different networks, or were measured differently.
        """
        one, two = self.folded(), other.folded()
        if len(one.inputs) != len(two.inputs) or (one.found is None) is not (two.found is None):
            raise UsageError("statistics of different networks cannot be merged")
        found = None
        if one.found is not None and two.found is not None:
            theirs = arranged(two, one.stretches)
            found = one.found.merge(renumbered(theirs, lambda numbers: numbers + one.total))
        inputs = []
        for a, b in zip(one.inputs, two.inputs, strict=True):
            later = [(n + one.total, values) for n, values in b.taken]
            inputs.append(InputStats(tuple(_most([*a.taken, *later])), a.seen.merge(b.seen)))
        numbers = joined_ranges([*one.numbers, *((a + one.total, b + one.total) for a, b in two.numbers)])
        digest = hashlib.sha256(one.digest + two.digest).digest()
        return EntryStats(one.stretches, found, tuple(inputs), numbers, None, (), one.total + two.total, digest)


def arranged(entry: EntryStats, wanted: Sequence[Stretch]) -> MeasuredVector:
    """What was measured, in another order of stretches; those that are not wanted are left out.

    Raises:
        UsageError: something that is wanted was not measured, or otherwise; it names the first such value.
    """
    found = entry.found
    assert found is not None
    known: dict[tuple[str, Seen], tuple[int, int, Stretch]] = {}
    for number, (start, s) in enumerate(with_starts(entry.stretches)):
        known.setdefault(s.place, (number, start, s))
    methods = {start: pair for (start, _, *_), pair in zip(found.methods, _both(found), strict=True)}
    places, stretches, chosen = [np.empty(0, np.int64)], list[int](), list[tuple[int, int, _Both]]()
    for at, s in with_starts(wanted):
        if s.place not in known:
            raise UsageError(f'there is nothing of "{s.name}"')
        number, start, there = known[s.place]
        if there.size != s.size:
            raise UsageError(f'"{s.name}" was measured in {there.size} places, not in {s.size}')
        if s.what is Seen.VALUES:
            chosen.append((at, at + s.size, methods[start]))
        else:
            places.append(np.arange(start, start + s.size))
            stretches.append(number)
    where = np.concatenate(places)
    return replace(
        found,
        ends=MinMax(found.ends.low[where], found.ends.high[where]),
        methods=[(start, stop, method) for start, stop, (method, _) in chosen],
        highest=found.highest.at(where),
        lowest=found.lowest.at(where),
        farthest=found.farthest.at(np.array(stretches, np.int64)),
        stretches=directions([(s.what, start, s.size) for start, s in with_starts(wanted)]),
        held={number: vector[where] for number, vector in found.held.items()},
        held_methods=[held for _, _, (_, held) in chosen if held is not None],
    )


def _both(found: MeasuredVector) -> Iterator[_Both]:
    """Each method, with what it is to samples held back, if there are any."""
    held: list[RangeMethod | None] = [*found.held_methods] or [None for _ in found.methods]
    return ((method, other) for (_, _, method), other in zip(found.methods, held, strict=True))


def with_starts(stretches: Iterable[Stretch]) -> Iterator[tuple[int, Stretch]]:
    """Each with its first place."""
    at = 0
    for s in stretches:
        yield at, s
        at += s.size


def renumbered(found: MeasuredVector, number: Callable[[Array], Array]) -> MeasuredVector:
    """The same with other numbers of its samples; see `Outermost.renumbered`."""
    highest, lowest, farthest = (o.renumbered(number) for o in (found.highest, found.lowest, found.farthest))
    return replace(found, highest=highest, lowest=lowest, farthest=farthest)


def _folded(found: MeasuredVector, runs: Numbering, held_runs: Sequence[int]) -> MeasuredVector:
    new = replace(renumbered(found, runs.at), ends=copy.copy(found.ends), methods=[], held={}, held_methods=[])
    for place, vector in sorted(found.held.items()):
        new.add(held_runs[place], [vector])
    merged = (method if held is None else method.merge(held) for method, held in _both(found))
    return replace(new, methods=[(start, stop, m) for (start, stop, _), m in zip(found.methods, merged, strict=True)])


def _most(taken: Sequence[tuple[int, Array]]) -> Iterator[tuple[int, Array]]:
    """The first values, as many as are kept of one run over all samples."""
    count = 0
    for number, values in taken:
        if count >= MOST:
            return
        yield number, values
        count += values.size
