"""Workers within limits of time and memory, and what is left when a process is gone: nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import CORPUS
from endless import endless_loop, large
from fuzzing import kills

import fullint
from fullint import demo, temporary
from fullint.errors import FullintError, RuntimeFailure, UsageError
from fullint.limits import Limits, limited, limits
from fullint.runtime import watch
from fullint.runtime.messages import Open
from fullint.runtime.process import WorkerProcess, model_file

DEMO = Path(demo.__file__).with_name("digits.tflite")
STOPPED = "was stopped: a run took longer than its limit"
pytestmark = pytest.mark.own_workers


def cli(*arguments: object, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fullint", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds)


def cli_measured(*arguments: object) -> str:
    """Exit code and largest memory in kB of a command and its workers, and what it says, on the next lines."""
    script = """
import resource, subprocess, sys
done = subprocess.run([sys.executable, "-m", "fullint", *sys.argv[1:]], capture_output=True, text=True, timeout=20)
print(done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
print(done.stderr)
"""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_defaults() -> None:
    """Four times the model and 2 GB; ten times the first run, at least 60 s; longer for large models and slow kernels."""
    found = Limits()
    assert found.memory_for(10**8) == 4 * 10**8 + 2 * 10**9
    assert found.next_run(2.0) == 60 and found.next_run(30.0) == 300
    assert found.first_run(10**6, "xnnpack") == 60
    assert found.first_run(10**9, "builtin") == 600
    assert found.first_run(10**6, "reference") == 600
    given = Limits(10**9, 5.0)
    assert (given.memory_for(10**9), given.first_run(10**9, "reference"), given.next_run(100.0)) == (10**9, 5.0, 5.0)
    assert Limits.parse(*given.arguments()) == given and Limits.parse(*found.arguments()) == found


def test_limits_hold_in_their_context_alone() -> None:
    with limited(1.5, 7):
        assert limits() == Limits(1_500_000_000, 7)
        with WorkerProcess() as worker:
            assert worker.limits == Limits(1_500_000_000, 7)
    assert limits() == Limits()


@pytest.mark.parametrize(
    ("memory", "seconds"), [(0, None), (0.1, None), ("1", None), (None, -1), (None, float("inf")), (None, True)]
)
def test_bad_limits(memory: object, seconds: object) -> None:
    with pytest.raises(UsageError, match="worker_"):
        fullint.audit(DEMO, worker_memory=memory, worker_seconds=seconds)


@pytest.mark.parametrize("verb", ["quantize", "plan", "compare", "benchmark", "sensitivity", "repair", "audit"])
def test_a_loop_that_never_ends_is_stopped(tmp_path: Path, verb: str) -> None:
    """In every command that runs it."""
    path = tmp_path / "m.tflite"
    path.write_bytes(endless_loop())
    given = [np.ones((1, 4), np.float32)] * 20
    calls = {
        "quantize": lambda: fullint.quantize(path, given, worker_seconds=1),
        "plan": lambda: fullint.plan(path, given, worker_seconds=1),
        "compare": lambda: fullint.compare(path, path, given, worker_seconds=1),
        "benchmark": lambda: fullint.benchmark(path, worker_seconds=1),
        "sensitivity": lambda: fullint.sensitivity(path, given, worker_seconds=1),
        "repair": lambda: fullint.repair(path, given, worker_seconds=1),
        "audit": lambda: fullint.audit(path, samples=given, worker_seconds=1),
    }
    start = time.monotonic()
    if verb in ("repair", "audit"):  # nothing in it is quantized, so that it need not be run
        try:
            calls[verb]()
        except FullintError as e:
            assert STOPPED in str(e) or "nothing in the file is quantized" in str(e)  # noqa: PT017
    else:
        with pytest.raises(RuntimeFailure, match=STOPPED) as caught:
            calls[verb]()
        assert "--worker-seconds" in str(caught.value) and "\n" not in str(caught.value)
    assert time.monotonic() - start < 15


def test_max_secs_stops_a_benchmark(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(endless_loop())
    done = cli("benchmark", tmp_path / "m.tflite", "--max_secs", "1")
    assert done.returncode == 2 and STOPPED in done.stderr and "--max_secs" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits private memory")
def test_memory_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(large(1.5))
    with WorkerProcess(within=Limits(10**9)) as worker, pytest.raises(RuntimeFailure, match="1 GB of memory: --worker-memory"):
        worker.call(Open(str(path), "builtin", 1))
    with WorkerProcess(within=Limits(45 * 10**8)) as worker:
        worker.call(Open(str(path), "builtin", 1))


def test_damaged_models_are_small_and_quick() -> None:
    """Those of the corpus: one clear error, or done right, under a gigabyte."""
    if not CORPUS:
        pytest.skip("no corpus")
    for path in sorted(Path(str(CORPUS), "cases", "mutated").glob("*.tflite")):
        for call in (fullint.inspect, fullint.audit, fullint.partition):
            try:
                str(call(path))
            except FullintError as e:
                assert "\n" not in str(e)  # noqa: PT017
        for verb in ("quantize", "repair"):
            more = ["--synthetic"] if verb == "quantize" else []
            with tempfile.TemporaryDirectory() as folder:
                done = cli_measured(verb, path, "-o", f"{folder}/out", *more)
            first, _, said = done.partition("\n")
            code, kilobytes = map(int, first.split())
            assert code in (0, 1, 2) and kilobytes < 1_000_000, path
            assert "itself failed" not in said and "Traceback" not in said, (path, said)


def test_an_orphan_ends_and_takes_the_files_along(tmp_path: Path) -> None:
    """A parent that is killed leaves a worker in a loop without an end, and a temporary file; both go."""
    (tmp_path / "m.tflite").write_bytes(endless_loop())
    script = f"""
import os, pathlib
from fullint.runtime import watch
from fullint.runtime.process import WorkerProcess, model_file
from fullint.runtime.messages import Open, Run
import numpy as np
with WorkerProcess() as worker, model_file(pathlib.Path({str(tmp_path / "m.tflite")!r}).read_bytes()) as path:
    worker.call(Open(path, "builtin", 1))
    worker.send(Run([np.ones((1, 4), np.float32)]))
    print(worker._process.pid, flush=True)
    os.kill(os.getpid(), 9)
"""
    temporary_folder = tmp_path / "tmp"
    temporary_folder.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary_folder)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    end = time.monotonic() + 10
    while _alive(int(done.stdout)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not _alive(int(done.stdout))
    assert not [*temporary_folder.iterdir()]


def _alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told from what a living one holds, and from what is not fullint's."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    temporary._tidied.cache_clear()
    left = [tmp_path / "fullint-12-0123abcd-9.tflite", tmp_path / ".m.tflite.0123abcd.12-0123abcd.fullint"]
    others = [tmp_path / "fullint-notes.tflite", tmp_path / ".m.tflite.fullint", tmp_path / "m.tflite"]
    for path in (*left, *others):
        path.write_bytes(b"x")
    with temporary.temporary_file(".tflite") as held:
        assert not any(p.exists() for p in left) or left[1].exists()
        temporary.remove_left(tmp_path)
        assert held.exists() and all(p.exists() for p in others) and not any(p.exists() for p in left)
    assert not held.exists()


def test_a_temporary_folder_is_held_like_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with temporary.temporary_folder() as folder:
        (folder / "inside").write_bytes(b"x")
        temporary.remove_left(tmp_path)
        assert (folder / "inside").exists()
    assert [*tmp_path.iterdir()] == []


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    """And leaves nothing beside the output."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    samples = DEMO.with_name("calibration.npz")
    done = cli("quantize", DEMO, "-c", samples, "-o", "/dev/full", "--force")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1) and "No space left" in done.stderr


def test_a_model_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(DEMO.read_bytes())

    def samples():
        for i, x in enumerate(np.random.default_rng(0).random((30, 1, 8, 8, 1), np.float32)):
            if i == 9:
                path.write_bytes(DEMO.read_bytes()[:-4000])
            yield [x]

    with pytest.raises(fullint.ModelFormatError, match="changed while it was read"):
        fullint.quantize(path, samples)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="children are looked for in /proc")
@pytest.mark.parametrize("number", kills.SIGNALS, ids=lambda s: s.name)
@pytest.mark.parametrize("name", ["quantize", "repair", "benchmark"])
def test_killed_commands_leave_nothing(name: str, number: signal.Signals) -> None:
    for after in (0.4, 0.9):
        assert kills.killed(name, number, after) == []


def test_a_program_ends_with_its_parent(tmp_path: Path) -> None:
    """A converter, or pip, and what it has started."""
    script = """
import os, sys, threading, time
from fullint.runtime.supervised import run_supervised
threading.Timer(1.0, lambda: os.kill(os.getpid(), 9)).start()
with open(sys.argv[1], "w") as out:
    run_supervised(["sh", "-c", "sleep 300 & echo $!; wait"], out)
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "out")])
    child = int((tmp_path / "out").read_text())
    end = time.monotonic() + 5
    while _alive(child) and time.monotonic() < end:
        time.sleep(0.05)
    assert not _alive(child)


def test_what_an_ended_program_leaves_is_removed(tmp_path: Path) -> None:
    """By its supervisor, also where it still writes."""
    from fullint.runtime.supervised import run_supervised

    folder = tmp_path / "temporary"
    folder.mkdir()
    writes = "sh -c 'while mkdir -p $TMPDIR/a; do touch $TMPDIR/a/b; done' & sleep 60"
    with open(tmp_path / "out", "w") as out, pytest.raises(subprocess.TimeoutExpired):
        run_supervised(["sh", "-c", writes], out, temporary=folder, timeout=0.5)
    assert not folder.exists()


def test_a_program_is_run_to_its_end(tmp_path: Path) -> None:
    from fullint.runtime.supervised import run_supervised

    with open(tmp_path / "out", "w") as out:
        assert run_supervised(["sh", "-c", "echo $TMPDIR; exit 3"], out, temporary=tmp_path) == 3
        assert run_supervised(["sh", "-c", "kill -9 $$"], out) == 137
        with pytest.raises(subprocess.TimeoutExpired):
            run_supervised(["sleep", "60"], out, timeout=0.5)
    assert (tmp_path / "out").read_text() == f"{tmp_path}\n"


def test_a_model_is_written_where_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="set TMPDIR"), model_file(b"x"):
        pass


@pytest.mark.parametrize(
    ("wall", "cpu", "overdue"), [(4.0, 4.0, False), (6.0, 1.0, False), (6.0, 5.5, True), (30.0, 1.0, False), (51.0, 1.0, True)]
)
def test_a_busy_machine_stops_nothing(wall: float, cpu: float, overdue: bool) -> None:
    """A run that had hardly any of the CPU gets more time, but not without end."""
    assert watch._Clock(100.0, 7.0, 5.0).overdue(100.0 + wall, 7.0 + cpu) == overdue


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_stopped_run_goes_on(tmp_path: Path) -> None:
    """Ctrl-Z for longer than a run may take, and fg."""
    script = f"""
import numpy as np
from fullint.limits import Limits
from fullint.runtime.messages import Latency, Open
from fullint.runtime.process import WorkerProcess
with WorkerProcess(within=Limits(seconds=0.4)) as worker:
    worker.call(Open({str(DEMO)!r}, "reference", 1))
    print("ready", flush=True)
    worker.call(Latency([np.zeros((1, 8, 8, 1), np.float32)], 12000))
    print("done")
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGSTOP)
    time.sleep(6)
    os.killpg(process.pid, signal.SIGCONT)
    assert process.communicate(timeout=60)[0] == "done\n"


def test_a_worker_ends_though_a_fork_holds_the_pipe(tmp_path: Path) -> None:
    """What a user's function has forked inherits the parent's end."""
    script = """
import os, time
from fullint.runtime.process import WorkerProcess, model_file
with WorkerProcess() as worker, model_file(b"x") as path:
    if not os.fork():
        time.sleep(20)
        os._exit(0)
    print(worker._process.pid, flush=True)
    os.kill(os.getpid(), 9)
"""
    (tmp_path / "tmp").mkdir()
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    process = subprocess.Popen(
        [sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    worker = int(process.stdout.readline())
    end = time.monotonic() + 10
    while _alive(worker) and time.monotonic() < end:
        time.sleep(0.05)
    assert not _alive(worker) and not [*(tmp_path / "tmp").iterdir()]
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_writers_of_one_folder_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Each takes away what killed runs have left, and nothing else."""
    script = """
import sys
from fullint.files import write_atomically
for i in range(1500):
    write_atomically(f"{sys.argv[1]}/{sys.argv[2]}", b"x" * i)
"""
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path), name], stderr=subprocess.PIPE, text=True) for name in "abc"
    ]
    assert [w.communicate(timeout=120)[1] for w in writers] == ["", "", ""]
    assert {p.name: p.stat().st_size for p in tmp_path.iterdir()} == dict.fromkeys("abc", 1499)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits private memory")
def test_large_stacks_take_no_memory() -> None:
    samples = DEMO.with_name("calibration.npz")
    command = f"ulimit -s 4000000; {sys.executable} -m fullint quantize {DEMO} -c {samples} --plan"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_closed_error_stream(tmp_path: Path) -> None:
    samples = DEMO.with_name("calibration.npz")
    command = f"{sys.executable} -m fullint quantize {DEMO} -c {samples} -o {tmp_path}/out <&- >&- 2>&-"
    assert subprocess.run(["bash", "-c", command]).returncode == 0
    assert (tmp_path / "out").stat().st_size > 10_000
