"""The interval of an SQNR holds as often as it claims, and says nothing where nothing can be said."""

import numpy as np
import pytest

from fullint.verification.uncertainty import CLAIMED, interval


@pytest.mark.parametrize("spread", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("count", [8, 20, 64])
def test_it_holds_as_often_as_it_claims(spread: float, count: int) -> None:
    """Noise whose logarithm is normal, from nearly equal to e^2 apart, and signals that differ, too."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        signal, noise = rng.uniform(0.5, 1.5, count), np.exp(rng.normal(scale=spread, size=count))
        low, high = interval(signal.tolist(), noise.tolist())
        hits += low <= 10 * np.log10(1 / np.exp(spread**2 / 2)) <= high
    assert hits / 400 >= CLAIMED


def test_equal_noise_is_certain() -> None:
    assert interval([1.0] * 20, [0.01] * 20) == pytest.approx((20.0, 20.0))


def test_more_samples_are_more_certain() -> None:
    rng = np.random.default_rng(0)
    noise = np.exp(rng.normal(size=400)).tolist()
    few, many = (np.ptp(interval([1.0] * n, noise[:n])) for n in (10, 400))
    assert many < few / 3


@pytest.mark.parametrize("noise", [[1.0] * 3, [0.0] * 20])
def test_where_nothing_can_be_said(noise: list[float]) -> None:
    """Of three samples, or without any error."""
    assert interval([1.0] * len(noise), noise) is None
