"""Times compared beside noise.

A neighbour on the machine only adds time. So the least of many turns comes to what the work itself takes, and a ratio
of two such times settles, where medians wander. Only where the machine was faster for a moment, and for one of the two alone,
does it stay wrong; the median of the turns' own ratios does not. What really is slower stays slower in every turn.
"""

import math
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ENOUGH_TURNS = 5


def settled(times: Callable[[], tuple[float, ...]], low: float, high: float, turns: int = 12) -> float:
    """The ratio of two times, each the least of as many turns as it takes until the ratio lies between `low` and `high`.

    From `ENOUGH_TURNS` on, the median of the turns' ratios may lie there instead. A third time is what both
    take in vain, as the start of a process: it is subtracted.
    """
    least, found, each = [math.inf] * 3, [], []
    for _ in range(turns):
        turn = (*times(), 0.0)
        least = [min(a, b) for a, b in zip(least, turn, strict=False)]
        found.append((least[0] - least[2]) / (least[1] - least[2]))
        each.append((turn[0] - least[2]) / (turn[1] - least[2]))
        if low < found[-1] < high:
            return found[-1]
        if len(each) >= ENOUGH_TURNS and low < statistics.median(each) < high:
            return statistics.median(each)
    said = ", ".join(f"{x:.3f} ({y:.3f} by itself)" for x, y in zip(found, each, strict=True))
    pytest.fail(f"the ratio is {said}, and not between {low} and {high}")


def cpu_seconds(*words: str, cwd: Path | None = None) -> float:
    """CPU time of Python with some arguments, its children included; with bytecode, as installed packages have it."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *words], cwd=cwd, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
