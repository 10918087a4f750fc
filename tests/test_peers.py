"""What `make bench` calls slower: measured by the limit of its own run, and by more than a tenth."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
import peers


def row(limit: float = 1.0, fast: float = 2.0, balanced: float = 4.0, memory: float = 300.0) -> dict[str, float]:
    return {"limit s": limit, "fast s": fast, "balanced s": balanced, "MB": memory}


@pytest.mark.parametrize(
    ("now", "says"),
    [
        (row(), []),
        (row(limit=2.0, fast=4.0, balanced=8.0), []),  # a machine half as fast
        (row(fast=2.1), []),
        (row(fast=2.3), ["fast takes 1.15 times"]),
        (row(limit=0.8), ["balanced takes 1.25 times", "fast takes 1.25 times"]),
        (row(memory=400.0), ["400 MB, and not 300"]),
    ],
)
def test_slower_than_the_kept_table(now: dict[str, float], says: list[str]) -> None:
    found = peers.slower({"net, 50 samples": now}, {"net, 50 samples": row(), "other, 50 samples": row()})
    assert len(found) == len(says)
    assert all(line.startswith("net, 50 samples: ") and text in line for line, text in zip(found, says, strict=True))


def test_a_network_without_a_kept_row_is_not_compared() -> None:
    assert peers.slower({"new, 50 samples": row()}, {"net, 50 samples": row()}) == []
