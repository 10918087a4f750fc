"""Many models, one call: jobs --pool of processes--> outcomes --> FleetReport."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from fullint.errors import UsageError
from fullint.fleets.cache import Cache
from fullint.fleets.jobs import Job, require_apart
from fullint.fleets.local_pool import outcomes
from fullint.fleets.outcome import JobOutcome
from fullint.fleets.report import FleetReport

Told = Callable[[int, int, JobOutcome], None]
"""(how many are done, of how many, the last one's outcome)."""


def run_jobs(
    jobs: Sequence[Job],
    processes: int | None = None,
    *,
    cache: str | Path | None = None,
    force: bool = False,
    told: Told | None = None,
) -> FleetReport:
    """Do jobs of one command by a pool of processes; one that fails does not stop the others.

    Args:
        jobs: see `jobs_of_models` and `read_manifest`.
        processes: that work at the same time; half of the cores by default, since each model uses two.
        cache: folder of finished work: what is there is not done again.
        force: overwrite outputs that exist.
        told: of each that ends.

    Raises:
        UsageError: there are no jobs, `processes` makes no sense, or outputs or the cache cannot be written.
    """
    if not jobs:
        raise UsageError("there is nothing to do: no model was given")
    count = processes if processes is not None else max(1, (os.cpu_count() or 1) // 2)
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise UsageError(f"jobs must be a whole number from 1 on, not {count!r}")
    require_apart(jobs)
    if cache is not None:
        Cache(cache).begin()
    count = min(count, len(jobs))
    jobs = [_with_threads(job, max(1, (os.cpu_count() or 1) // count)) for job in jobs]
    start = time.perf_counter()
    found: dict[int, JobOutcome] = {}
    for number, outcome in outcomes(jobs, count, cache, force=force):
        found[number] = outcome
        if told is not None:
            told(len(found), len(jobs), outcome)
    done = tuple(found[number] for number in range(len(jobs)))
    return FleetReport(jobs[0].command, done, count, round(time.perf_counter() - start, 2))


def _with_threads(job: Job, threads: int) -> Job:
    """The job with its share of the cores, where nothing else was asked for; results do not depend on it."""
    asked = "threads" in job.options and job.options["threads"] is None
    return replace(job, options={**job.options, "threads": threads}) if asked else job
