"""Time grows with operators and constants as they do, and not with their square."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from timings import settled

import fullint
from fullint.delegates.partitioner import subsets
from fullint.model.ir import Model
from fullint.model.tflite import read_bytes, write_model
from fullint.pages.graphs import graph_of

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
import growth
import peers

pytestmark = pytest.mark.alone
FEW, FACTOR = 400, 4
MANY, MANY_FACTOR = 2000, 8
SLACK = 1.8
"""n log n and noise. A square would take four, or eight, times as long as what is linear, where it is most of the time."""


def seconds(call: Callable[[], object]) -> float:
    """CPU time."""
    start = time.process_time()
    call()
    return time.process_time() - start


def _pieces(model: Model) -> None:
    """As many partitions as there are operators."""
    assert len(subsets(model.main, model.main.ops[::2])) == len(model.main.ops)


CALLS: dict[str, Callable[[bytes], object]] = {
    "read and write": lambda data: write_model(read_bytes(data)),
    "inspect": fullint.inspect,
    "audit": lambda data: str(fullint.audit(data)),
    "partition": lambda data: str(fullint.partition(data, "nnapi")),
    "pieces": lambda data: _pieces(read_bytes(data)),
    "a page": lambda data: graph_of(read_bytes(data), "x"),
}


@pytest.mark.parametrize("name", CALLS)
def test_time_is_linear_in_operators(name: str) -> None:
    few, many = growth.chain(MANY), growth.chain(MANY * MANY_FACTOR)
    call = CALLS[name]
    call(few)  # what is loaded when it is first needed
    settled(lambda: (seconds(lambda: call(many)), seconds(lambda: call(few))), 0.0, MANY_FACTOR * SLACK)


def test_planning_is_linear_in_operators(tmp_path: Path) -> None:
    """Most of it is done by child processes, so this is the whole process's time."""
    path = tmp_path / "m.tflite"

    def times() -> tuple[float, ...]:
        found = []
        for n in (FEW * FACTOR, FEW, 1):
            path.write_bytes(growth.chain(n))
            found.append(growth.measured(growth.COMMANDS["plan"], path)[0])
        return tuple(found)

    settled(times, 0.0, FACTOR * SLACK)


@pytest.mark.parametrize(("command", "copies"), [("inspect", 1.7), ("audit", 1.7), ("plan", 4.0), ("compare", 6.0)])
def test_memory_is_linear_in_constants(command: str, copies: float, tmp_path: Path) -> None:
    """Of 32 MB of float weights, beyond what a small model takes. Only what is compared is in float64, too."""
    peaks = {}
    for megabytes in (1, 33):
        path = tmp_path / "m.tflite"
        path.write_bytes(growth.wide(megabytes))
        if command == "compare":
            growth.measured(growth.COMMANDS["quantize, fast"], path)
        _, peaks[megabytes] = growth.measured(growth.COMMANDS[command], path)
    assert peaks[33] - peaks[1] <= 32 * copies, peaks


def fast(megabytes: int, folder: Path) -> tuple[list[str], list[str]]:
    """Commands: to quantize a network that has little accuracy then, and to run it in LiteRT, on as many samples."""
    model, samples = folder / f"{megabytes}.tflite", folder / "samples.npz"
    model.write_bytes(growth.deep(megabytes))
    np.savez(samples, x=growth.deep_samples())
    words = ("-m", "fullint", "quantize", str(model), "-c", str(samples), "--effort", "fast", "--min-sqnr", "-100")
    ours = [sys.executable, *words, "-o", str(folder / "int8.tflite"), "--force", "--json"]
    return ours, [sys.executable, "-c", peers.LIMIT, str(model), str(samples)]


@pytest.mark.parametrize("megabytes", [16, 64])
def test_advice_takes_no_longer_than_a_fast_run(megabytes: int, tmp_path: Path) -> None:
    """However large a network: what there is no time for is named, and not tried."""
    command, _ = fast(megabytes, tmp_path)

    def times() -> tuple[float, float]:
        cost = peers.cost_of(command)
        report = json.loads(cost.said)
        assert any("most accuracy is lost at" in w and "not tried with --effort fast: --" in w for w in report["warnings"])
        return report["seconds"]["advise"], cost.wall - report["seconds"]["advise"]

    settled(times, 0.0, 1.0)


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="the system does not say what processes share")
def test_memory_is_that_of_the_float_model_and_half(tmp_path: Path) -> None:
    """Beside a process that runs the float model in LiteRT; both without what a small model takes."""
    peaks = [[peers.cost_of(command).memory for command in fast(megabytes, tmp_path)] for megabytes in (4, 300)]
    ours, limit = (many - few for few, many in zip(*peaks, strict=True))
    assert ours <= limit + 0.5 * 296 * 2**20
