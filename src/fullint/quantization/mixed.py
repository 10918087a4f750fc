"""`--mixed`: 16 bits where they are cheap, until the result is as near to float as is wanted.

    noise(S) = 10^(-SQNR / 10) with the operators S in int16,  us(S) = sum of kernel times        both of a built model
    pieces p in the order of (noise() - noise(p)) / (us(p) - us()), each measured alone; then added one by one

A piece is what has to be wide together: operators that are cheap in int16 and feed one another (a tail of MEAN, RESHAPE,
FULLY_CONNECTED, SOFTMAX; a normalization), the ends of such a chain, or one layer with what reads it. On LiteRT a layer
takes a hundred times as long in int16. So pieces that would make the network `MOST_SLOWER` times as slow are left out; what
they would give, and cost, is measured and said.

Kernel times are a table and not a clock, so that the same input gives the same bytes. The clock is in the report.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from fullint.documents import many, spans
from fullint.errors import FullintError, UsageError
from fullint.model.ir import Op, Uses
from fullint.ops.kernel_times import kernel_us, model_us
from fullint.ops.macs import macs
from fullint.options.choices import ACCURACY
from fullint.quantization.build import build
from fullint.quantization.decide import decide
from fullint.quantization.judges import WORTH_DB, Judges, judges_in_time, judges_of
from fullint.quantization.latency import latency_ratio
from fullint.quantization.stage_values import Calibrated, MixedReport, MixedStep, Written
from fullint.quantization.trial_costs import trial_seconds
from fullint.quantization.variants import could_be_int16, in_int16
from fullint.quantization.workbench import Workbench
from fullint.targets import target_of
from fullint.verification.report import Accuracy

FEWEST_JUDGES, MOST_JUDGES = 8, 256
"""Behind a SOFTMAX a few ambiguous samples have most of the noise: a gain is known to 0.6 dB with 200 samples, to 1.4 with 40."""
MOST_SLOWER = 2.0
"""Times the latency of the all-int8 model up to which operators are chosen."""
LIGHT = 0.1
"""A layer whose time in int16 is at most this share of the whole int8 network belongs to chains, as what has no weights."""
SHORT = 8
"""Chains of at most so many operators are tried from every place to their end, longer ones from a few."""
MOST_PIECES = 64
MOST_DEAR = 16
"""Trials of pieces that cost too much."""
MOST_TRIAL_SECONDS = 30.0
"""Of one trial on all samples, as the table of kernel times has it."""
MARGIN_DB = 0.5
"""By which the bar is passed where it is what is wanted, since other samples judge in the end."""
CONFIRMED = 3
"""Times that weights are rounded anew to see what a choice really gives."""


def mix(bench: Workbench, calibrated: Calibrated) -> Calibrated:
    """The same with some operators named to compute in int16, where that was asked for."""
    options = calibrated.prepared.loaded.options
    if options.mixed is None:
        return calibrated
    wanted = None if options.mixed == ACCURACY else options.mixed_db
    with bench.trials("mixed"), bench.quietly():
        found = choose(bench, calibrated, wanted)
        chosen = in_int16(calibrated, found.chosen)
        before = replace(chosen.before, mixed=found) if chosen.before is not None else None  # where a search starts from
        entries = calibrated.prepared.loaded.entries
        said = (f"mixed: operators of the first of {len(entries)} signatures only are looked at",) if len(entries) > 1 else ()
        return replace(chosen, mixed=found, before=before, warnings=(*chosen.warnings, *said))


def could_mix(calibrated: Calibrated) -> bool:
    """Whether `--mixed` could do otherwise than the run did."""
    options = calibrated.prepared.loaded.options
    possible = options.activations == "int8" and target_of(options.target).int16 and not calibrated.prepared.pinned
    return options.mixed is None and possible


def seconds_to_mix(calibrated: Calibrated) -> float:
    """How long it takes to tell what `--mixed` would choose, about: each piece once, the samples that there are."""
    model, held = calibrated.model, calibrated.held[0]
    samples = min(judges_in_time(model, MOST_JUDGES), held.total)
    trials = min(len(model.main.ops), MOST_PIECES)
    return trials * trial_seconds(model, samples) + trial_seconds(model, samples, model.main.ops)


def would_reach(bench: Workbench, calibrated: Calibrated, missing_db: float) -> str:
    """What `--mixed` would make of a result that is not accurate enough, as a sentence; "" where no samples can tell.

    Args:
        bench: tools of the run.
        calibrated: what the result was decided on.
        missing_db: by how much it is below the bar.
    """
    options = calibrated.prepared.loaded.options
    try:
        found = choose(bench, calibrated, missing_db + MARGIN_DB, advice=True)
    except UsageError:
        return ""  # no samples can judge
    if not found.chosen:
        return f"--mixed would choose no operator: none is cheap in int16 and gives {WORTH_DB} dB"
    option = "--mixed" if found.before_sqnr_db < options.min_sqnr else f"--mixed {missing_db + MARGIN_DB:.1f}"
    reached = f"{found.after_sqnr_db:.1f} dB instead of {found.before_sqnr_db:.1f} on {many(found.samples, 'sample')}"
    return f"{option} would reach {reached}, at {found.predicted_latency:.2f} times the latency: operators {spans(found.chosen)}"


@dataclass(frozen=True, eq=False)
class _Tried:
    """Operators in int16, by their indices in the given file, and what comes of it."""

    origins: frozenset[int]
    sqnr: float
    us: float
    accuracy: Accuracy | None = None

    @property
    def noise(self) -> float:
        """Of the outputs, as a share of their signal."""
        return float(10 ** (-self.sqnr / 10))


def choose(bench: Workbench, calibrated: Calibrated, wanted: float | None, *, advice: bool = False) -> MixedReport:
    """Which operators compute in int16.

    Args:
        bench: tools of the run.
        calibrated: equalized.
        wanted: dB more than that has; 0: as many as `min_sqnr` asks for; None: as many right answers as those of the float model.
        advice: whether it is only to be said what is reached: nothing is tried that is too slow, or timed.

    Raises:
        UsageError: no samples can judge.
    """
    judges = judges_of(bench, calibrated, FEWEST_JUDGES, MOST_JUDGES)
    if isinstance(judges, str):
        raise UsageError(f"mixed: {judges}")
    return _Choice(bench, calibrated, judges, wanted).report(advice=advice)


class _Choice:
    """One search for operators, from an all-int8 model on."""

    def __init__(self, bench: Workbench, calibrated: Calibrated, judges: Judges, wanted: float | None) -> None:
        self.bench, self.judges, self.calibrated = bench, judges, calibrated
        options = calibrated.prepared.loaded.options
        assigned = decide(bench, calibrated)
        self.decided = assigned.calibrated
        self.factor = target_of(options.target).int16_factor
        self.on_litert = options.target == "litert"
        self.written = build(bench, assigned)
        self.base = self.now = self._seen(frozenset(), self.written)
        self.wanted = math.inf if wanted is None else self.base.sqnr + wanted if wanted else options.min_sqnr
        self.goal = self.wanted if wanted != 0 else self.wanted + MARGIN_DB
        self.pieces = list(pieces(could_be_int16(assigned), self.decided, self.base.us))[:MOST_PIECES]
        self.steps: list[MixedStep] = []

    def report(self, *, advice: bool) -> MixedReport:
        """Choose, and say what came of it."""
        alone = [] if self._reached(self.base, self.goal) else self._alone()
        aim = self.goal
        final, written = self.base, self.written
        for _ in range(CONFIRMED):
            self._add(alone, aim, MOST_SLOWER)
            if self.now.origins:
                written = self._anew(self.now.origins)
                final = self._seen(self.now.origins, written)
            if self._reached(final, self.goal) or not self._reached(self.now, aim) or aim == math.inf:
                break
            aim = self.now.sqnr + self.goal - final.sqnr
        chosen, kept = final.origins, self.now
        dear: tuple[MixedStep, ...] = ()
        if not self._reached(final, self.goal) and not advice:
            taken = len(self.steps)
            self._add(alone, self.goal + kept.sqnr - final.sqnr, math.inf)
            dear, self.steps = tuple(replace(s, kept=False) for s in self.steps[taken:]), self.steps[:taken]
        measured = None
        if chosen and self.on_litert and not advice:
            sample = self.judges.samples[0]
            measured = latency_ratio(self.bench.worker, self.written, written, sample)
        return MixedReport(
            wanted_sqnr_db=None if self.wanted == math.inf else round(self.wanted, 2),
            reached=self._reached(final, self.wanted),
            accuracy=final.accuracy,
            before_sqnr_db=round(self.base.sqnr, 2),
            after_sqnr_db=round(final.sqnr, 2),
            chosen=tuple(sorted(chosen)),
            steps=(*self.steps, *dear),
            predicted_latency=round(final.us / self.base.us, 3),
            measured_latency=measured,
            samples=len(self.judges.samples),
        )

    def _seen(self, origins: frozenset[int], written: Written) -> _Tried:
        sqnr, right = self.judges.sqnr_and_accuracy(self.bench.worker, written)
        return _Tried(origins, sqnr, model_us(written.emitted.model, self.factor), right)

    def _reached(self, tried: _Tried, aim: float) -> bool:
        """Whether it has so many dB; where accuracy is what is wanted, as many right answers as the float model."""
        if aim == math.inf and tried.accuracy is not None:
            return tried.accuracy.after >= tried.accuracy.before
        return tried.sqnr >= aim

    def _with(self, origins: frozenset[int]) -> _Tried | None:
        """These operators in int16, with weights carried over; None where no model comes of it, or it takes too long."""
        seconds = len(self.judges.samples) * sum(kernel_us(op, "int16") for op in self._ops(origins)) / 1e6
        if seconds > MOST_TRIAL_SECONDS:
            return None
        try:
            assigned = decide(self.bench, in_int16(self.calibrated, origins))
            return self._seen(origins, build(self.bench, assigned, self.written.refined))
        except FullintError:
            return None

    def _anew(self, origins: AbstractSet[int]) -> Written:
        """The result with these operators in int16, and weights rounded for it."""
        return build(self.bench, decide(self.bench, in_int16(self.calibrated, origins)))

    def _ops(self, origins: AbstractSet[int]) -> list[Op]:
        return [op for op in self.decided.model.main.ops if op.origin in origins]

    def _alone(self) -> list[_Tried]:
        """What each piece gives by itself, those first that give most for their time."""
        found = []
        for number, piece in enumerate(self.pieces):
            self.bench.told("mixed", number, len(self.pieces))
            tried = self._with(frozenset(op.origin for op in piece))
            if tried is not None and tried.sqnr > self.base.sqnr:
                found.append(tried)
        return sorted(found, key=lambda t: -(self.base.noise - t.noise) / max(t.us - self.base.us, 0.01))

    def _add(self, alone: Sequence[_Tried], aim: float, most_slower: float) -> None:
        """Add pieces, best first, until the aim is reached."""
        trials = 0
        for piece in alone:
            origins = self.now.origins | piece.origins
            too_slow = self.now.us + piece.us - self.base.us > most_slower * self.base.us
            if self._reached(self.now, aim) or trials >= MOST_DEAR:
                return
            if origins == self.now.origins or too_slow:
                continue
            trials += most_slower == math.inf
            tried = self._with(origins)
            if tried is None or tried.sqnr < self.now.sqnr + WORTH_DB or tried.us > most_slower * self.base.us:
                continue
            new = self._ops(origins - self.now.origins)
            self.steps.append(
                MixedStep(
                    operators=tuple(sorted(origins - self.now.origins)),
                    kinds=tuple(op.kind for op in new),
                    output=new[-1].output_name,
                    gain_db=round(tried.sqnr - self.now.sqnr, 2),
                    sqnr_db=round(tried.sqnr, 2),
                    latency=round(tried.us / self.base.us, 3),
                )
            )
            self.now = tried


def pieces(ops: Sequence[Op], calibrated: Calibrated, base_us: float) -> Iterator[tuple[Op, ...]]:
    """What may have to be wide together.

    Args:
        ops: that compute in int8 and could in int16.
        calibrated: with the graph they are in.
        base_us: time of the all-int8 network.
    """
    uses = Uses(calibrated.model.main)
    light = [op for op in ops if not macs(op) or kernel_us(op, "int16") <= LIGHT * base_us]
    chains = list(_chains(light, uses))
    for chain in chains:
        most = len(chain)
        starts = range(most) if most <= SHORT else (0, most // 2, *range(most - SHORT // 2, most))
        yield from (tuple(chain[i:]) for i in starts)
    for op in ops:
        if op in light:
            continue
        yield (op,)
        readers = {reader for t in op.outputs for reader, _ in uses.of(t)}
        behind = [o for chain in chains if not readers.isdisjoint(chain) for o in chain]
        if behind:
            yield (op, *behind)


def _chains(ops: Sequence[Op], uses: Uses) -> Iterator[list[Op]]:
    """Operators that feed one another, together, each group in order."""
    number = {op: i for i, op in enumerate(ops)}
    group = list(range(len(ops)))

    def root(i: int) -> int:
        while group[i] != i:
            i = group[i]
        return i

    for op, i in number.items():
        for t in op.inputs:
            made = uses.producer.get(t) if t is not None else None
            if made is not None and made in number:
                a, b = root(i), root(number[made])
                group[max(a, b)] = min(a, b)
    for i in range(len(ops)):
        if root(i) == i:
            yield [op for op, j in number.items() if root(j) == i]
