"""Children of a Dask worker: kept for the next task, not kept where anything was wrong, ended where nobody comes."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fullint.cluster import children
from fullint.cluster.children import Children
from fullint.cluster.tasks import answered, run_here, versions_here
from fullint.errors import RuntimeFailure, UsageError


def pid_of(_: object) -> int:
    """Run by the child."""
    print("this goes to the error stream")  # noqa: T201
    return os.getpid()


def refuse(what: str) -> None:
    raise UsageError(what)


def asked(of: Children, name: str, argument: object = None) -> Any:
    return answered(of.answer(f"test_cluster_children:{name}", pickle.dumps(argument)))


def alive(pid: int) -> bool:
    """Whether a process is there, and is more than an entry that waits to be read."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


def soon(what: Callable[[], bool]) -> bool:
    end = time.monotonic() + 20
    while not what() and time.monotonic() < end:
        time.sleep(0.02)
    return what()


@pytest.fixture
def one(monkeypatch: pytest.MonkeyPatch) -> Children:
    """One child may wait, for two seconds."""
    monkeypatch.setattr(children, "IDLE_SECONDS", 2.0)
    return Children(1)


def test_the_next_task_has_the_child_of_the_last(one: Children) -> None:
    first = asked(one, "pid_of")
    assert first != os.getpid() and asked(one, "pid_of") == first
    assert soon(lambda: not alive(first))
    assert asked(one, "pid_of") != first


def test_where_none_may_wait_each_task_has_its_own() -> None:
    none = Children(0)
    pids = {asked(none, "pid_of"), asked(none, "pid_of")}
    assert len(pids) == 2 and all(soon(lambda p=pid: not alive(p)) for pid in pids)


def test_a_child_that_failed_does_not_come_back(one: Children) -> None:
    first = asked(one, "pid_of")
    with pytest.raises(UsageError, match=r"^not so$"):
        asked(one, "refuse", "not so")
    assert soon(lambda: not alive(first)) and asked(one, "pid_of") != first


def test_a_child_that_crashes_is_said_and_replaced(one: Children) -> None:
    first = asked(one, "pid_of")
    with pytest.raises(RuntimeFailure, match=r"the process that did it ended \(exit code 3\)"):
        one.answer("os:_exit", pickle.dumps(3))
    os.kill(second := asked(one, "pid_of"), signal.SIGKILL)
    os.waitid(os.P_PID, second, os.WEXITED | os.WNOWAIT)
    assert first != second  # it waited when it was killed, and is not asked
    assert asked(one, "pid_of") not in (first, second)


def test_a_child_serves_so_many_tasks(one: Children) -> None:
    pids = [asked(one, "pid_of") for _ in range(102)]
    assert len(set(pids)) == 2 and pids[99] == pids[0] and pids[100] == pids[101]


def test_it_ends_with_the_process_that_holds_it() -> None:
    code = (
        "import os, test_cluster_children as t\n"
        "print(t.asked(t.Children(1), 'pid_of'), flush=True)\n"
        "os._exit(0)\n"  # as a kill does it: nothing is tidied up
    )
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, check=True)
    assert soon(lambda: not alive(int(done.stdout)))


def test_outside_of_a_worker_nothing_waits() -> None:
    pytest.importorskip("distributed")
    pids = [answered(run_here("test_cluster_children:pid_of", pickle.dumps(None), versions_here())) for _ in range(2)]
    assert pids[0] != pids[1] and all(soon(lambda p=pid: not alive(p)) for pid in pids)
