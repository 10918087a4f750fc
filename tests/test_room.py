"""Room for values beyond those of the samples: how far they have grown, and which values get none."""

from itertools import combinations

import numpy as np
import pytest

import fullint
from fullint.calibration.outermost import MOST, Outermost
from fullint.model.tflite import read_bytes
from fullint.ops.builder import Builder
from fullint.quantization import measure
from fullint.quantization.room import MOST_ROOM


def taken(values: np.ndarray) -> Outermost:
    found = Outermost.empty(1)
    for number, value in enumerate(values):
        found.add(number, np.float32([value]))
    return found


@pytest.mark.parametrize("count", [2, 3, 8, 12])
def test_growth_is_the_mean_over_all_halves(count: int) -> None:
    values = np.random.default_rng(count).exponential(size=count).astype(np.float32)
    halves = [max(half) for half in combinations(values.tolist(), count // 2)]
    largest, more = taken(values).growth(0)
    assert largest == values.max()
    assert more == pytest.approx(values.max() - np.mean(halves), rel=1e-5)


def test_growth_of_more_samples_than_are_kept_is_that_of_all() -> None:
    values = np.random.default_rng(0).exponential(size=500).astype(np.float32)
    assert len(values) > MOST
    halves = [np.random.default_rng(seed).permutation(values)[:250].max() for seed in range(4000)]
    assert taken(values).growth(0)[1] == pytest.approx(values.max() - np.mean(halves), rel=0.05)


def test_growth_without_some_samples_is_that_of_the_others() -> None:
    values = np.random.default_rng(0).exponential(size=12).astype(np.float32)
    values[[3, 7]] = 100, 50
    assert taken(values).growth(0, {3, 7}) == pytest.approx(taken(np.delete(values, [3, 7])).growth(0))


def test_samples_that_are_held_back_show_no_growth() -> None:
    found = taken(np.float32([1, 2, 3]))
    expected = found.growth(0)
    found.add(-1, np.float32([50]))
    assert found.growth(0) == expected


def test_one_sample_shows_no_growth() -> None:
    assert taken(np.float32([3])).growth(0) == (3, 0)


def scales(data: bytes, samples: np.ndarray, **options: object) -> dict[str, float]:
    result = fullint.quantize(data, samples, min_sqnr=-100, **options)
    tensors = read_bytes(result.model).main.tensors
    return {t.name: float(t.quant.scale[0]) for t in tensors if t.quant is not None and t.buffer is None}


def grown(g: Builder, count: int, monkeypatch: pytest.MonkeyPatch, **options: object) -> dict[str, float]:
    """How many times as wide as what the samples have shown each range is; samples are of sizes with a long tail."""
    draw = np.random.default_rng(0)
    sizes = np.minimum(draw.exponential(size=(count, 1, 1)), 5)
    samples = (sizes * draw.uniform(-1, 1, (count, 1, 64))).astype(np.float32)
    with_room = scales(g.bytes(), samples, **options)
    with monkeypatch.context() as patched:
        patched.setattr(measure, "with_room", lambda calibrated, ranges: {**ranges})
        without = scales(g.bytes(), samples, **options)
    return {name: with_room[name] / scale for name, scale in without.items()}


def test_what_is_computed_gets_room_and_more_of_it_from_fewer_samples(g: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    g.output(g.op("SUB", g.input(1, 64, name="x"), g.random(64), name="y"))
    few, many = (grown(g, count, monkeypatch) for count in (20, 200))
    assert 1.02 < few["y"] <= 1 + MOST_ROOM
    assert 1 < many["y"] < 1 + (few["y"] - 1) * 0.6
    assert few["x"] == many["x"] == 1


def test_no_room_beyond_a_clip(g: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    x = g.input(1, 64, name="x")
    g.output(g.op("MUL", x, g.const(4.0), name="clipped", fused_activation_function=3))
    g.output(g.op("MUL", x, g.const(0.5), name="positive", fused_activation_function=1))
    found = grown(g, 20, monkeypatch)
    assert found["clipped"] == 1 and found["positive"] > 1.02


@pytest.mark.parametrize("reader", ["LOGISTIC", "TANH"])
def test_no_room_where_far_values_are_alike(g: Builder, reader: str, monkeypatch: pytest.MonkeyPatch) -> None:
    y = g.op("SUB", g.input(1, 64, name="x"), g.random(64), name="y")
    g.output(g.op(reader, y))
    assert grown(g, 20, monkeypatch)["y"] == 1


def test_no_room_where_a_method_cuts_off(g: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    g.output(g.op("SUB", g.input(1, 64, name="x"), g.random(64), name="y"))
    assert grown(g, 40, monkeypatch, ranges="percentile:99")["y"] == 1


def test_outliers_are_room_enough(g: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    g.output(g.op("SUB", g.input(1, 64, name="x"), g.random(64), name="y"))
    samples = np.random.default_rng(0).normal(size=(60, 1, 64)).astype(np.float32)
    samples[[5, 30]] *= 40
    kept, dropped = (scales(g.bytes(), samples, drop_outliers=drop)["y"] for drop in (False, True))
    monkeypatch.setattr(measure, "with_room", lambda calibrated, ranges: {**ranges})
    before = [scales(g.bytes(), samples, drop_outliers=drop)["y"] for drop in (False, True)]
    assert kept == before[0]
    assert 1 < dropped / before[1] < 1.1
