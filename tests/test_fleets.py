"""Many models in one command: what fits, what fails, what is kept, and what is left of it after a kill."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import fullint
from fullint.errors import SamplesError, UsageError
from fullint.fleets import perform as performing
from fullint.fleets.cache import Cache, CachedWork
from fullint.fleets.cores import shares
from fullint.fleets.fitting import require_fitting
from fullint.fleets.jobs import Job, jobs_of_models
from fullint.fleets.keys import key_of
from fullint.fleets.local_pool import CHILD
from fullint.fleets.manifest import read_manifest
from fullint.fleets.pipeline import run_jobs
from fullint.ops.builder import Builder
from fullint.options.choices import usable_cores
from fullint.runtime.spawn import start

FULLINT = [sys.executable, "-m", "fullint"]
HALF = Path(fullint.__file__).parent / "demo" / "half.tflite"


def network(seed: int, size: int = 4) -> bytes:
    g = Builder(seed)
    g.output(g.dense(g.dense(g.input(1, size, name="x"), 6, activation="RELU"), 3))
    return g.bytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three models, samples, and one file that is none."""
    (tmp_path / "models" / "deep").mkdir(parents=True)
    for name, seed in (("a", 1), ("b", 2), ("deep/a", 3)):
        (tmp_path / "models" / f"{name}.tflite").write_bytes(network(seed))
    (tmp_path / "models" / "notes.txt").write_text("no model")
    np.savez(tmp_path / "samples.npz", x=np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32))
    return tmp_path


def options(folder: Path, **more: object) -> dict[str, object]:
    return {"samples": str(folder / "samples.npz"), "threads": 1, **more}


def jobs(folder: Path, **more: object) -> list[Job]:
    return jobs_of_models("quantize", [folder / "models"], folder / "out", options(folder, **more))


def test_results_are_those_of_one_call_each(folder: Path) -> None:
    told: list[int] = []
    report = run_jobs(jobs(folder), 2, told=lambda done, total, outcome: told.append(done))
    assert told == [1, 2, 3] and report.exit_code == 0
    assert [(job.status, job.exit_code) for job in report.jobs] == [("done", 0)] * 3
    for name in ("a", "b", "deep/a"):
        alone = fullint.quantize(folder / "models" / f"{name}.tflite", folder / "samples.npz", threads=1)
        assert (folder / "out" / f"{name}_int8.tflite").read_bytes() == alone.model
        [job] = [j for j in report.jobs if j.models[0] == str(folder / "models" / f"{name}.tflite")]
        assert job.figures == {
            "float_operators": 0,
            "sqnr_db": alone.report.certificate.sqnr_db,
            "bytes": len(alone.model),
        }
    assert "3 models: 3 done" in str(report) and "deep/a.tflite" in str(report)


def test_one_that_fails_does_not_stop_the_rest(folder: Path) -> None:
    broken = folder / "models" / "b.tflite"
    broken.write_bytes(broken.read_bytes()[:300])
    report = run_jobs(jobs(folder), 2)
    assert [job.status for job in report.jobs] == ["done", "failed", "done"]
    assert report.exit_code == 2 and "truncated or damaged" in report.jobs[1].message
    assert not (folder / "out" / "b_int8.tflite").exists()


def test_a_process_that_ends_takes_its_job_alone_with_it(folder: Path) -> None:
    source = folder / "samples.py"
    source.write_text(
        "import os, signal\nimport numpy as np\n"
        "def ends():\n    os.kill(os.getpid(), signal.SIGKILL)\n    yield [np.zeros((1, 4), np.float32)]\n"
    )
    given = jobs(folder)
    given[1] = Job("quantize", given[1].models, given[1].output, {"samples": f"{source}:ends"})
    report = run_jobs(given, 1)
    assert [job.status for job in report.jobs] == ["done", "crashed", "done"]
    assert report.exit_code == 2 and "Killed" in report.jobs[1].message


def test_outputs_are_not_overwritten_without_force(folder: Path) -> None:
    run_jobs(jobs(folder), 2)
    again = run_jobs(jobs(folder), 2)
    assert {job.status for job in again.jobs} == {"failed"} and "--force overwrites it" in again.jobs[0].message
    assert run_jobs(jobs(folder), 2, force=True).exit_code == 0


def test_what_is_in_the_cache_is_not_done_again(folder: Path) -> None:
    first = run_jobs(jobs(folder), 2, cache=folder / "cache")
    made = {p.name: p.read_bytes() for p in (folder / "out").rglob("*.tflite")}
    again = run_jobs(jobs(folder), 2, cache=folder / "cache", force=True)
    assert {job.status for job in first.jobs} == {"done"} and {job.status for job in again.jobs} == {"kept"}
    assert {p.name: p.read_bytes() for p in (folder / "out").rglob("*.tflite")} == made
    assert [job.figures for job in again.jobs] == [job.figures for job in first.jobs]
    other = run_jobs(jobs(folder, effort="fast"), 2, cache=folder / "cache", force=True)
    assert {job.status for job in other.jobs} == {"done"}
    assert len(list(Cache(folder / "cache").entries())) == 6


@pytest.mark.parametrize("damage", ["truncated", "changed", "swapped", "gone", "no_entry"])
def test_damaged_entries_are_noticed_and_made_again(folder: Path, damage: str) -> None:
    run_jobs(jobs(folder), 2, cache=folder / "cache")
    good = {p.name: p.read_bytes() for p in (folder / "out").rglob("*.tflite")}
    one, other, _ = sorted(p for p in (folder / "cache").glob("??/[0-9a-f]*"))
    if damage == "truncated":
        (one / "result.tflite").write_bytes((one / "result.tflite").read_bytes()[:100])
    elif damage == "changed":
        said = json.loads((one / "entry.json").read_text())
        said["entry"]["exit_code"] = 1
        (one / "entry.json").write_text(json.dumps(said))
    elif damage == "swapped":
        for name in ("result.tflite", "entry.json", "report.json"):
            (one / name).write_bytes((other / name).read_bytes())
    elif damage == "gone":
        (one / "report.json").unlink()
    else:
        (one / "entry.json").write_text("{")
    assert [e.key for e in Cache(folder / "cache").entries() if e.damage] == [one.name]
    again = run_jobs(jobs(folder), 2, cache=folder / "cache", force=True)
    assert sorted(job.status for job in again.jobs) == ["done", "kept", "kept"]
    assert {p.name: p.read_bytes() for p in (folder / "out").rglob("*.tflite")} == good
    assert not any(e.damage for e in Cache(folder / "cache").entries())


KEYS = [f"{pair}{'0' * 62}" for pair in ("aa", "bb", "cc")]


def test_pruning_takes_the_damaged_and_the_oldest(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    for i, key in enumerate(KEYS):
        cache.put(key, CachedWork(bytes(1000), {"n": i}, 0, {}))
        os.utime(cache.folder / key[:2] / key, (1000 + i, 1000 + i))
    (cache.folder / "bb" / KEYS[1] / "result.tflite").write_bytes(b"")
    assert [e.key for e in cache.prune()] == [KEYS[1]]
    assert [e.key for e in cache.prune(most_bytes=1500)] == [KEYS[0]]
    assert [e.key for e in cache.prune(days=1)] == [KEYS[2]] and list(cache.entries()) == []


@pytest.mark.parametrize("damage", ["deep", "fifo", "file", "link", "list"])
def test_entries_that_are_no_entries_are_damaged_and_go(tmp_path: Path, damage: str) -> None:
    cache, key = Cache(tmp_path / "cache"), KEYS[0]
    cache.put(key, CachedWork(b"model", {}, 0, {}))
    place = cache.folder / "aa" / key
    if damage == "deep":
        (place / "entry.json").write_text("[" * 200_000)
    elif damage == "fifo":
        (place / "result.tflite").unlink()
        os.mkfifo(place / "result.tflite")
    elif damage == "file":
        shutil.rmtree(place)
        place.write_text("")
    elif damage == "link":
        place.rename(tmp_path / "elsewhere")
        place.symlink_to(tmp_path / "elsewhere")
    else:
        said = {"version": 1, "key": key, "files": ["report.json"], "exit_code": 0, "figures": {}, "message": ""}
        digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
        (place / "entry.json").write_text(json.dumps({"entry": said, "sha256": digest}))
    assert [bool(e.damage) for e in cache.entries()] == [True]
    assert len(cache.prune()) == 1 and list(cache.entries()) == []
    cache.put(key, CachedWork(b"again", {}, 0, {}))
    found = cache.get(key)
    assert found is not None and found.model == b"again"


def test_a_folder_with_other_things_is_no_cache(tmp_path: Path) -> None:
    """What a user has there is left alone."""
    (tmp_path / "js" / "jslib").mkdir(parents=True)
    (tmp_path / "js" / "jslib" / "main.js").write_text("precious")
    for action in ("list", "check", "prune"):
        done = called("cache", action, str(tmp_path), cwd=tmp_path)
        assert done.returncode == 2 and "there are other things in it" in done.stderr
    with pytest.raises(UsageError, match="other things"):
        Cache(tmp_path)
    cache = Cache(tmp_path / "kept")
    cache.put(KEYS[0], CachedWork(None, {}, 0, {}))
    (cache.folder / "no" / "notes").mkdir(parents=True)
    cache.prune(days=0)
    assert (cache.folder / "no" / "notes").is_dir() and (tmp_path / "js/jslib/main.js").read_text() == "precious"


def test_of_two_that_put_the_same_the_first_stays(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    cache.put(KEYS[0], CachedWork(b"one", {}, 0, {}))
    cache.put(KEYS[0], CachedWork(b"two", {}, 0, {}))
    found = cache.get(KEYS[0])
    assert found is not None and found.model == b"one"
    assert sorted(p.name for p in (cache.folder / "aa").iterdir()) == [KEYS[0]]


def test_keys_tell_what_matters(folder: Path) -> None:
    first = jobs(folder)[0]
    key = key_of(first)
    assert key is not None and key == key_of(Job(first.command, first.models, "elsewhere", {**first.options, "threads": 2}))
    assert key != key_of(Job(first.command, first.models, None, {**first.options, "effort": "fast"}))
    assert key != key_of(Job("repair", first.models, None, first.options))
    assert key != key_of(jobs(folder)[1])
    data = (folder / "samples.npz").read_bytes()
    np.savez(folder / "samples.npz", x=np.ones((30, 4), np.float32))
    assert key != key_of(first)
    (folder / "samples.npz").write_bytes(data)
    assert key == key_of(first)
    by_key = Job("quantize", first.models, None, {"samples": f"x={folder}/samples.npz"})
    assert key_of(by_key) not in (None, key)
    (folder / "plain.toml").write_text('[options]\neffort = "fast"\n')
    (folder / "with_samples.toml").write_text('[options]\nsamples = "samples.npz"\n')
    found = [key_of(Job("quantize", first.models, None, {"recipe": f"{folder}/{n}.toml"})) for n in ("plain", "with_samples")]
    assert found[0] is not None and found[1] is None
    (folder / "net.keras").write_bytes(b"a network of Keras")
    assert key_of(Job("quantize", (str(folder / "net.keras"),), None, {})) is None
    (folder / "more.py").write_text("def give(): ...")
    assert key_of(Job("quantize", first.models, None, {"samples": f"{folder}/more.py:give"})) is None


def test_samples_must_fit_all_models(folder: Path) -> None:
    (folder / "models" / "b.tflite").write_bytes(network(2, size=5))
    with pytest.raises(SamplesError, match=r"^b\.tflite: "):
        require_fitting(jobs(folder))


def test_results_of_the_same_name_are_refused(folder: Path) -> None:
    given = [folder / "models" / "a.tflite", folder / "models" / "deep" / "a.tflite"]
    with pytest.raises(UsageError, match="would both become"):
        run_jobs(jobs_of_models("quantize", given, folder / "out", {}))
    twice = [
        Job("quantize", (str(m),), str(folder / out), {}) for m, out in zip(given, ("x.tflite", "out/../x.tflite"), strict=True)
    ]
    with pytest.raises(UsageError, match="would both become"):
        run_jobs(twice)
    with pytest.raises(UsageError, match="would take the place of a model"):
        run_jobs([Job("quantize", (str(given[0]),), str(given[1]), {}), Job("quantize", (str(given[1]),), str(folder / "y"), {})])
    (folder / "empty").mkdir()
    with pytest.raises(UsageError, match="no model found"):
        jobs_of_models("quantize", [folder / "empty"], folder / "out", {})
    with pytest.raises(UsageError, match="and this is none"):
        jobs_of_models("quantize", given[:1], given[0], {})
    with pytest.raises(UsageError, match="give -o FOLDER"):
        jobs_of_models("quantize", given[:1], None, {})


MANIFEST = """
schema_version = 1
command = "quantize"

[options]
samples = "samples.npz"
effort = "fast"
threads = 1

[[models]]
model = "models/a.tflite"
output = "out/first.tflite"

[[models]]
model = "models/b.tflite"
output = "out/second.tflite"
effort = "balanced"
per_tensor = true
"""


def test_a_manifest_says_what_becomes_of_each(folder: Path) -> None:
    (folder / "fleet.toml").write_text(MANIFEST)
    found = read_manifest(folder / "fleet.toml", "quantize", {"min_sqnr": 3.0, "effort": "best"})
    assert [job.options["effort"] for job in found] == ["fast", "balanced"]
    assert all(job.options["min_sqnr"] == 3.0 for job in found) and found[1].options["per_tensor"]
    assert run_jobs(found, 2).exit_code == 0
    alone = fullint.quantize(folder / "models/b.tflite", folder / "samples.npz", threads=1, per_tensor=True, min_sqnr=3.0)
    assert (folder / "out/second.tflite").read_bytes() == alone.model


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('effort = "fast"', 'efort = "fast"'), "efort"),
        (('output = "out/first.tflite"', ""), "model 1: output = FILE is missing"),
        (("per_tensor = true", 'integer = "b.tflite"'), "model 2: quantize has no integer"),
        (('command = "quantize"', 'command = "compare"'), 'it is a manifest of "compare"'),
        (("schema_version = 1", "schema_version = 7"), "schema_version 7"),
        (("[[models]]", "[[model]]"), "model"),
        (("threads = 1", "seed = 2020-01-01"), "seed must be text, a number"),
    ],
)
def test_what_a_manifest_cannot_say(folder: Path, change: tuple[str, str], says: str) -> None:
    (folder / "fleet.toml").write_text(MANIFEST.replace(*change))
    with pytest.raises(UsageError, match=says):
        read_manifest(folder / "fleet.toml", "quantize")


def called(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*FULLINT, *words], cwd=cwd, capture_output=True, text=True, check=False)


def test_commands_on_many_models(folder: Path) -> None:
    done = called("quantize", "models", "-c", "samples.npz", "-o", "out", "-j", "2", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["schema_version"] == 1 and [j["status"] for j in report["jobs"]] == ["done"] * 3
    pairs = "\n".join(f'[[models]]\nmodel = "models/{n}.tflite"\ninteger = "out/{n}_int8.tflite"' for n in ("a", "deep/a"))
    (folder / "pairs.toml").write_text(f'[options]\nsamples = "samples.npz"\n{pairs}\n')
    for words, code in (
        (("audit", "out", "-j", "2"), 0),
        (("repair", "out", "-o", "again", "-j", "2"), 0),
        (("compare", "--manifest", "pairs.toml", "--cache", "kept"), 0),
        (("sensitivity", "models/a.tflite", "models/b.tflite", "-c", "samples.npz", "-j", "2"), 0),
        (("cache", "list", "kept"), 0),
        (("cache", "check", "kept"), 0),
        (("cache", "prune", "kept", "--days", "0"), 0),
    ):
        done = called(*words, cwd=folder)
        assert done.returncode == code, (words, done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("quantize",), "which model?"),
        (("quantize", "models", "-c", "samples.npz"), "give -o FOLDER"),
        (("quantize", "models", "-c", "samples.npz", "-o", "out", "--plan"), "are for one model"),
        (("quantize", "models", "-c", "samples.npz", "-o", "out", "-j", "0"), "from 1 on"),
        (("quantize", "--manifest", "missing.toml"), "No such file"),
        (("compare", "models/a.tflite"), "give FLOAT and INT"),
        (("cache", "list", "models/a.tflite"), "is a file"),
        (("cache", "check", "nowhere"), "no cache of fullint"),
        (("cache", "prune", "nowhere", "--days", "nan"), "from 0 on"),
        (("cache", "prune", "nowhere", "--most-bytes", "-1"), "from 0 on"),
        (("audit", "models", "-j", "1", "--details"), "details are for --json"),
    ],
)
def test_bad_use_is_one_sentence(folder: Path, words: tuple[str, ...], says: str) -> None:
    done = called(*words, cwd=folder)
    assert done.returncode == 2 and says in done.stderr and "Traceback" not in done.stderr


def test_a_file_that_changes_meanwhile_is_not_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = iter(("a" * 64, "b" * 64))
    monkeypatch.setattr(performing, "key_of", lambda job: next(keys))
    outcome = performing.perform(jobs(folder)[0], Cache(folder / "cache"))
    assert outcome.status == "failed" and "changed meanwhile" in outcome.message
    assert list(Cache(folder / "cache").entries()) == [] and not (folder / "out").exists()


def test_a_run_goes_on_without_force_where_outputs_are_those_of_the_cache(folder: Path) -> None:
    run_jobs(jobs(folder), 2, cache=folder / "cache")
    again = run_jobs(jobs(folder), 2, cache=folder / "cache")
    assert {job.status for job in again.jobs} == {"kept"} and again.exit_code == 0
    (folder / "out" / "b_int8.tflite").write_bytes(b"another")
    last = run_jobs(jobs(folder), 2, cache=folder / "cache")
    assert [job.status for job in last.jobs] == ["kept", "failed", "kept"]
    assert (folder / "out" / "b_int8.tflite").read_bytes() == b"another"


def test_places_that_cannot_be_written_are_found_before_the_work(folder: Path) -> None:
    file = folder / "samples.npz"
    for out, cache in ((folder / "out", file), (folder / "out", file / "below"), (file / "below", None)):
        with pytest.raises(UsageError):
            run_jobs(jobs_of_models("quantize", [folder / "models"], out, options(folder)), 1, cache=cache)
    assert not (folder / "out").exists()


def test_what_a_run_has_made_is_not_taken_for_models(folder: Path) -> None:
    within = folder / "models" / "out"
    for _ in range(2):
        given = jobs_of_models("quantize", [folder / "models"], within, options(folder), [folder / "models" / "kept"])
        assert len(given) == 3
        run_jobs(given, 2, cache=folder / "models" / "kept", force=True)


def test_folders_that_are_models_are_not_searched_and_empty_ones_are_named(folder: Path) -> None:
    (folder / "saved").mkdir()
    (folder / "saved" / "saved_model.pb").write_bytes(b"")
    found = jobs_of_models("quantize", [folder / "saved", folder / "models" / "a.tflite"], folder / "out", {})
    assert [Path(job.models[0]).name for job in found] == ["saved", "a.tflite"]


def test_labels_by_name_and_what_fails_an_audit(folder: Path) -> None:
    x = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    np.savez(folder / "labelled.npz", x=x, right=np.zeros(30, np.int64), wrong=np.ones(30, np.int64))
    given = [jobs(folder, samples=str(folder / "labelled.npz"), labels=name)[0] for name in ("right", "wrong")]
    assert all(run_jobs([job], 1, force=True).exit_code == 0 for job in given)
    assert key_of(given[0]) != key_of(given[1])
    (folder / "half.tflite").write_bytes(HALF.read_bytes())
    for level, code in (("error", 0), ("warning", 1)):
        done = called("audit", "half.tflite", "-j", "1", "--fail-on", level, cwd=folder)
        alone = called("audit", "half.tflite", "--fail-on", level, cwd=folder)
        assert done.returncode == alone.returncode, (level, code)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_who_cannot_be_told_goes_without(folder: Path) -> None:
    (folder / "models" / "b.tflite").write_bytes(network(2)[:300])
    words = [*FULLINT, "quantize", "models", "-c", "samples.npz", "-o", "out", "-j", "1"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(words, cwd=folder, stdout=subprocess.PIPE, stderr=full, check=False)
    assert done.returncode == 2 and len(list((folder / "out").rglob("*.tflite"))) == 2


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_run_that_is_killed_loses_what_was_running_and_no_more(folder: Path) -> None:
    for seed in range(12):
        (folder / "models" / f"m{seed}.tflite").write_bytes(network(seed + 10))
    words = [*FULLINT, "quantize", "models", "-c", "samples.npz", "-o", "out", "-j", "2", "--cache", "kept", "--force"]
    for _ in range(2):
        process = subprocess.Popen(
            words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        before = len(list((folder / "kept").glob("??/[0-9a-f]*")))
        end = time.monotonic() + 60
        while len(list((folder / "kept").glob("??/[0-9a-f]*"))) < before + 3 and time.monotonic() < end:
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    kept = len(list((folder / "kept").glob("??/[0-9a-f]*")))
    done = called("quantize", "models", "-c", "samples.npz", "-o", "out", "--cache", "kept", "--force", "--json", cwd=folder)
    assert done.returncode == 0
    assert sum(job["status"] == "kept" for job in json.loads(done.stdout)["jobs"]) >= kept >= 6
    for model in (folder / "models").rglob("*.tflite"):
        below = model.relative_to(folder / "models")
        made = folder / "out" / below.with_name(f"{below.stem}_int8.tflite")
        assert made.read_bytes() == fullint.quantize(model, folder / "samples.npz").model


@pytest.mark.parametrize(
    ("processes", "threads", "cores", "expected"),
    [
        (2, 1, (0, 1), [(0,), (1,)]),
        (2, 2, (1, 3, 4, 6), [(1, 3), (4, 6)]),
        (2, 1, (0, 1, 2, 3), [(), ()]),  # what it leaves free may be at work for another command
        (1, 1, (0,), [()]),
        (3, 1, (0, 1), [(), (), ()]),
    ],
)
def test_processes_that_take_all_cores_share_them(
    processes: int, threads: int, cores: tuple[int, ...], expected: list[tuple[int, ...]]
) -> None:
    jobs = [Job("quantize", (f"{i}.tflite",), f"{i}_int8.tflite", {"threads": threads}) for i in range(4)]
    assert shares(processes, jobs, cores) == expected
    assert shares(processes, [*jobs, Job("quantize", ("x",), "y", {"threads": 7})], cores) == [()] * processes


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux only")
def test_a_process_keeps_to_its_cores() -> None:
    core = usable_cores()[-1]
    for asked, expected in ((str(core), {core}), ("", set(usable_cores())), ("9999", set(usable_cores()))):
        child = start(CHILD, ("", "", asked))
        try:
            job = {"command": "audit", "models": ["/no/such.tflite"], "output": None, "options": {}}
            child.process.stdin.write(json.dumps(job).encode() + b"\n")
            child.process.stdin.flush()
            assert json.loads(child.process.stdout.readline())["exit_code"] == 2
            assert os.sched_getaffinity(child.process.pid) == expected
        finally:
            child.end()
