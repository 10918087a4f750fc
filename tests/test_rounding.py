"""Weights rounded for what they multiply: better than to nearest where inputs are alike, never far worse, always the same."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fullint.quantization import rounding
from fullint.quantization.rounding import Exact, Rounded

MOST = 127


def round_weights(w: np.ndarray, scale: np.ndarray, exact: np.ndarray, rounded: np.ndarray, first: int) -> Rounded:
    return rounding.round_weights(Exact.of(w, exact), scale, rounded, first, MOST)


def correlated(rng: np.random.Generator, mix: np.ndarray, count: int, groups: int = 1, noise: float = 0.05) -> np.ndarray:
    """[results, groups, columns]: a few sources, mixed, and a little of its own in each column."""
    sources = rng.normal(size=(count, groups, mix.shape[0]))
    return (sources @ mix + noise * rng.normal(size=(count, groups, mix.shape[1]))).astype(np.float32)


def layer(rng: np.random.Generator, outputs: int, columns: int, groups: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Weights, and steps so large that rounding counts."""
    w = rng.normal(size=(groups, outputs, columns)).astype(np.float32)
    return w, (np.abs(w).max(axis=2) / 7).astype(np.float32)


def error(w: np.ndarray, scale: np.ndarray, codes: np.ndarray, exact: np.ndarray, real: np.ndarray) -> float:
    """Mean squared error of the results, their means taken off, by the definition."""
    y = np.einsum("ngk,gok->ngo", real.astype(np.float64), codes * scale[:, :, None].astype(np.float64))
    y -= np.einsum("ngk,gok->ngo", exact.astype(np.float64), w.astype(np.float64))
    return float(np.square(y - y.mean(axis=0)).mean())


def nearest(w: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(w / scale[:, :, None]), -MOST, MOST)


@pytest.mark.parametrize(("groups", "outputs", "columns"), [(1, 8, 24), (1, 5, 100), (6, 1, 9), (2, 4, 36), (1, 3, 700)])
def test_rounding_lowers_the_error_on_other_samples(groups: int, outputs: int, columns: int) -> None:
    """Also in several blocks (700 columns), in several groups, and with as few columns as a depthwise window has."""
    rng = np.random.default_rng(columns)
    mix = rng.normal(size=(max(2, columns // 4), columns))
    w, scale = layer(rng, outputs, columns, groups)
    x, new = (correlated(rng, mix, 1000, groups) for _ in range(2))
    found = round_weights(w, scale, x, x, 500)
    assert found.codes.shape == w.shape and found.codes.dtype == np.int8
    plain = nearest(w, scale)
    assert found.nearest == pytest.approx(error(w, scale, plain, x, x), rel=1e-3)
    assert found.error == pytest.approx(error(w, scale, found.codes, x, x), rel=1e-3)
    assert error(w, scale, found.codes, new, new) < 0.7 * error(w, scale, plain, new, new)


def test_by_hand() -> None:
    """Two columns that are always alike: what the first loses, the second one gets. 0.4 + 0.4 is nearer to 1 than to 0."""
    x = np.random.default_rng(0).normal(size=(400, 1, 1)).astype(np.float32).repeat(2, axis=2)
    found = round_weights(np.float32([[[0.4, 0.4]]]), np.ones((1, 1), np.float32), x, x, 200)
    assert found.codes.sum() == 1 and not found.moved_target
    assert found.nearest == pytest.approx(0.8**2 * x.var(), rel=1e-3)
    assert found.error == pytest.approx(0.2**2 * x.var(), rel=1e-3)


def test_means_do_not_count() -> None:
    """They are the bias's business: inputs far from zero that hardly move are rounded as if they were not far from it."""
    rng = np.random.default_rng(1)
    mix = rng.normal(size=(4, 16))
    w, scale = layer(rng, 6, 16)
    x = correlated(rng, mix, 600)
    far = x + np.linspace(-3, 5, 16, dtype=np.float32)
    one, other = (round_weights(w, scale, a, a, 300) for a in (x, far))
    assert (one.codes == other.codes).mean() > 0.95
    assert other.error == pytest.approx(one.error, rel=0.05)


@pytest.mark.parametrize("factor", [1.0, 60.0])
def test_codes_stay_in_their_range(factor: float) -> None:
    """However large the weights are for their steps; -128 is never used."""
    rng = np.random.default_rng(2)
    w = (rng.normal(size=(1, 8, 32)) * factor * 10).astype(np.float32)
    x = correlated(rng, rng.normal(size=(3, 32)), 500)
    found = round_weights(w, np.full((1, 8), 0.1, np.float32), x, x, 250)
    assert found.codes.min() >= -MOST and found.codes.max() <= MOST
    assert found.error <= found.nearest


def test_white_inputs_are_rounded_to_nearest() -> None:
    """Columns that have nothing in common have nothing to give each other."""
    rng = np.random.default_rng(3)
    w, scale = layer(rng, 6, 16)
    x = np.concatenate([s * np.eye(16) for s in (1, -1)]).astype(np.float32).reshape(-1, 1, 16)
    found = round_weights(w, scale, x, x, 16)
    np.testing.assert_array_equal(found.codes, nearest(w, scale))
    assert found.error == found.nearest


@pytest.mark.parametrize(("count", "rank"), [(12, 200), (24, 40), (24, 400), (40, 60), (40, 200), (200, 3), (64, 64)])
def test_fewer_results_than_columns(count: int, rank: int) -> None:
    """Codes are numbers, and on new samples no worse than rounding to nearest by more than a few percent."""
    rng = np.random.default_rng(4)
    mix = rng.normal(size=(rank, 200))
    w, scale = layer(rng, 16, 200)
    x, new = correlated(rng, mix, count, noise=0.0), correlated(rng, mix, 2000, noise=0.0)
    found = round_weights(w, scale, x, x, count // 2)
    assert np.isfinite(found.error) and np.abs(found.codes.astype(int)).max() <= MOST
    assert error(w, scale, found.codes, new, new) < 1.05 * error(w, scale, nearest(w, scale), new, new)


def test_inputs_that_are_always_the_same() -> None:
    """Dead columns, and nothing but dead columns."""
    rng = np.random.default_rng(5)
    w, scale = layer(rng, 4, 20)
    for x in (np.zeros((100, 1, 20), np.float32), np.full((100, 1, 20), 3, np.float32)):
        found = round_weights(w, scale, x, x, 50)
        np.testing.assert_array_equal(found.codes, nearest(w, scale))
    x = correlated(rng, rng.normal(size=(4, 20)), 400)
    x[:, :, ::2] = 0
    found = round_weights(w, scale, x, x, 200)
    np.testing.assert_array_equal(found.codes[:, :, ::2], nearest(w, scale)[:, :, ::2])
    assert found.error < found.nearest


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.2])
def test_a_target_is_not_moved_where_the_error_of_the_input_is_none_or_noise(noise: float) -> None:
    rng = np.random.default_rng(6)
    w, scale = layer(rng, 8, 24)
    x = correlated(rng, rng.normal(size=(8, 24)), 800, noise=0.3)
    real = x + noise * rng.normal(size=x.shape).astype(np.float32)
    assert not round_weights(w, scale, x, real, 400).moved_target


@pytest.mark.parametrize("count", [40, 100])
def test_a_target_that_fits_its_own_samples_only_is_not_moved(count: int) -> None:
    """Noise that goes with the columns by chance: on the other half of the samples, what takes it back makes it larger."""
    rng = np.random.default_rng(6)
    w, scale = layer(rng, 8, 100)
    x = correlated(rng, rng.normal(size=(8, 100)), count, noise=3.0)
    real = x + np.float32(0.2) * rng.normal(size=x.shape).astype(np.float32)
    assert not round_weights(w, scale, x, real, count // 2).moved_target


def test_a_target_is_moved_where_the_error_of_the_input_can_be_told_from_it() -> None:
    """The integer model gives 80 % of the input: weights that are larger by a quarter take that back."""
    rng = np.random.default_rng(7)
    w, scale = layer(rng, 8, 24)
    scale /= 8
    mix = rng.normal(size=(12, 24))
    x, new = (correlated(rng, mix, 2000, noise=0.3) for _ in range(2))
    found = round_weights(w, scale, x, np.float32(0.8) * x, 1000)
    assert found.moved_target
    assert found.error == pytest.approx(error(w, scale, found.codes, x, 0.8 * x), rel=1e-3)
    unmoved = round_weights(w, scale, x, x, 1000)
    assert error(w, scale, found.codes, new, 0.8 * new) < 0.5 * error(w, scale, unmoved.codes, new, 0.8 * new)


@pytest.mark.parametrize("first", [0, 1, 799, 800])
def test_a_target_that_nothing_can_judge_is_not_moved(first: int) -> None:
    rng = np.random.default_rng(8)
    w, scale = layer(rng, 8, 24)
    x = correlated(rng, rng.normal(size=(12, 24)), 800, noise=0.3)
    assert not round_weights(w, scale, x, np.float32(0.8) * x, first).moved_target


def test_nothing_is_gained_from_what_is_not_finite() -> None:
    """Values that overflowed in the float model leave the weights rounded to nearest."""
    rng = np.random.default_rng(9)
    w, scale = layer(rng, 4, 12)
    x = correlated(rng, rng.normal(size=(4, 12)), 100)
    x[3, 0, 5] = np.inf
    with np.errstate(all="ignore"):
        found = round_weights(w, scale, x, x, 50)
    np.testing.assert_array_equal(found.codes, nearest(w, scale))


SCRIPT = """
import sys, numpy as np
sys.path.insert(0, sys.argv[1])
from test_rounding import large
sys.stdout.write(large().codes.tobytes().hex())
"""


def large() -> Rounded:
    rng = np.random.default_rng(10)
    w, scale = layer(rng, 64, 576)
    x = correlated(rng, rng.normal(size=(100, 576)), 2048)
    real = x + np.float32(0.05) * rng.normal(size=x.shape).astype(np.float32)
    return round_weights(w, scale, x, real, 1024)


def test_codes_do_not_depend_on_the_threads_of_blas() -> None:
    found = []
    for threads in ("1", "2"):
        words = [sys.executable, "-c", SCRIPT, str(Path(__file__).parent)]
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": threads, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
        found.append(done.stdout)
    assert len(found[0]) == 2 * 64 * 576
    assert found[0] == found[1]


def test_blocks_are_rounded_as_if_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two blocks that have nothing in common get the codes that each of them would get; so do groups."""
    rng = np.random.default_rng(11)
    w, scale = layer(rng, 5, 20)
    x = correlated(rng, rng.normal(size=(5, 20)), 500)
    monkeypatch.setattr(rounding, "BLOCK", 10)
    both = round_weights(w, scale, x, x, 250).codes
    for b in (slice(0, 10), slice(10, 20)):
        alone = round_weights(w[:, :, b], scale, x[:, :, b], x[:, :, b], 250).codes
        np.testing.assert_array_equal(both[:, :, b], alone)
    pair = np.concatenate([w[:, :, :10], w[:, :, 10:]]), np.concatenate([scale, scale])
    inputs = np.concatenate([x[:, :, :10], x[:, :, 10:]], axis=1)
    grouped = round_weights(*pair, inputs, inputs, 250).codes
    np.testing.assert_array_equal(np.concatenate([*grouped], axis=1), both[0])


def test_values_whose_squares_overflow_are_rounded_as_small_ones_are() -> None:
    """A power of two changes nothing, even where 32 bits do not hold the square."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 1, 12)).astype(np.float32)
    w = rng.normal(size=(1, 5, 12)).astype(np.float32)
    scale = (np.abs(w).max(axis=2) / 127).astype(np.float32)
    y = x + rng.normal(scale=0.01, size=x.shape).astype(np.float32)
    small = round_weights(w, scale, x, y, 100)
    far = np.float32(2.0**100)
    large = round_weights(w * far, scale * far, x * far, y * far, 100)
    np.testing.assert_array_equal(small.codes, large.codes)
    assert np.isfinite(large.error)


def test_few_results_that_do_not_agree_cost_nothing() -> None:
    """Eight results of a layer at the end of a network, from few samples: what suits one half costs the other."""
    changed, cost = 0, []
    for seed in range(24):
        rng = np.random.default_rng(seed)
        w, scale = layer(rng, 10, 32)
        x, new = (rng.normal(size=(n, 1, 32)).astype(np.float32) for n in (8, 500))
        found = round_weights(w, scale, x, x + 0.2 * rng.normal(size=x.shape).astype(np.float32), 4)
        changed += (found.codes != nearest(w, scale)).any()
        cost.append(error(w, scale, found.codes, new, new) / error(w, scale, nearest(w, scale), new, new))
        assert not found.moved_target
    assert changed < 12 and np.mean(cost) < 1.1


def test_few_results_that_agree_are_enough() -> None:
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(2, 32))
    w, scale = layer(rng, 10, 32)
    x, new = correlated(rng, mix, 8, noise=0.01), correlated(rng, mix, 500, noise=0.01)
    found = round_weights(w, scale, x, x, 4)
    assert error(w, scale, found.codes, new, new) < 0.5 * error(w, scale, nearest(w, scale), new, new)
