"""`sensitivity`: the run of `quantize` up to its result, and then variants of it, unit by unit.

    all integer                          SQNR, sum of all noise
    all integer but unit i in float      what keeping it in float gives back
    all integer, unit i in int16         what 16 bits give back, and cost
    all float but unit i in integers     its own noise, whatever the others do

Ranges are measured once. A variant decides, rounds weights and writes anew; where that would take long, weights are carried
over. What the worst units give together is always measured with weights rounded for it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from fullint.documents import many
from fullint.errors import UsageError
from fullint.ops import has_int16
from fullint.options import SensitivityOptions, reported, takes, with_recipe
from fullint.quantization.build import build
from fullint.quantization.decide import decide
from fullint.quantization.judges import WORTH_DB, judges_of
from fullint.quantization.load import load, require_float, split
from fullint.quantization.pipeline import DECIDE, Stage
from fullint.quantization.refine import Refined
from fullint.quantization.stage_values import Calibrated, Request
from fullint.quantization.variants import could_be_float, in_float, in_int16
from fullint.quantization.workbench import Workbench
from fullint.reporting import SCHEMA_VERSION
from fullint.runtime.damaged_models import diagnosing
from fullint.sensitivities.forms import ALONE, FLOAT, INT16, float_but, form_of
from fullint.sensitivities.report import Remedy, SensitivityReport, UnitCost
from fullint.sensitivities.trials import Outcome, Trials, Variant
from fullint.sensitivities.units import Unit, units_of
from fullint.targets import target_of
from fullint.verification.metrics import decibels
from fullint.version import __version__

__all__ = ["SensitivityReport", "sensitivity"]

FEWEST_JUDGES, MOST_JUDGES = 4, 256
PATIENCE_SECONDS = 60.0
"""For rounding weights anew in each trial; where it takes longer, they are carried over."""
CHEAP = 1.2
"""Times the latency up to which int16 of one unit is a remedy."""
BEFORE: tuple[Stage, ...] = (load, require_float, split, *DECIDE[:-1])
"""From a file to ranges of what is to be decided."""

Key = TypeVar("Key", bound=Hashable)
UnitTrial = tuple[Unit, str]


@takes(SensitivityOptions)
@diagnosing
def sensitivity(options: SensitivityOptions) -> SensitivityReport:
    """What each operator, layer or block costs in accuracy, and what float or int16 in its place would give back.

    Raises:
        NotIntegerError: operators that cannot be integer; its `blockers` names each.
        SamplesError, ModelFormatError, UsageError, RuntimeFailure: bad samples, file or options, or a model that the runtime
            does not run.
    """
    options = with_recipe(options)
    start = time.monotonic()
    with Workbench(options.progress) as bench:
        value: Any = Request(options)
        for stage in BEFORE:
            value = stage(bench, value)
        with bench.trials("sensitivity"), bench.quietly():
            found = _Search(bench, value, options, start).report()
    return replace(found, seconds=round(time.monotonic() - start, 2))


@dataclass(eq=False)
class _Cost:
    """What is known of a unit so far."""

    unit: Unit
    found: dict[str, Outcome | None]

    def gain(self, how: str, base: float) -> float | None:
        measured = self.found.get(how)
        return None if measured is None else measured.sqnr - base


class _Search:
    """One run of trials."""

    def __init__(self, bench: Workbench, calibrated: Calibrated, options: SensitivityOptions, start: float) -> None:
        judges = judges_of(bench, calibrated, FEWEST_JUDGES, MOST_JUDGES)
        if isinstance(judges, str):
            raise UsageError(f"sensitivity: {judges}")
        if not any(t.is_float for t in calibrated.model.main.outputs):
            raise UsageError("sensitivity: the model has no float output, in which noise could be measured")
        self.bench, self.calibrated, self.options, self.judges = bench, calibrated, options, judges
        self.end = math.inf if options.budget is None else start + options.budget
        self.factor = target_of(options.target).int16_factor
        self.ops = could_be_float(calibrated)
        self.costs = [_Cost(unit, {}) for unit in units_of(self.ops, str(options.by))]
        self.notes: list[str] = []
        self.interrupted = False
        self.known: tuple[Refined, ...] = ()
        begun = time.monotonic()
        refined = build(bench, decide(bench, calibrated)).refined
        if (time.monotonic() - begun) * 2 * len(self.costs) > PATIENCE_SECONDS:
            self.known = refined
            self.notes.append("weights and biases of other operators were carried over, not rounded anew for each trial")

    def report(self) -> SensitivityReport:
        """Measure until all is known, or the time is over."""
        with Trials(self.bench, self.judges, self.options.workers, self.factor) as trials:
            base = next(m for _, m in trials.measure([Variant("all", self.calibrated)]))
            assert base is not None  # it is the result
            self._measure(trials)
            loops = self._of_loops(trials)
            shares = shares_of({c: _beyond(m.noise, loops) for c in self.costs if (m := c.found.get(ALONE)) is not None})
            ranked = sorted(self.costs, key=lambda c: -shares.get(c, -1.0))
            remedies = () if self.interrupted else tuple(self._remedies(trials, ranked, base))
            if not remedies and not self.interrupted:
                self.notes.append(f"neither float nor cheap int16 for the worst of them gives {WORTH_DB} dB")
        measured = sum(bool(c.found) for c in ranked)
        if measured < len(ranked) and not self.interrupted:
            self.notes.append(f"the time was over after {measured} of {len(ranked)} units; a larger --budget measures more")
        return SensitivityReport(
            schema_version=SCHEMA_VERSION,
            fullint=__version__,
            options=reported(self.options),
            samples=len(self.judges.samples),
            sqnr_db=round(base.sqnr, 2),
            units=tuple(_cost(c, base, shares.get(c), loops) for c in ranked),
            remedies=remedies,
            measured=measured,
            notes=tuple(self.notes),
        )

    def _of_loops(self, trials: Trials) -> tuple[float, ...]:
        """The noise of what stays integer in every variant: bodies of loops and branches, and what carries their values."""
        inside = sum(1 for number, op in self.calibrated.model.ops() if number and any(t.is_float for t in op.outputs))
        if not inside:
            return ()
        self.notes.append(
            f"{many(inside, 'operator')} in loops, branches or other signatures are integer in all variants, not measured"
        )
        measured = [m for _, m in trials.measure([Variant("loops", float_but(self.calibrated, self.ops, ()))]) if m is not None]
        return measured[0].noise if measured else ()

    def _measure(self, trials: Trials) -> None:
        order = self._order(trials) if self.end < math.inf else self.costs
        by_unit = {c.unit: c for c in order}
        total = sum(len(self._ways(c.unit)) for c in order)
        self.bench.told("sensitivity", 0, total)
        found = trials.measure(self._variants([c.unit for c in order])) if not self.options.scheduler else self._there(order)
        try:
            for done, ((unit, how), measured) in enumerate(found, 1):
                by_unit[unit].found[how] = measured
                self.bench.told("sensitivity", done, total)
        except KeyboardInterrupt:
            self.interrupted = True
            self.bench.restart()
            self.notes.append("interrupted: what was measured by then is shown, and nothing was tried with the worst of it")

    def _variants(self, units: Sequence[Unit]) -> Iterator[Variant[UnitTrial]]:
        """What is to be measured, as long as there is time."""
        for unit in units:
            for how in self._ways(unit):
                if time.monotonic() > self.end:
                    return
                yield Variant((unit, how), self._as(unit, how), () if how == ALONE else self.known)

    def _there(self, order: Sequence[_Cost]) -> Iterator[tuple[UnitTrial, Outcome | None]]:
        """The same, measured by the workers of a cluster."""
        from fullint.sensitivities.on_cluster import UnitsJob, units_there  # mostly not needed

        place = {c.unit: n for n, c in enumerate(self.costs)}
        wanted = [(place[c.unit], how) for c in order for how in self._ways(c.unit)]
        job = UnitsJob(self.calibrated, self.judges, self.known, str(self.options.by), self.factor)
        for n, how, outcome in units_there(str(self.options.scheduler), job, wanted):
            yield (self.costs[n].unit, how), outcome
            if time.monotonic() > self.end:
                return

    def _ways(self, unit: Unit) -> list[str]:
        wide = any(map(has_int16, unit.ops))
        possible = wide and self.options.activations == "int8" and target_of(self.options.target).int16
        return [ALONE, FLOAT, *([INT16] if possible else [])]

    def _as(self, unit: Unit, how: str) -> Calibrated:
        return form_of(self.calibrated, self.ops, unit, how)

    def _order(self, trials: Trials) -> list[_Cost]:
        """The units, those first that lie in parts of the network that have most noise alone."""
        size = max(1, round(math.sqrt(len(self.costs))))
        parts = [self.costs[i : i + size] for i in range(0, len(self.costs), size)]

        def wholes() -> Iterator[Variant[int]]:
            for i, part in enumerate(parts):
                if time.monotonic() > self.end:
                    return
                own = Unit("", tuple(op for c in part for op in c.unit.ops))
                yield Variant(i, self._as(own, ALONE))

        noise = shares_of({i: m.noise for i, m in trials.measure(wholes()) if m is not None})
        first = sorted(range(len(parts)), key=lambda i: -noise.get(i, 0.0))
        return [c for i in first for c in parts[i]]

    def _remedies(self, trials: Trials, ranked: Sequence[_Cost], base: Outcome) -> Iterator[Remedy]:
        """What the worst give together."""
        worst = [c for c in ranked if c.found.get(ALONE) is not None][: self.options.worst]
        wide = [c for c in ranked if c.found.get(ALONE) is not None and self._slower(c, base) < CHEAP][: self.options.worst]
        tried: list[Variant[tuple[str, bool]]] = []
        if worst:
            kept = {op for c in worst for op in c.unit.ops}
            tried.append(Variant((f"--keep-float {_joined(worst)}", True), in_float(self.calibrated, kept)))
        if wide:
            able = {op.origin for c in wide for op in c.unit.ops if has_int16(op)}
            said = f"--int16 {','.join(map(str, sorted(able)))}"
            tried.append(Variant((said, False), in_int16(self.calibrated, able)))
        for (option, in_floats), m in sorted(trials.measure(tried), key=lambda pair: pair[0][0]):
            if m is not None and m.sqnr - base.sqnr >= WORTH_DB:
                slower = None if in_floats else round(m.us / base.us, 3)
                yield Remedy(option, round(m.sqnr, 2), round(m.sqnr - base.sqnr, 2), slower)

    def _slower(self, c: _Cost, base: Outcome) -> float:
        measured = c.found.get(INT16)
        return math.inf if measured is None else measured.us / base.us


def _joined(costs: Sequence[_Cost]) -> str:
    return ",".join(map(str, sorted({i for c in costs for i in c.unit.operators})))


def shares_of(noise: Mapping[Key, Sequence[float]]) -> dict[Key, float]:
    """The share of each in the noise of all: the mean of its shares in each output's."""
    outputs = range(max((len(n) for n in noise.values()), default=0))
    sums = [sum(n[j] for n in noise.values()) for j in outputs]
    known = [j for j in outputs if sums[j] > 0]
    return {key: sum(n[j] / sums[j] for j in known) / max(len(known), 1) for key, n in noise.items()}


def _beyond(noise: Sequence[float], loops: Sequence[float]) -> tuple[float, ...]:
    """Noise without that of the loops, of each output."""
    return tuple(max(n - (loops[j] if loops else 0.0), 0.0) for j, n in enumerate(noise))


def _alone_db(noise: Sequence[float]) -> float:
    """SQNR of all outputs together, by their mean noise: an output that a unit does not reach has none of it."""
    return decibels(1.0, sum(noise) / max(len(noise), 1))


def _cost(c: _Cost, base: Outcome, share: float | None, loops: Sequence[float]) -> UnitCost:
    alone, wide = c.found.get(ALONE), c.found.get(INT16)
    gains = [None if g is None else round(g, 3) for g in (c.gain(FLOAT, base.sqnr), c.gain(INT16, base.sqnr))]
    return UnitCost(
        name=c.unit.name,
        operators=c.unit.operators,
        kinds=tuple(op.kind for op in c.unit.ops),
        alone_db=None if alone is None else round(_alone_db(_beyond(alone.noise, loops)), 2),
        share=None if share is None else round(share, 5),
        float_gain_db=gains[0],
        int16_gain_db=gains[1],
        int16_latency=None if wide is None else round(wide.us / base.us, 3),
    )
