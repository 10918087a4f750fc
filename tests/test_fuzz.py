"""Damaged files: one clear error or a verified result, never a crash of this process."""

import os
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import corpus
from fuzzing import run
from fuzzing.commands import OUT
from fuzzing.run import Case, cases, tried
from test_quantize import network

from fullint import quantize
from fullint.errors import FullintError, ModelFormatError, UsageError
from fullint.model.tflite import read_bytes
from fullint.ops.builder import Builder
from fullint.verification.contract import contract_problems

FLIPS = 40


def outcome(data: bytes) -> str:
    """Quantize damaged bytes; anything but a FullintError or an integer result fails the test."""
    try:
        result = quantize(data, synthetic=True, num_samples=4)
    except FullintError as e:
        assert str(e)  # noqa: PT017 - any of them will do
        assert e.exit_code in (1, 2)  # noqa: PT017
        return type(e).__name__
    if result.report.status == "quantized":
        assert list(contract_problems(read_bytes(result.model))) == []
    return result.report.status


def flipped(data: bytes, seed: int) -> bytes:
    """A few bytes changed, mostly where the tables are."""
    rng = np.random.default_rng(seed)
    damaged = bytearray(data)
    for _ in range(int(rng.choice([1, 1, 2, 8, 32]))):
        spans = [(0, min(4096, len(data))), (max(0, len(data) - 8192), len(data)), (0, len(data))]
        low, high = spans[int(rng.integers(3))]
        damaged[int(rng.integers(low, high))] = int(rng.integers(256))
    return bytes(damaged)


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data() -> bytes:
    g = Builder()
    network(g)
    return g.bytes("serve")


@pytest.mark.parametrize("tenth", range(10))
def test_truncated_files_are_refused(data: bytes, tenth: int) -> None:
    with pytest.raises(ModelFormatError):
        quantize(data[: len(data) * tenth // 10 + 5], synthetic=True)


@pytest.mark.parametrize("seed", range(FLIPS))
def test_flipped_bytes(data: bytes, seed: int) -> None:
    assert outcome(flipped(data, seed))


def test_absurd_counts_are_refused_at_once(data: bytes) -> None:
    """A vector length of two billion is not walked."""
    root = int.from_bytes(data[:4], "little")
    for offset in range(root, root + 400, 4):
        damaged = bytearray(data)
        damaged[offset : offset + 4] = (2**31 - 1).to_bytes(4, "little")
        assert outcome(bytes(damaged))


@pytest.mark.parametrize("path", corpus("models", "*.tflite"), ids=lambda p: p.stem)
def test_truncated_corpus(path: Path) -> None:
    data = path.read_bytes()
    for tenth in range(10):
        with pytest.raises(ModelFormatError):
            quantize(data[: len(data) * tenth // 10 + 5], synthetic=True)


@pytest.mark.parametrize("name", ["tflm_keyword_scrambled_8bit", "tflm_person_detect"])
def test_models_broken_on_purpose(name: str) -> None:
    found = corpus("models", f"{name}.tflite")
    if not found:
        pytest.skip("no corpus")
    with pytest.raises(FullintError):
        quantize(found[0], synthetic=True)


@pytest.mark.parametrize("path", corpus("singles", "*.tflite")[::6], ids=lambda p: p.stem)
def test_flipped_corpus(path: Path) -> None:
    for seed in range(4):
        assert outcome(flipped(path.read_bytes(), seed))


KEPT = sorted(p for p in Path(__file__).parent.joinpath("fuzzing", "kept").glob("*/*") if p.name != "finding.txt")


@pytest.mark.own_workers
@pytest.mark.parametrize("path", KEPT, ids=lambda p: p.parent.name)
def test_findings_that_were_mended(path: Path) -> None:
    """Each is a file in a folder whose name ends with the command that it broke."""
    command = path.parent.name.rpartition("-")[2]
    assert tried(Case(0, command, path.name, path.read_bytes())) is None


@pytest.mark.own_workers
@pytest.mark.parametrize("first", [0, 100, 200])
def test_damaged_files_through_all_commands(first: int) -> None:
    """The beginning of what `make fuzz` does."""
    for seed in range(first, first + 60):
        for case in cases(seed):
            found = tried(case)
            assert found is None, f"seed {seed}: {found.place}\n{found.detail}"


def test_mutations_are_repeatable() -> None:
    one, other = ([c.data for c in cases(seed)] for seed in (5, 5))
    assert one == other


def test_the_fuzzer_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each sort of finding, from a command that does it."""

    def fails(given: Path, folder: Path) -> None:
        raise KeyError("x")

    def hangs(given: Path, folder: Path) -> None:
        time.sleep(60)

    def crashes(given: Path, folder: Path) -> None:
        os.abort()

    def leaves_a_file(given: Path, folder: Path) -> None:
        Path(tempfile.gettempdir(), "left").touch()

    def leaves_a_process(given: Path, folder: Path) -> None:
        subprocess.Popen(["sleep", "60"])

    def writes_and_refuses(given: Path, folder: Path) -> None:
        (folder / OUT).touch()
        raise UsageError("no")

    def takes_memory(given: Path, folder: Path) -> None:
        np.ones(2 * 10**9, np.int8)

    def writes_another(given: Path, folder: Path) -> None:
        g = Builder()
        g.output(g.op("NEG", g.input(1, 4)))
        (folder / OUT).write_bytes(g.bytes())

    g = Builder()
    g.output(g.op("RELU", g.input(1, 4)))
    expected = {
        fails: "an exception",
        hangs: "a hang",
        crashes: "a crash",
        leaves_a_file: "files are left",
        leaves_a_process: "processes are left",
        writes_and_refuses: "an output after an error",
        takes_memory: "an exception",
        writes_another: "a wrong output",
    }
    monkeypatch.setattr(run, "SECONDS", 3.0)
    for command, what in expected.items():
        monkeypatch.setitem(run.COMMANDS, "inspect", command)
        found = tried(Case(0, "inspect", "a.tflite", g.bytes()))
        assert found is not None and found.what == what, command.__name__
