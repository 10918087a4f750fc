"""Times compared beside noise.

A neighbour on the machine only adds time. So the least of many turns comes to what the work itself takes, and a ratio
of two such times settles, where medians wander; what really is slower stays slower in every turn.
"""

import math
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


def settled(times: Callable[[], tuple[float, ...]], low: float, high: float, turns: int = 12) -> float:
    """The ratio of two times, each the least of as many turns as it takes until the ratio lies between `low` and `high`.

    A third time is what both take in vain, as the start of a process: it is subtracted.
    """
    least, found = [math.inf] * 3, []
    for _ in range(turns):
        least = [min(a, b) for a, b in zip(least, (*times(), 0.0), strict=False)]
        found.append((least[0] - least[2]) / (least[1] - least[2]))
        if low < found[-1] < high:
            return found[-1]
    pytest.fail(f"the ratio is {', '.join(f'{x:.3f}' for x in found)}, and not between {low} and {high}")


def cpu_seconds(*words: str, cwd: Path | None = None) -> float:
    """CPU time of Python with some arguments, its children included; with bytecode, as installed packages have it."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *words], cwd=cwd, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
