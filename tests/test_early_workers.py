"""Workers that are started before anybody asks for them: taken in order, with the limits they were started for, and ended."""

import os
from pathlib import Path

import numpy as np
import pytest

from fullint.errors import RuntimeFailure
from fullint.limits import Limits
from fullint.ops.builder import Builder
from fullint.runtime import spawn
from fullint.runtime.messages import Measure, Open, Run, TensorShapes
from fullint.runtime.process import WorkerProcess, model_file
from fullint.runtime.spawn import kept_warm, started_early

pytestmark = pytest.mark.own_workers


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the processes that were started."""
    numbers: list[int] = []
    start = spawn._started

    def counted(limits: Limits) -> spawn.Child:
        child = start(limits)
        numbers.append(child.process.pid)
        return child

    monkeypatch.setattr(spawn, "_started", counted)
    return numbers


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_workers_take_them_in_order_and_the_rest_is_ended(started: list[int]) -> None:
    with started_early(3):
        assert len(started) == 3
        with WorkerProcess() as one, WorkerProcess() as two:
            assert [one._process.pid, two._process.pid] == started[:2]
        assert len(started) == 3 and not alive(started[0]) and alive(started[2])
    assert not alive(started[2])
    with WorkerProcess() as later:
        assert later._process.pid == started[3]


def test_a_worker_with_other_limits_gets_a_process_of_its_own(started: list[int]) -> None:
    with started_early(1), WorkerProcess(within=Limits(seconds=5.0)) as worker:
        assert worker._process.pid == started[1] and len(started) == 2
    assert not any(map(alive, started))


def test_an_early_worker_works(started: list[int]) -> None:
    model = Path(__file__).parents[1] / "src/fullint/demo/digits.tflite"
    with started_early(1), model_file(model.read_bytes()) as path, WorkerProcess() as worker:
        assert worker.call(TensorShapes(path))[0] == (1, 8, 8, 1)
    assert len(started) == 1


def test_one_that_could_not_be_used_is_ended_where_the_command_fails(started: list[int]) -> None:
    with pytest.raises(ZeroDivisionError), started_early(2):
        raise ZeroDivisionError
    assert len(started) == 2 and not any(map(alive, started))


DEMO = Path(__file__).parents[1] / "src/fullint/demo/digits.tflite"


def used(worker: WorkerProcess) -> int:
    with model_file(DEMO.read_bytes()) as path:
        assert worker.call(TensorShapes(path))[0] == (1, 8, 8, 1)
    return worker._process.pid


def test_workers_that_are_kept_warm_go_from_job_to_job(started: list[int]) -> None:
    with kept_warm(1):
        with WorkerProcess() as first, WorkerProcess() as second:
            both = [used(first), used(second)]
        assert [alive(pid) for pid in both] == [False, True]  # the second was closed first, and there is room for one
        with WorkerProcess() as third:
            assert used(third) == both[1]
        assert len(started) == 2 and alive(both[1])
    assert not alive(both[1])


def test_a_worker_that_something_is_wrong_with_is_not_used_again(started: list[int]) -> None:
    with kept_warm(2):
        with WorkerProcess() as failed, pytest.raises(RuntimeFailure):
            failed.call(TensorShapes("/none.tflite"))
        with WorkerProcess() as waiting, model_file(DEMO.read_bytes()) as path:
            waiting.send(TensorShapes(path))  # nobody waits for the answer
        with WorkerProcess() as measuring, model_file(DEMO.read_bytes()) as path:
            measuring.call(Measure(path, 1, Nothing()))
        with WorkerProcess() as killed:
            used(killed)
            killed._process.kill()
            killed._process.wait()
        with WorkerProcess(within=Limits(seconds=50.0)) as limited:
            used(limited)
        with WorkerProcess() as sound:
            used(sound)
        assert len(started) == 6 and [alive(pid) for pid in started] == [False] * 5 + [True]
        with WorkerProcess() as again:
            again.restart()
            assert used(again) == started[6]


class Nothing:
    def add(self, index: int, outputs: object) -> None:
        """It is not asked for."""

    def merge(self, other: object) -> "Nothing":
        return self


def test_a_worker_is_let_go_after_many_jobs(started: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spawn, "_MOST_USES", 3)
    with kept_warm(1):
        pids = []
        for _ in range(6):
            with WorkerProcess() as worker:
                pids.append(used(worker))
    assert len(set(pids[:3])) == len(set(pids[3:])) == 1 and pids[2] != pids[3]


def test_peak_memory_is_that_of_the_job(started: list[int]) -> None:
    g = Builder()
    g.output(g.op("NEG", g.input(1, 4096, 4096)))  # 64 MB each
    with kept_warm(1):
        with WorkerProcess() as worker, model_file(g.bytes()) as path:
            worker.call(TensorShapes(path))
            worker.call(Open(path, "builtin", 1))
            worker.call(Run([np.ones((1, 4096, 4096), np.float32)]))
            before = worker.peak_memory()
            used(worker)
            with model_file(DEMO.read_bytes()) as small:
                worker.call(Open(small, "builtin", 1))
        with WorkerProcess() as worker:
            assert used(worker) == started[0]
            assert 0 < worker.peak_memory() < before - 50_000_000
