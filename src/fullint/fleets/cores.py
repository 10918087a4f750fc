"""Which cores the processes of a pool keep to, so that they do not wander over all of them and wait for each other.

    -j 2 --threads 1, 2 cores        job 1: core 0          job 2: core 1
    -j 2 --threads 2, 4 cores        job 1: cores 0, 1      job 2: cores 2, 3
    -j 2 --threads 1, 4 cores        all: where the system has room; another command may be at work as well

Only where the pool takes all cores: small models take a quarter less time then.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from fullint.fleets.jobs import Job

Cores = tuple[int, ...]


def shares(processes: int, jobs: Sequence[Job], cores: Cores) -> list[Cores]:
    """The cores of each process; none where it goes where the system has room."""
    threads = len(cores) // processes
    asked = all(job.options.get("threads", threads) == threads for job in jobs)
    if processes == 1 or processes * threads != len(cores) or not asked or not hasattr(os, "sched_setaffinity"):
        return [()] * processes
    return [cores[i * threads : (i + 1) * threads] for i in range(processes)]
