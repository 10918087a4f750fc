"""A real Dask scheduler with workers, started as a user would, on this machine: the bytes of a local run, or one sentence."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from test_input_forms import floats_and_none, two_entries

import fullint
from fullint.calibration import shard_run
from fullint.cli import main
from fullint.cluster import connection
from fullint.cluster.connection import Cluster
from fullint.comparing import on_cluster
from fullint.errors import FullintError, RuntimeFailure, SamplesError, UsageError
from fullint.fleets.jobs import Job
from fullint.fleets.outcome import JobOutcome

pytest.importorskip("distributed")
pytestmark = [pytest.mark.alone, pytest.mark.timeout(120)]

NETWORKS = Path(__file__).with_name("networks")
RESIDUAL = NETWORKS / "residual.tflite"
WORKER = ("--no-dashboard", "--nthreads", "1", "--memory-limit", "0", "--no-nanny")
SLOW = """
import time
from fullint.cluster import tasks
def slow(function, payload, versions, run=getattr(tasks.run_here, "run", tasks.run_here)):
    start = time.monotonic()
    answer = run(function, payload, versions)
    time.sleep(9 * (time.monotonic() - start))
    return answer
slow.run = slow.__defaults__[0]  # a script that is read twice is as slow
slow.__module__, slow.__qualname__ = slow.run.__module__, slow.run.__qualname__
tasks.run_here = slow
"""
OLD = "import fullint.version\nfullint.version.__version__ = '0.0.1'\n"


class Started:
    """A scheduler and workers, each a process of its own.

    Args:
        folder: for their files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workers: list[subprocess.Popen[bytes]] = []
        self.scheduler, self.address = self._scheduler("0")

    def _start(self, *words: str) -> tuple[subprocess.Popen[bytes], Path]:
        log = self.folder / f"{time.monotonic_ns()}.log"
        command = [
            sys.executable,
            "-m",
            "distributed.cli.dask_scheduler" if words[0] == "scheduler" else "distributed.cli.dask_worker",
        ]
        with open(log, "wb") as f:
            process = subprocess.Popen([*command, *words[1:]], stdout=f, stderr=f, stdin=subprocess.DEVNULL, cwd=self.folder)
        return process, log

    def _scheduler(self, port: str) -> tuple[subprocess.Popen[bytes], str]:
        process, log = self._start("scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard")
        found = said(log, process, r"Scheduler at:\s+(tcp://\S+)")
        return process, found

    def more(self, count: int, preload: str | None = None) -> Started:
        """Start workers."""
        words: tuple[str, ...] = ()
        if preload is not None:
            script = self.folder / f"{abs(hash(preload))}.py"
            script.write_text(preload)
            words = ("--preload", str(script))
        new = [self._start("worker", self.address, *WORKER, "--local-directory", str(self.folder), *words) for _ in range(count)]
        self.workers += [process for process, _ in new]
        for process, log in new:
            said(log, process, r"(Registered) to:|(Starting established) connection")
        return self

    def restart(self) -> None:
        """Kill the scheduler, and start another in its place."""
        self.scheduler.kill()
        self.scheduler.wait()
        self.scheduler, _ = self._scheduler(self.address.rpartition(":")[2])

    def end(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


def said(log: Path, process: subprocess.Popen[bytes], pattern: str) -> str:
    """What a process has written, once it has."""
    end = time.monotonic() + 40
    while time.monotonic() < end:
        if found := re.search(pattern, log.read_text(errors="replace")):
            return found[1]
        assert process.poll() is None, log.read_text(errors="replace")
        time.sleep(0.05)
    raise AssertionError(log.read_text(errors="replace"))


@contextlib.contextmanager
def cluster_of(folder: Path) -> Iterator[Started]:
    started = Started(folder)
    try:
        yield started
    finally:
        started.end()


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a scheduler with four workers."""
    with cluster_of(tmp_path_factory.mktemp("cluster")) as started:
        yield started.more(4).address


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Started]:
    """A scheduler without workers."""
    with cluster_of(tmp_path) as started:
        yield started


def rows(count: int, seed: int = 0, path: Path = RESIDUAL) -> np.ndarray:
    shape = fullint.read_model(path).main.inputs[0].shape
    return np.random.default_rng(seed).normal(size=(count, *shape[1:])).astype(np.float32)


def alike(count: int) -> np.ndarray:
    """Samples of which many come again, near to and far from the first of them."""
    data = rows(count)
    data[5::7] = data[4]
    data[count // 2 :] = data[: count - count // 2]
    return data


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_run, "FEWEST", 30)
    monkeypatch.setattr(shard_run, "SHARDS_EACH", 2)


@pytest.mark.parametrize(
    ("make", "options", "shared"),
    [
        (rows, {}, True),
        (alike, {"ranges": "percentile:99.9"}, True),
        (alike, {"num_samples": 150, "seed": 3}, False),
        (rows, {"ranges": "mse", "num_samples": 100}, True),
    ],
)
def test_a_calibration_in_shards_is_the_local_one(
    four: str, tmp_path: Path, small_shards: None, make: Callable[[int], np.ndarray], options: dict[str, object], shared: bool
) -> None:
    np.save(tmp_path / "s.npy", make(300))
    local = fullint.calibrate(RESIDUAL, tmp_path / "s.npy", **options)
    there = fullint.calibrate(RESIDUAL, tmp_path / "s.npy", scheduler=four, shared=shared, **options)
    assert there.packed() == local.packed()
    assert there.entries[0].held_runs


@pytest.mark.parametrize("count", [1, 19, 64])
def test_few_samples(four: str, count: int) -> None:
    data = rows(count)
    assert fullint.calibrate(RESIDUAL, data, scheduler=four).packed() == fullint.calibrate(RESIDUAL, data).packed()


@pytest.mark.parametrize("name", ["residual", "lstm_loop"])
def test_a_model_quantized_there_has_the_bytes_of_the_local_one(four: str, name: str) -> None:
    path = NETWORKS / f"{name}.tflite"
    data = rows(120, path=path)
    local, there = (fullint.quantize(path, data, scheduler=s, min_sqnr=-99) for s in (None, four))
    assert there.model == local.model and there.report.samples == local.report.samples
    assert not any(w.startswith("scheduler:") for w in there.report.warnings)


def test_samples_of_unknown_number_are_measured_here(four: str) -> None:
    data = rows(40)
    there = fullint.quantize(RESIDUAL, (row for row in data[:, None]), scheduler=four)
    assert any(w.startswith("scheduler: the samples were measured here") for w in there.report.warnings)
    [note] = fullint.calibrate(RESIDUAL, (x[None] for x in rows(40)), scheduler=four).notes
    assert note.startswith("scheduler: the samples were measured here")
    assert there.model == fullint.quantize(RESIDUAL, (row for row in data[:, None])).model


def test_a_signature_without_anything_to_be_measured(four: str) -> None:
    rng = np.random.default_rng(0)
    samples = {"one": rng.normal(size=(24, 1, 8)).astype(np.float32), "two": np.arange(24 * 4, dtype=np.int32).reshape(24, 1, 4)}
    there, local = (fullint.quantize(floats_and_none(), samples, scheduler=s) for s in (four, None))
    assert there.model == local.model and any("nothing to be measured" in w for w in there.report.warnings)


def test_several_signatures_in_shards(four: str, small_shards: None) -> None:
    rng = np.random.default_rng(0)
    samples = {
        "encode": rng.normal(size=(70, 1, 8)).astype(np.float32),
        "decode": rng.uniform(-1, 1, size=(50, 1, 4)).astype(np.float32),
    }
    there, local = (fullint.calibrate(two_entries(), samples, scheduler=s) for s in (four, None))
    assert there.packed() == local.packed()


def test_a_sample_that_is_wrong_is_named(four: str, tmp_path: Path) -> None:
    data = rows(100)
    data[77, 0, 0, 0] = np.nan
    np.save(tmp_path / "s.npy", data)
    for shared in (False, True):
        with pytest.raises(SamplesError, match="sample 77"):
            fullint.calibrate(RESIDUAL, tmp_path / "s.npy", scheduler=four, shared=shared)


def kill_when(begun: threading.Event, process: subprocess.Popen[bytes], number: int = signal.SIGKILL) -> None:
    def wait() -> None:
        begun.wait(60)
        process.send_signal(number)

    threading.Thread(target=wait, daemon=True).start()


def test_a_worker_that_is_killed(own: Started, tmp_path: Path, small_shards: None) -> None:
    own.more(4)
    np.save(tmp_path / "s.npy", rows(3000))
    begun = threading.Event()
    kill_when(begun, own.workers[1])
    done: list[int] = []

    def progress(stage: str, number: int, total: int | None) -> None:
        if stage == "calibrate" and number and not begun.is_set():
            begun.set()
            own.workers[1].wait(10)
        done.append(number)

    there = fullint.calibrate(RESIDUAL, tmp_path / "s.npy", scheduler=own.address, shared=True, progress=progress)
    assert own.workers[1].poll() == -signal.SIGKILL and begun.is_set()
    assert there.packed() == fullint.calibrate(RESIDUAL, tmp_path / "s.npy").packed()


def test_a_worker_ten_times_slower(own: Started, tmp_path: Path) -> None:
    own.more(3).more(1, preload=SLOW)
    np.save(tmp_path / "s.npy", rows(1200))
    there = fullint.calibrate(RESIDUAL, tmp_path / "s.npy", scheduler=own.address, shared=True)
    assert there.packed() == fullint.calibrate(RESIDUAL, tmp_path / "s.npy").packed()


def test_a_worker_with_another_version(own: Started) -> None:
    own.more(1).more(1, preload=OLD)
    with pytest.raises(UsageError, match=r"worker tcp://\S+ has fullint 0\.0\.1, not "):
        fullint.calibrate(RESIDUAL, rows(40), scheduler=own.address)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no way to make a file that only this process sees")
def test_a_file_that_a_worker_cannot_see(four: str, tmp_path: Path) -> None:
    """A link to an open file of whoever follows it."""
    np.save(tmp_path / "there.npy", rows(40))
    with open(tmp_path / "there.npy", "rb") as f:
        os.dup2(f.fileno(), 251)
        try:
            (tmp_path / "s.npy").symlink_to("/proc/self/fd/251")
            with pytest.raises(UsageError, match=rf"worker tcp://\S+ cannot read {re.escape(str(tmp_path))}/s\.npy; give a path"):
                fullint.calibrate(RESIDUAL, tmp_path / "s.npy", scheduler=four, shared=True)
            sent = fullint.calibrate(RESIDUAL, tmp_path / "s.npy", scheduler=four)
        finally:
            os.close(251)
    assert sent.packed() == fullint.calibrate(RESIDUAL, tmp_path / "there.npy").packed()


def test_no_scheduler_no_worker_no_address(own: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 1.5)
    begun = time.monotonic()
    for address, why in (
        (own.address, "the scheduler has no worker within"),
        ("tcp://127.0.0.1:9", "no scheduler answers within"),
        ("nowhere", r"no scheduler answers|not an address"),
    ):
        with pytest.raises(UsageError, match=rf"{address}: ({why})"):
            fullint.calibrate(RESIDUAL, rows(40), scheduler=address)
    assert time.monotonic() - begun < 20


def test_a_crash_of_the_process_is_said_and_ends_no_worker(four: str) -> None:
    with Cluster(four) as cluster:
        with pytest.raises(RuntimeFailure, match="the process that did it ended"):
            cluster.call("os:_exit", 3)
        with pytest.raises(RuntimeFailure, match=r"1, 0|division"):
            cluster.call("fractions:Fraction", "1/0")
        with pytest.raises(FullintError):
            cluster.call("fullint:read_model", "/none.tflite")
        assert next(iter(cluster.each("math:sqrt", 9, float)))  # the rest is not wanted
        assert len(dict(cluster.each("math:sqrt", 9, float))) == 9 and cluster.threads == 4


def jobs(tmp_path: Path, count: int, **options: object) -> list[Job]:
    np.save(tmp_path / "s.npy", rows(40))
    given = {"samples": str(tmp_path / "s.npy"), "effort": "fast", "threads": None, **options}
    return [Job("quantize", (str(RESIDUAL),), str(tmp_path / f"out{i}.tflite"), {**given, "seed": i}) for i in range(count)]


def bytes_of(made: Sequence[Job]) -> list[bytes]:
    return [Path(str(j.output)).read_bytes() for j in made]


@pytest.mark.parametrize("shared", [False, True], ids=["sent", "shared"])
def test_models_are_spread(four: str, tmp_path: Path, shared: bool) -> None:
    (tmp_path / "there").mkdir()
    local, there = jobs(tmp_path, 4), jobs(tmp_path / "there", 4)
    fullint.run_jobs(local)
    report = fullint.run_jobs(there, scheduler=four, shared=shared, cache=tmp_path / "cache")
    assert [j.status for j in report.jobs] == ["done"] * 4 and report.processes == 4
    assert bytes_of(there) == bytes_of(local)
    again = fullint.run_jobs(there, scheduler=four, cache=tmp_path / "cache")
    assert [j.status for j in again.jobs] == ["kept"] * 4


def test_one_that_fails_does_not_stop_the_rest(four: str, tmp_path: Path) -> None:
    some = jobs(tmp_path, 3)
    np.save(tmp_path / "bad.npy", np.zeros((3, 2), np.float32))
    some[1] = Job("quantize", some[1].models, some[1].output, {**some[1].options, "samples": str(tmp_path / "bad.npy")})
    (tmp_path / "d.py").write_text("def f():\n    yield [1]\n")
    some[2] = Job("quantize", some[2].models, some[2].output, {**some[2].options, "samples": f"{tmp_path}/d.py:f"})
    report = fullint.run_jobs(some, scheduler=four)
    assert [j.status for j in report.jobs] == ["done", "failed", "failed"] and report.exit_code == 2
    assert "has shape" in report.jobs[1].message and "cannot be sent" in report.jobs[2].message


def test_the_scheduler_is_restarted_between_two_models(own: Started, tmp_path: Path) -> None:
    own.more(2)
    there = jobs(tmp_path, 4)
    restarted = threading.Event()

    def told(done: int, total: int, outcome: JobOutcome) -> None:
        if done == 1:
            own.restart()
            own.more(2)
            restarted.set()

    report = fullint.run_jobs(there, 1, scheduler=own.address, told=told)
    assert restarted.is_set() and [(j.status, j.message) for j in report.jobs] == [("done", "")] * 4
    (tmp_path / "local").mkdir()
    local = jobs(tmp_path / "local", 4)
    fullint.run_jobs(local)
    assert bytes_of(there) == bytes_of(local)


def test_a_scheduler_that_goes_for_good(own: Started, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "AWAY_SECONDS", 2.0)
    own.more(1)
    there = jobs(tmp_path, 3)

    def told(done: int, total: int, outcome: JobOutcome) -> None:
        if done == 1:
            own.end()

    report = fullint.run_jobs(there, 1, scheduler=own.address, told=told)
    assert [j.status for j in report.jobs] == ["done", "failed", "failed"]
    assert all(f"{own.address}: no scheduler answers within 2 s" in j.message for j in report.jobs[1:])


def test_the_commands(four: str, tmp_path: Path) -> None:
    np.save(tmp_path / "s.npy", rows(40))
    given, runner = ["-c", str(tmp_path / "s.npy"), "--scheduler", four, "--shared"], CliRunner()
    out = tmp_path / "out"
    done = runner.invoke(main, ["quantize", str(RESIDUAL), str(NETWORKS / "spread_residual.tflite"), *given, "-o", str(out)])
    assert done.exit_code in (0, 1, 2) and len([*out.glob("*.tflite")]) >= 1, done.output
    assert "2 models: " in done.stdout and "with 2 processes" in done.stdout
    done = runner.invoke(main, ["calibrate", str(RESIDUAL), *given, "-o", str(tmp_path / "s.npz")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "s.npz").read_bytes() == fullint.calibrate(RESIDUAL, tmp_path / "s.npy").packed()
    done = runner.invoke(main, ["audit", str(out), "--scheduler", four])
    assert done.exit_code in (0, 1) and "process" in done.stdout, done.output


def test_a_pair_is_compared_there(four: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same figures, with labels, too, whatever the shards; samples that cannot be spread are run here, which is said."""
    data, calls = rows(45), []
    np.save(tmp_path / "s.npy", data)
    each = Cluster.each
    monkeypatch.setattr(Cluster, "each", lambda self, f, n, job: (calls.append((f, n)), each(self, f, n, job))[1])
    integer = fullint.quantize(RESIDUAL, data, effort="fast").model
    labels = np.arange(45) % 3
    local = fullint.compare(RESIDUAL, integer, data, labels=labels)
    monkeypatch.setattr(on_cluster, "FEWEST_PAIRS", 5)
    assert fullint.compare(RESIDUAL, integer, data, labels=labels, scheduler=four) == local
    monkeypatch.setattr(on_cluster, "FEWEST_PAIRS", 25)
    assert fullint.compare(RESIDUAL, integer, tmp_path / "s.npy", labels=labels, scheduler=four, shared=True) == local
    assert [n for _, n in calls] == [8, 1, 2]
    here = fullint.compare(RESIDUAL, integer, (x[None] for x in data[:20]), scheduler=four)
    assert on_cluster.NOT_SPREAD in here.notes and here.samples == 20
    with pytest.raises(UsageError, match="samples that workers read are files"):
        fullint.compare(RESIDUAL, integer, data, scheduler=four, shared=True)
    (tmp_path / "int8.tflite").write_bytes(integer)
    words = ["compare", str(RESIDUAL), str(tmp_path / "int8.tflite"), "-c", str(tmp_path / "s.npy"), "--scheduler", four]
    done = CliRunner().invoke(main, [*words, "--json"])
    assert done.exit_code in (0, 1) and json.loads(done.stdout)["samples"] == 45 and len(calls) == 4, done.output


def test_what_goes_wrong_there_is_what_would_go_wrong_here(four: str, tmp_path: Path) -> None:
    integer = fullint.quantize(RESIDUAL, rows(40), effort="fast").model
    data = rows(80)
    data[70] = np.nan
    np.save(tmp_path / "s.npy", data)
    said = []
    for scheduler in (None, four):
        with pytest.raises(SamplesError) as e:
            fullint.compare(RESIDUAL, integer, tmp_path / "s.npy", scheduler=scheduler, shared=scheduler is not None)
        said.append(str(e.value))
    assert said[0] == said[1] and "70" in said[0]


def test_units_are_measured_there(four: str) -> None:
    data = rows(60)
    local, there = (fullint.sensitivity(RESIDUAL, data, scheduler=s, effort="fast") for s in (None, four))
    assert there.units == local.units and there.remedies == local.remedies and there.sqnr_db == local.sqnr_db


def test_a_budget_ends_the_measuring_there(four: str) -> None:
    begun = time.monotonic()
    there = fullint.sensitivity(RESIDUAL, rows(60), scheduler=four, budget=0.5)
    assert there.measured < len(there.units) and any("the time was over" in note for note in there.notes)
    assert time.monotonic() - begun < 30


def test_trials_of_the_best_effort_are_made_there(four: str) -> None:
    data = rows(80)
    local, there = (fullint.quantize(RESIDUAL, data, effort="best", scheduler=s) for s in (None, four))
    assert there.model == local.model and there.report.trials == local.report.trials
    assert any(t.kept for t in there.report.trials)


def test_trials_end_where_the_scheduler_does(own: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there by then is kept."""
    monkeypatch.setattr(connection, "AWAY_SECONDS", 1.0)
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 1.0)
    own.more(1)

    def progress(stage: str, number: int, total: int | None) -> None:
        if stage == "search" and number == 1:
            own.end()

    result = fullint.quantize(RESIDUAL, rows(80), effort="best", scheduler=own.address, progress=progress)
    assert any("effort best: ended after" in w and "no scheduler answers" in w for w in result.report.warnings)
