"""Workers that are started before anybody asks for them: taken in order, with the limits they were started for, and ended."""

import os
from pathlib import Path

import pytest

from fullint.limits import Limits
from fullint.runtime import spawn
from fullint.runtime.messages import TensorShapes
from fullint.runtime.process import WorkerProcess, model_file
from fullint.runtime.spawn import started_early

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
