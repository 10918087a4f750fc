import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fullint.model import numerics
from fullint.model.ir import Quant
from fullint.model.ranges import Range
from fullint.model.weights import PerAxis, WeightSpec

finite = st.floats(-1e6, 1e6, width=32)


@given(finite, finite)
def test_activation_params_hold_the_range_and_zero(low: float, high: float) -> None:
    """Zero is exact, and both ends are at most one step away from what can be held."""
    low, high = min(low, high), max(low, high)
    q = numerics.activation_params(Range(low, high))
    step = float(q.scale[0])
    a, b = numerics.representable(q)

    assert step > 0
    assert -128 <= int(q.zero_point[0]) <= 127
    assert a <= min(low, 0) + step
    assert b >= max(high, 0) - step


@given(st.lists(finite, min_size=1, max_size=50))
def test_quantize_is_the_nearest_code(values: list[float]) -> None:
    v = np.array(values, np.float32)
    q = numerics.activation_params(Range.of(v))
    back = numerics.dequantize(numerics.quantize(v, q), q)
    low, high = numerics.representable(q)

    error = np.abs(back - np.clip(v, low, high))
    assert (error <= 0.5001 * q.scale[0] + 1e-6 * np.abs(v)).all()


@given(st.integers(-128, 127), st.floats(1e-6, 1e3), st.integers(-128, 127))
def test_codes_come_back(code: int, scale: float, zero: int) -> None:
    q = Quant.of(scale, zero)
    codes = np.array([code], np.int8)
    assert numerics.quantize(numerics.dequantize(codes, q), q) == codes


def test_weight_scales_per_channel_and_dead_channels() -> None:
    """A channel of zeros takes the tensor's scale."""
    w = np.array([[1.0, -2.0], [0.0, 0.0], [0.5, 0.25]], np.float32)

    np.testing.assert_allclose(WeightSpec(granularity=PerAxis(0)).scales(w), np.array([2, 2, 0.5]) / 127, rtol=1e-6)
    np.testing.assert_allclose(WeightSpec().scales(w), [2 / 127], rtol=1e-6)


def test_weights_stay_within_127() -> None:
    q = numerics.quantize(np.array([-1.0, 1.0], np.float32), Quant.of(1 / 128), narrow=True)
    assert q.tolist() == [-127, 127]


def test_scale_is_raised_where_a_bias_would_overflow() -> None:
    scales = np.array([1e-6, 1e-6], np.float32)
    raised = numerics.scales_for_bias(scales, 1e-6, np.array([10.0, 1e-9], np.float32))

    assert raised[0] > scales[0]
    assert raised[1] == scales[1]
    assert abs(10.0 / (1e-6 * raised[0])) <= numerics.BIAS_MAX


def test_dead_tensor_gets_a_sane_scale() -> None:
    assert 1e-4 < float(numerics.activation_params(Range(0, 0)).scale[0]) < 1


def test_rounding_is_half_away_from_zero() -> None:
    assert numerics.round_half_away(np.array([0.5, 1.5, -0.5, -2.5])).tolist() == [1, 2, -1, -3]


def test_per_channel_runs_along_its_axis() -> None:
    q = Quant.of(np.array([1.0, 2.0]), 0, axis=1)
    codes = numerics.quantize(np.array([[4.0, 4.0]], np.float32), q)
    assert codes.tolist() == [[4, 2]]
    assert numerics.dequantize(codes, q).tolist() == [[4.0, 4.0]]


@pytest.mark.parametrize("axis", [None, 0, 2])
def test_weights_that_are_multiples_of_a_step_keep_it(axis: int | None) -> None:
    """As those of a network that was quantized before: rounded anew, they would be others."""
    rng = np.random.default_rng(3)
    codes = rng.integers(-119, 120, (6, 40, 5))
    count = 1 if axis is None else codes.shape[axis]
    steps = rng.uniform(0.001, 0.1, count).astype(np.float32)
    shape = [1, 1, 1]
    shape[axis or 0] = count
    w = codes.astype(np.float32) * steps.reshape(shape)
    spec = WeightSpec.along(axis)
    quant = spec.quant(spec.scales(w))
    assert np.allclose(quant.scale, steps, rtol=1e-5)
    assert np.abs(numerics.dequantize(numerics.quantize(w, quant), quant) - w).max() < 1e-6


def test_other_weights_use_all_codes() -> None:
    """A few that are whole numbers by chance, zeros, and one that is not make no step."""
    rng = np.random.default_rng(4)
    w = rng.normal(size=(5, 30)).astype(np.float32)
    w[1] = 0.0
    w[2] = np.round(w[2] * 40) / 40
    w[2, -1] += 0.004  # behind those that are looked at first
    w[3, 1:] = 0.0
    scales = WeightSpec.along(0).scales(w)
    peak = np.abs(w).max(axis=1)
    assert np.allclose(scales[[0, 2, 3, 4]], peak[[0, 2, 3, 4]] / 127)
    assert scales[1] == np.float32(peak.max() / 127)


def test_single_numbers_are_dequantized_like_arrays() -> None:
    quant = Quant.of(0.5, 3)
    for code in (np.int8(7), np.array(7, np.int8), np.array([7], np.int8)):
        assert np.array_equal(np.ravel(numerics.dequantize(code, quant)), np.float32([2.0]))
    given = np.array([1, 2], np.int8)
    numerics.dequantize(given, quant)
    assert given.tolist() == [1, 2]
