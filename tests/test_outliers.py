"""The largest values with their samples, ranges without some of them, and which samples are outliers."""

import re

import numpy as np
import pytest
from conftest import run

import fullint
from fullint.calibration.outermost import MOST, Outermost
from fullint.errors import AccuracyError
from fullint.model.ir import Tensor
from fullint.model.tflite import read_bytes
from fullint.ops.builder import Builder


def taken(vectors: np.ndarray) -> Outermost:
    found = Outermost.empty(vectors.shape[1])
    for number, vector in enumerate(vectors):
        found.add(number, vector)
    return found


def test_without_some_samples_is_the_maximum_of_the_others() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(200, 50)).astype(np.float32)
    left_out = set(rng.choice(200, MOST - 1, replace=False).tolist())
    others = np.delete(vectors, list(left_out), axis=0)
    np.testing.assert_array_equal(taken(vectors).without(left_out), others.max(axis=0))
    np.testing.assert_array_equal(taken(vectors).without(frozenset()), vectors.max(axis=0))


def test_two_that_are_merged_are_as_one() -> None:
    """Also where many values are equal, such as 6 behind a RELU6."""
    vectors = np.minimum(np.random.default_rng(0).normal(size=(120, 9)) * 5, 6).astype(np.float32)
    whole = taken(vectors)
    parts = taken(vectors[:50])
    late = Outermost.empty(9)
    for number in range(50, 120):
        late.add(number, vectors[number])
    for gone in ({3}, set(range(20))):
        np.testing.assert_array_equal(parts.merge(late).without(gone), whole.without(gone))


def test_ranked_has_equal_values_in_the_order_of_samples() -> None:
    vectors = np.zeros((200, 2), np.float32)
    vectors[7, 0], vectors[9, 0], vectors[130, 0], vectors[150, 1] = 5, 9, 9, -1
    found = taken(vectors)
    assert found.ranked(0)[:4] == [(9.0, 9), (9.0, 130), (5.0, 7), (0.0, 0)]
    assert found.ranked(1) == [(0.0, number) for number in range(MOST)]


@pytest.mark.parametrize("value", [-0.0, 1e-40, -3e38, -np.inf, np.inf])
def test_values_and_numbers_come_back_as_they_were(value: float) -> None:
    for number in (0, 5, 2**31 - 1, -1, -(2**31)):
        found = Outermost.empty(1)
        found.add(number, np.float32([value]))
        assert found.ranked(0) == [(float(np.float32(value)), number)]


def network(g: Builder) -> Tensor:
    x = g.input(1, 8, 8, 2, name="x")
    y = g.conv(g.conv(x, filters=8, activation="RELU"), filters=4)
    return g.output(g.reshape(y, 1, -1))


def with_outliers(count: int, far: list[int], factor: float = 40.0) -> np.ndarray:
    x = np.random.default_rng(0).normal(size=(count, 8, 8, 2)).astype(np.float32)
    x[far] *= factor
    return x


@pytest.mark.parametrize("far", [[17], [3, 50, 77, 99], list(range(0, 100, 10))])
def test_outliers_are_named_with_what_they_cost(g: Builder, far: list[int]) -> None:
    network(g)
    report = fullint.quantize(g.bytes(), with_outliers(100, far), threads=2).report
    [found] = [f for f in report.sample_findings if f.kind == "outliers"]
    assert found.samples == tuple(far)
    assert re.search(r'alone sets? the range of "x"', found.text)
    assert "--drop-outliers" in found.text
    assert found.evidence["after_db"] > found.evidence["before_db"] + 10


def test_dropping_them_is_as_good_as_never_having_had_them(g: Builder) -> None:
    """The advice, followed: the ranges are those of the clean samples, and the figure is what was promised."""
    network(g)
    far = [3, 50, 77, 99]
    x = with_outliers(100, far)
    promised = next(f for f in fullint.quantize(g.bytes(), x).report.sample_findings if f.kind == "outliers").evidence["after_db"]
    result = fullint.quantize(g.bytes(), x, drop_outliers=True)
    assert result.report.samples["left_out"] == far
    assert [f.kind for f in result.report.sample_findings] == ["outliers-dropped"]
    assert result.report.certificate.sqnr_db > promised - 1.5
    clean = fullint.quantize(g.bytes(), np.delete(x, far, axis=0))
    scales = [float(read_bytes(r.model).main.inputs[0].quant.scale[0]) for r in (result, clean)]
    assert scales[0] == pytest.approx(scales[1], rel=0.15)  # other samples are held back


def test_eleven_of_a_hundred_are_no_outliers(g: Builder) -> None:
    network(g)
    report = fullint.quantize(g.bytes(), with_outliers(100, list(range(0, 99, 9))[:11])).report
    assert [f.kind for f in report.sample_findings] == []


def test_outliers_of_an_inner_tensor(g: Builder) -> None:
    """The inputs are all alike; a square of what two channels have in common is not."""
    x = g.input(1, 64, name="x")
    y = g.op("MUL", x, x, name="square")
    g.output(g.dense(g.op("MUL", y, y, name="fourth"), 4))
    samples = np.random.default_rng(0).uniform(0.4, 1, (60, 64)).astype(np.float32)
    samples[[5, 6]] *= 2.5
    report = fullint.quantize(g.bytes(), samples).report
    [found] = [f for f in report.sample_findings if f.kind == "outliers"]
    assert found.samples == (5, 6)
    assert '"square"' in found.text or '"fourth"' in found.text


def test_held_back_outliers_do_not_judge_what_was_calibrated_without_them(g: Builder) -> None:
    """One that is held back sets no range, but most of the figure."""
    network(g)
    held = int(np.random.default_rng(0).permutation(100)[0])
    result = fullint.quantize(g.bytes(), with_outliers(100, [held]), drop_outliers=True)
    assert result.report.samples["left_out"] == [held]
    assert result.report.certificate.sqnr_db > 25


def test_the_model_is_the_same_whatever_the_number_of_threads(g: Builder) -> None:
    network(g)
    x = with_outliers(100, [3, 4])
    models = [fullint.quantize(g.bytes(), x, drop_outliers=True, threads=n).model for n in (1, 2)]
    assert models[0] == models[1]
    assert run(models[0], [np.zeros((1, 8, 8, 2), np.int8)])[0].dtype == np.int8


def test_one_that_is_held_back_is_named_and_costs_the_certificate_alone(g: Builder) -> None:
    """It sets no range, so that the others lose nothing; what judges is refused for its sake."""
    g.output(g.dense(g.dense(g.input(1, 16, name="x"), 32, activation="RELU"), 10))
    x = np.random.default_rng(0).normal(size=(100, 1, 16)).astype(np.float32)
    held = int(np.random.default_rng(0).permutation(100)[0])
    x[held] *= 50
    with pytest.raises(AccuracyError) as caught:
        fullint.quantize(g.bytes(), x)
    assert f"1 sample ({held}) lies far outside of all that calibrated" in str(caught.value)
    assert "--drop-outliers: " in str(caught.value)
    dropped = fullint.quantize(g.bytes(), x, drop_outliers=True).report
    assert dropped.samples["left_out"] == [held]
    assert dropped.certificate.sqnr_db > 20


def test_where_all_that_was_held_back_is_left_out_others_judge(g: Builder) -> None:
    g.output(g.dense(g.input(1, 16, name="x"), 10))
    x = np.random.default_rng(0).normal(size=(40, 1, 16)).astype(np.float32)
    held = np.random.default_rng(0).permutation(40)[:4]
    x[held] *= 50
    certificate = fullint.quantize(g.bytes(), x, drop_outliers=True).report.certificate
    assert (certificate.samples, certificate.held_back) == (36, False)
    assert 25 < certificate.sqnr_db < 60


def test_what_becomes_of_those_left_out_is_said(g: Builder) -> None:
    """A few events in near-silence are outliers, too: leaving them out loses what the network is for."""
    g.output(g.dense(g.dense(g.input(1, 16, name="x"), 32, activation="RELU"), 10))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 1, 16)).astype(np.float32)
    x[rng.permutation(200)[14:]] *= 0.01
    [found] = [f for f in fullint.quantize(g.bytes(), x).report.sample_findings if f.kind == "outliers"]
    assert found.evidence["own_db"] < 5
    assert "keep them if such values occur in use" in found.text
    [dropped] = fullint.quantize(g.bytes(), x, drop_outliers=True).report.sample_findings
    assert "then their own figure is 0." in dropped.text
