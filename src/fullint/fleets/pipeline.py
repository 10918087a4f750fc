"""Many models, one call: jobs --pool of processes--> outcomes --> FleetReport."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from fullint.errors import UsageError
from fullint.fleets.cache import Cache
from fullint.fleets.cores import shares
from fullint.fleets.jobs import Job, require_apart
from fullint.fleets.local_pool import outcomes
from fullint.fleets.outcome import JobOutcome
from fullint.fleets.report import FleetReport
from fullint.options.choices import usable_cores

Told = Callable[[int, int, JobOutcome], None]
"""(how many are done, of how many, the last one's outcome)."""


def run_jobs(
    jobs: Sequence[Job],
    processes: int | None = None,
    *,
    cache: str | Path | None = None,
    force: bool = False,
    scheduler: str | None = None,
    shared: bool = False,
    told: Told | None = None,
) -> FleetReport:
    """Do jobs of one command by a pool of processes; one that fails does not stop the others.

    Args:
        jobs: see `jobs_of_models` and `read_manifest`.
        processes: that work at the same time; half of the cores by default, since each model uses two. On a cluster, jobs that
            are with its workers; as many as these have threads by default.
        cache: folder of finished work: what is there is not done again.
        force: overwrite outputs that exist.
        scheduler: of a Dask cluster whose workers do them, tcp://HOST:PORT.
        shared: whether these read models and samples themselves, by paths that all of them see.
        told: of each that ends.

    Raises:
        UsageError: there are no jobs, `processes` makes no sense, outputs or the cache cannot be written, or the cluster cannot
            be used.
    """
    if not jobs:
        raise UsageError("there is nothing to do: no model was given")
    cores = usable_cores()
    count = processes if processes is not None else max(1, len(cores) // 2)
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise UsageError(f"jobs must be a whole number from 1 on, not {count!r}")
    require_apart(jobs)
    if cache is not None:
        Cache(cache).begin()
    start = time.perf_counter()
    found: dict[int, JobOutcome] = {}
    with contextlib.ExitStack() as stack:
        if scheduler is not None:
            from fullint.cluster.connection import Cluster
            from fullint.fleets.on_cluster import outcomes_there  # mostly not needed

            cluster = stack.enter_context(Cluster(scheduler))
            count = min(processes or cluster.threads, len(jobs))
            jobs = [_with_threads(job, 1) for job in jobs]
            done_so_far = outcomes_there(cluster, jobs, count, cache, force=force, shared=shared)
        else:
            count = min(count, len(jobs))
            jobs = [_with_threads(job, max(1, len(cores) // count)) for job in jobs]
            done_so_far = outcomes(jobs, shares(count, jobs, cores), cache, force=force)
        for number, outcome in done_so_far:
            found[number] = outcome
            if told is not None:
                told(len(found), len(jobs), outcome)
    done = tuple(found[number] for number in range(len(jobs)))
    return FleetReport(jobs[0].command, done, count, round(time.perf_counter() - start, 2))


def _with_threads(job: Job, threads: int) -> Job:
    """The job with its share of the cores, where nothing else was asked for; results do not depend on it."""
    asked = "threads" in job.options and job.options["threads"] is None
    return replace(job, options={**job.options, "threads": threads}) if asked else job
