"""Units measured by the workers of a cluster: each has the calibrated run, and measures some of them as it would be done here."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from fullint.cluster.connection import Cluster
from fullint.quantization.judges import Judges
from fullint.quantization.portable import portable
from fullint.quantization.refine import Refined
from fullint.quantization.stage_values import Calibrated
from fullint.quantization.variants import could_be_float
from fullint.quantization.workbench import Workbench
from fullint.sensitivities.forms import ALONE, form_of
from fullint.sensitivities.trials import Outcome, Trials, Variant
from fullint.sensitivities.units import units_of

MEASURE_UNITS = "fullint.sensitivities.on_cluster:measure_units"
BATCHES = 4
"""For each thread of the workers."""

Measurement = tuple[int, str, "Outcome | None"]
"""(number of a unit, form, what it gives)."""


@dataclass(frozen=True, eq=False)
class UnitsJob:
    """What one worker is to measure.

    Attributes:
        calibrated: the run.
        judges: samples, and what the float model answers.
        known: weights that are carried over.
        by: what is one unit.
        int16_factor: of the target.
        wanted: (number of a unit, form).
    """

    calibrated: Calibrated
    judges: Judges
    known: tuple[Refined, ...]
    by: str
    int16_factor: float
    wanted: tuple[tuple[int, str], ...] = ()


def measure_units(job: UnitsJob) -> list[Measurement]:
    """Measure some units, one after the other."""
    ops = could_be_float(job.calibrated)
    units = units_of(ops, job.by)
    with Workbench(None) as bench, Trials(bench, job.judges, 1, job.int16_factor) as trials:
        variants = (
            Variant((n, how), form_of(job.calibrated, ops, units[n], how), () if how == ALONE else job.known)
            for n, how in job.wanted
        )
        return [(n, how, outcome) for (n, how), outcome in trials.measure(variants)]


def units_there(scheduler: str, job: UnitsJob, wanted: Sequence[tuple[int, str]]) -> Iterator[Measurement]:
    """All that is wanted, as soon as it is known.

    Args:
        scheduler: of the cluster.
        job: without anything that is wanted.
        wanted: (number of a unit, form).
    """
    whole = replace(job, calibrated=portable(job.calibrated))
    with Cluster(scheduler) as cluster:
        size = max(1, math.ceil(len(wanted) / (BATCHES * cluster.threads)))
        batches = [tuple(wanted[i : i + size]) for i in range(0, len(wanted), size)]
        for _, found in cluster.each(MEASURE_UNITS, len(batches), lambda n: replace(whole, wanted=batches[n])):
            yield from found
