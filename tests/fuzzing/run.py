"""The fuzzer: damaged files through the commands, each in a child process with limits; what goes wrong is kept, made small.

cd tests; python -m fuzzing.run [--minutes M | --inputs N] [--jobs J] [--first SEED] [--keep FOLDER]
                                [--command NAME ...]

    seed -> sound file -> mutations -> command -> answer

A good answer is a report, or a FullintError. Findings are other exceptions, a crash, a command that takes over 20 s or too
much memory, an output after an error, temporary files or processes that are left, and an output that does not compute what its
input computes on LiteRT. An input is told by its seed, so that a finding can be repeated: `--first SEED --inputs 1`.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from fullint.errors import FullintError
from fuzzing.commands import COMMANDS, OF_MODELS, OUT, QUICK
from fuzzing.judge import outputs_differ
from fuzzing.mutations import mutate
from fuzzing.seeds import OF_COMMAND, a_model, an_array

SECONDS = 20.0
BYTES = 1_000_000_000
"""Private memory of a command, without its workers, which have limits of their own."""
RUN_SHARE = 0.7
"""Share of the models that go through one of the commands that run them."""
QUICK_SHARE = 0.4
"""Share of those that go through the commands that only look at them."""
MOST_TRIES = 60
"""Runs to make a finding small."""


@dataclass(frozen=True)
class Case:
    """A damaged file and the command that it is for."""

    seed: int
    command: str
    name: str
    data: bytes


@dataclass(frozen=True)
class Finding:
    """What a command made of a case that it should not have."""

    case: Case
    what: str
    detail: str

    @property
    def place(self) -> str:
        """By which findings are told to be the same one."""
        return f"{self.case.command}: {self.what}: {self.detail.splitlines()[-1] if self.detail else ''}"


def cases(seed: int, wanted: Sequence[str] = tuple(COMMANDS)) -> Iterator[Case]:
    """The cases of a seed: one file, and the commands that it goes through."""
    rng = random.Random(seed)
    others = [c for c in wanted if c in OF_COMMAND]
    models = [c for c in wanted if c in OF_MODELS]
    if others and (not models or rng.random() < 0.4):
        command = rng.choice(others)
        make, name = OF_COMMAND[command]
        make, name = (an_array, "a.npy") if command == "samples" and rng.random() < 0.2 else (make, name)
        yield Case(seed, command, name, mutate(make(rng), seed, model=False))
        return
    data = mutate(a_model(rng), seed, model=True)
    running = [c for c in models if c not in QUICK]
    quick = [c for c in models if c in QUICK]
    for command in (quick if rng.random() < QUICK_SHARE else []) + (
        [rng.choice(running)] if running and rng.random() < RUN_SHARE else []
    ):
        yield Case(seed, command, "a.tflite", data)


def tried(case: Case) -> Finding | None:
    """Run a case in a child process."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder = Path(name)
        (folder / "tmp").mkdir()
        given = folder / case.name
        given.write_bytes(case.data)
        child = os.fork()
        if not child:
            _run(case, given, folder)
        what, detail = _answer(child, folder)
        if what == "refused" and (folder / OUT).exists():
            return Finding(case, "an output after an error", detail)
        if what in ("done", "refused"):
            left = sorted(p.name for p in (folder / "tmp").iterdir())
            return Finding(case, "files are left", " ".join(left)) if left else None
        return Finding(case, what, detail)


def _run(case: Case, given: Path, folder: Path) -> None:
    """In the child: the command, and its answer in a file; never returns."""
    os.setsid()
    faulthandler.disable()  # a crash is told by how the process ends
    resource.setrlimit(resource.RLIMIT_DATA, (BYTES, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder / "tmp")
    os.chdir(folder)
    said = os.open(folder / "said", os.O_WRONLY | os.O_CREAT)
    os.dup2(said, 1)
    os.dup2(said, 2)
    try:
        COMMANDS[case.command](given, folder)
        wrong = outputs_differ(given, folder / OUT) if (folder / OUT).exists() else None
        answer = ("done", "") if wrong is None else ("a wrong output", wrong)
    except FullintError as e:
        answer = ("refused", f"{type(e).__name__}: {e}") if str(e).isprintable() or "\n" in str(e) else ("unprintable", repr(e))
    except BaseException as e:
        place = traceback.extract_tb(e.__traceback__)[-1]
        answer = (
            "an exception",
            f"{traceback.format_exc()[-3000:]}\n{type(e).__name__} in {Path(place.filename).name}:{place.lineno}",
        )
    (folder / "answer").write_text(json.dumps(answer), errors="replace")
    os._exit(0)


def _answer(child: int, folder: Path) -> tuple[str, str]:
    end = time.monotonic() + SECONDS
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        if time.monotonic() > end:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "a hang", f"over {SECONDS:.0f} s"
        time.sleep(0.003)
    left = _session(child)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if status or not (folder / "answer").exists():
        return "a crash", f"{(folder / 'said').read_text(errors='replace')[-2000:]}\nstatus {status}"
    if left:
        return "processes are left", " ".join(left)
    what, detail = json.loads((folder / "answer").read_text())
    return what, detail


def _session(leader: int) -> list[str]:
    """Processes of a session that is over, but for those that end within a second."""
    for _ in range(20):
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError, IndexError):
                fields = stat.read_text().rpartition(")")[2].split()
                if fields[3] == str(leader) and fields[0] != "Z":
                    found.append(stat.parent.name)
        if not found:
            return []
        time.sleep(0.05)
    return found


def smaller(finding: Finding) -> Finding:
    """The same finding from a file with fewer changes: spans of bytes are cut off or put back as long as it stays."""
    best = finding
    size = len(best.case.data) // 2
    for _ in range(MOST_TRIES):
        if size < 1:
            break
        data = best.case.data[:-size]
        found = tried(Case(best.case.seed, best.case.command, best.case.name, data)) if data else None
        if found is not None and found.place == finding.place:
            best = found
        else:
            size //= 2
    return best


def fuzz(seeds: Iterator[int], end: float, wanted: Sequence[str], keep: Path, counts: Counter[str]) -> None:
    """Try seeds until `end`, and keep each new finding in a folder."""
    known: set[str] = set()
    for seed in seeds:
        if time.monotonic() > end:
            break
        for case in cases(seed, wanted):
            counts[case.command] += 1
            found = tried(case)
            if found is None or found.place in known:
                continue
            known.add(found.place)
            counts["findings"] += 1
            _say(f"seed {seed}: {found.place}")
            found = smaller(found)
            where = keep / f"{seed}-{case.command}"
            where.mkdir(parents=True, exist_ok=True)
            (where / case.name).write_bytes(found.case.data)
            (where / "finding.txt").write_text(f"{found.what}\n{found.detail}\n", errors="replace")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Fuzz with several processes; exit 1 where there is a finding."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--inputs", type=int, default=10**9, help="files, of which models go through several commands")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--first", type=int, default=0, help="seed of the first file")
    parser.add_argument("--keep", type=Path, default=Path(__file__).parents[2] / "build" / "fuzz")
    parser.add_argument("--command", action="append", choices=sorted(COMMANDS))
    given = parser.parse_args()
    if given.minutes == 1e9 and given.inputs == 10**9:
        parser.error("say how long: --minutes M or --inputs N")
    wanted = tuple(given.command or COMMANDS)
    end = time.monotonic() + 60 * given.minutes
    jobs = min(given.jobs, given.inputs)
    with tempfile.TemporaryDirectory() as folder:
        children = []
        for job in range(jobs):
            child = os.fork()
            if not child:
                counts: Counter[str] = Counter()
                seeds = iter(range(given.first + job, given.first + given.inputs, jobs))
                fuzz(seeds, end, wanted, given.keep, counts)
                (Path(folder) / str(job)).write_text(json.dumps(counts))
                os._exit(0)
            children.append(child)
        failed = any(os.waitpid(child, 0)[1] for child in children)
        total: Counter[str] = Counter()
        for job in range(jobs):
            path = Path(folder) / str(job)
            total.update(json.loads(path.read_text()) if path.exists() else {})
    findings = total.pop("findings", 0)
    _say(f"{total.total()} inputs: {dict(total.most_common())}; {findings} findings")
    return int(failed or findings > 0)


if __name__ == "__main__":
    sys.exit(main())
