"""Measuring ranges: the float model run over the representative samples, in one pass.

What is to be seen is computed inside the graph (`probes`), so that one small vector per sample leaves the network, and
XNNPACK still runs it. Memory does not depend on the number of samples.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

import numpy as np

from fullint.calibration.masks import softmax_inputs
from fullint.calibration.outermost import Outermost
from fullint.calibration.probes import Probe, Seen, measuring_model
from fullint.calibration.range_methods import MinMax, RangeMethod
from fullint.calibration.samples.bad_samples import blamed
from fullint.calibration.samples.numbering import Numbering
from fullint.calibration.statistics import Statistics, count_of, ranges_without, tensor_keys
from fullint.errors import RuntimeFailure, SamplesError
from fullint.model.ir import Array, Model, Tensor
from fullint.ops import ROWS
from fullint.ops.macs import total_macs
from fullint.passes.as_trained import Rounding, as_trained
from fullint.runtime.messages import FinishMeasuring, Measure, Sample
from fullint.runtime.process import WorkerProcess, model_file

MEANWHILE = 2
"""Samples that are read while the model is loaded."""
LARGE_MACS, LARGE_BYTES = 1_000_000_000, 256_000_000
"""Of a network, and of its constants: from here on all threads work on one sample, see `sample_runner`."""


@dataclass
class MeasuredVector:
    """Accumulates the measuring model's output.

    Attributes:
        ends: smallest and largest value of each place before the first method's.
        methods: for each stretch of values, its first place, the one after its last, and the method.
        highest, lowest: the largest values of these places, and of their negatives, with their samples.
        farthest: how far each stretch of places reaches in the direction that it shows, with samples.
        stretches: what `farthest` is made of: first places, and 1 or -1 for each place.
        not_finite: the first (sample, place) that was no finite number, if any.
        held: vectors of samples that are held back, by number; they make no range.
        held_methods: what `methods` are to all other samples, of these.
    """

    ends: MinMax
    methods: list[tuple[int, int, RangeMethod]]
    highest: Outermost
    lowest: Outermost
    farthest: Outermost
    stretches: tuple[Array, Array]
    not_finite: tuple[int, int] | None = None
    held: dict[int, Array] = field(default_factory=dict)
    held_methods: list[RangeMethod] = field(default_factory=list)

    def add(self, index: int, outputs: Sequence[Array]) -> None:
        """Take in one sample; one that is held back has a negative number (`held_number`)."""
        vector = outputs[0]
        places = vector[: self.ends.low.size]
        if index < 0:
            self.held[held_number(index)] = places.copy()
            for (start, stop, _), method in zip(self.methods, self.held_methods, strict=True):
                method.accumulate(vector[start:stop])
            return
        finite = np.isfinite(vector)
        if not finite.all():
            found = (index, int(np.argmin(finite)))
            self.not_finite = found if self.not_finite is None else min(self.not_finite, found)
        self.ends.accumulate(np.broadcast_to(places, (2, places.size)))
        self.highest.add(index, places)
        self.lowest.add(index, -places)
        self.farthest.add(index, self.reach(places))
        for start, stop, method in self.methods:
            method.accumulate(vector[start:stop])

    def reach(self, places: Array) -> Array:
        """How far each stretch of a sample's places reaches, float32 [stretches]."""
        first, sign = self.stretches
        reach: Array = np.maximum.reduceat(places * sign, first) if first.size else places
        return reach

    def merge(self, other: MeasuredVector) -> MeasuredVector:
        """What both have taken in."""
        methods = [(a, b, m.merge(o)) for (a, b, m), (_, _, o) in zip(self.methods, other.methods, strict=True)]
        bad = min((b for b in (self.not_finite, other.not_finite) if b is not None), default=None)
        return MeasuredVector(
            self.ends.merge(other.ends),
            methods,
            self.highest.merge(other.highest),
            self.lowest.merge(other.lowest),
            self.farthest.merge(other.farthest),
            self.stretches,
            bad,
            {**self.held, **other.held},
            [m.merge(o) for m, o in zip(self.held_methods, other.held_methods, strict=True)],
        )

    def without(self, numbers: AbstractSet[int]) -> MeasuredVector:
        """What the others have shown; methods that see all values keep what they have."""
        left = MinMax(-self.lowest.without(numbers), self.highest.without(numbers))
        known = np.isfinite(left.low) & np.isfinite(left.high)
        left.low, left.high = np.where(known, left.low, self.ends.low), np.where(known, left.high, self.ends.high)
        return replace(self, ends=left)


def held_number(index: int) -> int:
    """The number of a sample that is held back as messages have it, negative; and back."""
    return -1 - index


@dataclass(frozen=True, eq=False)
class Collected:
    """What a collector has gathered, from which statistics are made.

    Attributes:
        probes: what each stretch of the vector is.
        found: what the samples gave.
        keys: of the tensors.
        states: variables among them.
        numbers: of the samples, as ranges (first, one after the last).
    """

    probes: Sequence[Probe]
    found: MeasuredVector
    keys: Mapping[Tensor, str]
    states: AbstractSet[Tensor]
    numbers: Sequence[tuple[int, int]]

    @property
    def count(self) -> int:
        """How many samples there were."""
        return count_of(self.numbers)

    def statistics(self, without: AbstractSet[int] = frozenset()) -> Statistics:
        """What the samples have shown, or all but some of them."""
        found = self.found.without(without) if without else self.found
        return _statistics(self.probes, found, self.keys, self.states, ranges_without(self.numbers, without))

    def growth(self, without: AbstractSet[int] = frozenset()) -> dict[Tensor, tuple[float, float]]:
        """By what share the smallest and the largest value of each tensor lie farther out than those of half of the samples."""
        found: dict[Tensor, tuple[float, float]] = {}
        for number, p in enumerate(self.probes):
            if p.what in (Seen.VALUES, Seen.ROW):
                continue
            largest, more = self.found.farthest.growth(number, without)
            share = more / largest if largest > 0 else 0.0
            low, high = found.get(p.tensor, (0.0, 0.0))
            found[p.tensor] = (low, share) if p.what is Seen.HIGH else (share, high)
        return found


def probed(
    model: Model, tensors: Sequence[Tensor], by_channel: AbstractSet[Tensor], values: AbstractSet[Tensor]
) -> tuple[Model, list[Probe]]:
    """The measuring model of a graph (see `measuring_model`), with what is measured besides: states, rows of softmax inputs."""
    return measuring_model(model, [*tensors, *state_tensors(model)], by_channel, softmax_inputs(model), values)


class Collector:
    """Statistics of a model's tensors while samples come in, one `add` each; `finish` says what was found.

    Args:
        model: prepared float model with static shapes.
        tensors: float tensors of its graphs.
        by_channel: those of them to measure per channel.
        worker: a child process to run the samples in; it is this collector's from `with` to `finish`.
        threads: samples run at the same time.
        methods: before the first sample, of the tensors whose ranges are not made by min-max.
        rounding: how the model was trained to round.
    """

    def __init__(
        self,
        model: Model,
        tensors: Sequence[Tensor],
        by_channel: AbstractSet[Tensor],
        worker: WorkerProcess,
        threads: int,
        methods: Mapping[Tensor, RangeMethod] | None = None,
        rounding: Rounding | None = None,
    ) -> None:
        self.model, self.tensors, self.by_channel = model, tensors, by_channel
        self.worker, self.threads = worker, threads
        self.methods, self.states, self.rounding = methods or {}, state_tensors(model), rounding
        self.probes: list[Probe] = []
        self.numbers = Numbering()
        self.called = Numbering()
        self.called_held: dict[int, int] = {}
        self._path = ""
        self._opening = False
        self.collected: Collected | None = None
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Collector:
        if not self.tensors:
            return self
        measuring, self.probes = probed(self.model, self.tensors, self.by_channel, set(self.methods))
        if self.probes:  # none where the tensors are those of other entries
            together = is_large(self.model) or has_state(self.model)
            self._path = self._stack.enter_context(model_file(as_trained(measuring, self.rounding)))
            self.worker.send(Measure(self._path, self.threads, empty_vector(self.probes, self.methods), together))
            self._opening = True
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, index: int, arrays: Sequence[Array], number: int | None = None) -> None:
        """Run one sample, in graph input order.

        Args:
            index: in the order of calibration.
            arrays: the sample.
            number: what messages call it, if that is not `index`.
        """
        if len(self.numbers) >= MEANWHILE:
            self._opened()
        self.numbers.append(index)
        self.called.append(index if number is None else number)
        if self.probes:
            self.worker.post(Sample(index, list(arrays)))

    def add_held(self, index: int, arrays: Sequence[Array], number: int) -> None:
        """Run one sample that is held back: it makes no range, but shows whether it lies far outside of all."""
        if self.probes and not self.states:
            self._opened()
            self.called_held[held_number(index)] = number
            self.worker.post(Sample(held_number(index), list(arrays)))

    def _opened(self) -> None:
        """Wait until the model is loaded."""
        if self._opening:
            self._opening = False
            self.worker.receive(Measure)

    def _of_sample(self, failure: RuntimeFailure) -> Exception:
        """What to raise where a run failed: a sample with an index out of range may be to blame."""
        if failure.sample is None:
            return failure
        number, arrays = failure.sample
        if not any(a.dtype.kind in "iu" for a in arrays):
            return failure
        names = [t.name for t in self.model.main.inputs]
        return blamed(self.worker, self._path, names, arrays, self._called(number), failure)

    def _called(self, index: int) -> int:
        """What messages call a sample."""
        if index < 0:
            return self.called_held[index]
        before = sum(min(last, index) - min(first, index) for first, last in self.numbers.stretches)
        return self.called[before]

    def finish(self) -> Statistics:
        """What the samples have shown; `collected` then has what it is made of.

        Raises:
            SamplesError: a sample drives a tensor to NaN or infinity.
            RuntimeFailure: the runtime refuses the model or crashes on it.
        """
        if not self.probes:
            return Statistics(len(self.numbers), {}, numbers=tuple(self.numbers.stretches))
        self._opened()
        try:
            found = self.worker.call(FinishMeasuring())
        except RuntimeFailure as e:
            raise self._of_sample(e) from e
        assert isinstance(found, MeasuredVector)
        require_finite(self.probes, found, self._called)
        self.collected = Collected(self.probes, found, tensor_keys(self.model), set(self.states), self.numbers.stretches)
        return self.collected.statistics()


def require_finite(probes: Sequence[Probe], found: MeasuredVector, called: Callable[[int], int]) -> None:
    """Raise SamplesError where a sample drives a tensor to NaN or infinity; `called`: what messages call a sample."""
    if found.not_finite is None:
        return
    sample, position = found.not_finite
    tensor = next(p.tensor for p in probes if p.start <= position < p.start + p.size)
    raise SamplesError(f'sample {called(sample)} drives tensor "{tensor.name}" to a value that is not finite')


def is_large(model: Model) -> bool:
    """Whether all threads work on one sample."""
    constants = {t.buffer: t.buffer.data.nbytes for g in model.graphs for t in g.tensors if t.buffer is not None}
    return total_macs(model) >= LARGE_MACS or sum(constants.values()) >= LARGE_BYTES


def has_state(model: Model) -> bool:
    """Whether a run depends on the runs before it: their order then counts."""
    return any(op.kind == "ASSIGN_VARIABLE" or any(t.is_variable for t in op.values()) for _, op in model.ops())


def state_tensors(model: Model) -> list[Tensor]:
    """Variable operands whose largest value a row's `derive` needs."""
    return [
        t
        for op in model.main.ops
        if (row := ROWS.get(op.kind)) is not None and row.derive is not None
        for t in op.inputs
        if t is not None and t.is_variable and t.dtype == "float32"
    ]


def empty_vector(probes: Sequence[Probe], methods: Mapping[Tensor, RangeMethod]) -> MeasuredVector:
    """Before the first sample."""
    ends = [p for p in probes if p.what is not Seen.VALUES]
    places = sum(p.size for p in ends)
    values = [(p.start, p.start + p.size, copy.deepcopy(methods[p.tensor])) for p in probes if p.what is Seen.VALUES]
    highest, lowest, farthest = (Outermost.empty(n) for n in (places, places, len(ends)))
    of_held = [copy.deepcopy(method) for _, _, method in values]
    stretches = directions([(p.what, p.start, p.size) for p in ends])
    return MeasuredVector(MinMax.empty(places), values, highest, lowest, farthest, stretches, held_methods=of_held)


def directions(stretches: Sequence[tuple[Seen, int, int]]) -> tuple[Array, Array]:
    """First place of each stretch (what it shows, start, size) but those of values, and for each place 1 or -1: how it grows."""
    ends = [s for s in stretches if s[0] is not Seen.VALUES]
    first = np.array([start for _, start, _ in ends], np.int64)
    sign = np.repeat(np.array([-1 if what is Seen.LOW else 1 for what, _, _ in ends], np.float32), [size for *_, size in ends])
    return first, sign


def _statistics(
    probes: Sequence[Probe],
    found: MeasuredVector,
    keys: Mapping[Tensor, str],
    states: AbstractSet[Tensor],
    numbers: tuple[tuple[int, int], ...],
) -> Statistics:
    """What each stretch of the vector says of its tensor."""
    methods = {start: method for start, _, method in found.methods}
    ends: dict[str, MinMax] = {}
    rows: dict[str, MinMax] = {}
    ranges: dict[str, RangeMethod] = {}
    for p in probes:
        key = keys[p.tensor]
        if p.what is Seen.VALUES:
            ranges[key] = methods[p.start]
            continue
        low, high = (a[p.start : p.start + p.size].copy() for a in (found.ends.low, found.ends.high))
        if p.what is Seen.ROW:
            rows[key] = MinMax(low, high)
            continue
        own = ends.setdefault(key, MinMax(np.zeros(p.size, np.float32), np.zeros(p.size, np.float32)))
        if p.what is Seen.LOW:
            own.low = low
        elif p.what is Seen.NEGATED:
            own.low = -high
        else:
            own.high = high
    variables = {keys[t]: ends.pop(keys[t]) for t in states if keys[t] in ends}
    others = {key: ends[key] for key in ranges if key in ends}
    ranges |= {key: method for key, method in ends.items() if key not in ranges}
    return Statistics(count_of(numbers), ranges, others, rows, variables, numbers)
