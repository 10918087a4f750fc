"""Damaged files: one clear error or a verified result, never a crash of this process."""

from pathlib import Path

import numpy as np
import pytest
from conftest import corpus
from test_quantize import network

from fullint import quantize
from fullint.errors import FullintError, ModelFormatError
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
