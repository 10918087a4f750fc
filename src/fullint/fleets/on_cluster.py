"""Jobs done by the workers of a cluster; for each, a thread here waits, writes its result and keeps it in the cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path

from fullint.cluster.connection import Cluster
from fullint.fleets.cache import Cache, CachedWork
from fullint.fleets.jobs import Job
from fullint.fleets.outcome import JobOutcome
from fullint.fleets.parcels import Parcel, pack, paths_of
from fullint.fleets.perform import perform

PERFORM = "fullint.fleets.parcels:perform_parcel"


def outcomes_there(
    cluster: Cluster,
    jobs: Sequence[Job],
    at_once: int,
    cache: str | Path | None = None,
    *,
    force: bool = False,
    shared: bool = False,
) -> Iterator[tuple[int, JobOutcome]]:
    """(number of a job, its outcome), in the order in which they end.

    Args:
        cluster: whose workers do them.
        jobs: to do.
        at_once: how many are with the workers.
        cache: folder of finished work, of this machine.
        force: whether outputs are overwritten.
        shared: whether workers read the files themselves.

    Raises:
        UsageError: they cannot.
    """
    if shared:
        cluster.require_readable(list(dict.fromkeys(path for job in jobs for path in paths_of(job))))
    kept = Cache(cache) if cache is not None else None
    call = partial(_called_there, cluster, shared)
    pool = ThreadPoolExecutor(at_once)
    try:
        waiting = {pool.submit(perform, job, kept, force=force, call=call): number for number, job in enumerate(jobs)}
        for future in as_completed(waiting):
            yield waiting[future], future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _called_there(cluster: Cluster, shared: bool, job: Job) -> CachedWork:
    work: CachedWork = cluster.call(PERFORM, Parcel(job) if shared else pack(job))
    return work
