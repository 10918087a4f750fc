"""Time grows with operators and constants as they do, and not with their square."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from timings import settled

import fullint
from fullint.model.tflite import read_bytes, write_model
from fullint.pages.graphs import graph_of

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
import growth

pytestmark = pytest.mark.alone
FEW, FACTOR = 400, 4
MOST = FACTOR * 1.8
"""Times as long with four times as many operators: n log n and noise. A square would take 16 times as long."""


def seconds(call: Callable[[], object]) -> float:
    """CPU time."""
    start = time.process_time()
    call()
    return time.process_time() - start


CALLS: dict[str, Callable[[bytes], object]] = {
    "read and write": lambda data: write_model(read_bytes(data)),
    "inspect": fullint.inspect,
    "audit": lambda data: str(fullint.audit(data)),
    "partition": lambda data: str(fullint.partition(data, "nnapi")),
    "a page": lambda data: graph_of(read_bytes(data), "x"),
}


@pytest.mark.parametrize("name", CALLS)
def test_time_is_linear_in_operators(name: str) -> None:
    few, many = growth.chain(FEW), growth.chain(FEW * FACTOR)
    call = CALLS[name]
    call(few)  # what is loaded when it is first needed
    settled(lambda: (seconds(lambda: call(many)), seconds(lambda: call(few))), 0.0, MOST)


def test_planning_is_linear_in_operators(tmp_path: Path) -> None:
    """Most of it is done by child processes, so this is the whole process's time."""
    path = tmp_path / "m.tflite"

    def times() -> tuple[float, ...]:
        found = []
        for n in (FEW * FACTOR, FEW, 1):
            path.write_bytes(growth.chain(n))
            found.append(growth.measured(growth.COMMANDS["plan"], path)[0])
        return tuple(found)

    settled(times, 0.0, MOST)


@pytest.mark.parametrize("command", ["inspect", "audit", "plan"])
def test_memory_is_linear_in_constants(command: str, tmp_path: Path) -> None:
    """At most four copies of 32 MB of float weights beyond what a small model takes; inspect and audit hold one."""
    peaks = {}
    for megabytes in (1, 33):
        path = tmp_path / "m.tflite"
        path.write_bytes(growth.wide(megabytes))
        _, peaks[megabytes] = growth.measured(growth.COMMANDS[command], path)
    assert peaks[33] - peaks[1] <= 32 * (4.0 if command == "plan" else 1.7)
