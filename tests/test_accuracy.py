"""Equalization and bias correction: the float model is unchanged, the integer one is nearer to it."""

import numpy as np
import pytest
from conftest import run

from fullint.model.ir import Graph, Model, Tensor, constant
from fullint.model.ranges import Range
from fullint.model.tflite import read_bytes
from fullint.ops.builder import Builder, samples_like
from fullint.ops.macs import total_macs
from fullint.quantization import pipeline
from fullint.quantization.equalization import equalize, margin
from fullint.quantization.pairs import BUDGET_MACS, FEWEST_SAMPLES, MOST_SAMPLES, operators_to_refine, sample_count, weighted
from fullint.quantization.refine import shrunk
from fullint.quantization.streams import streams

UNEVEN = np.geomspace(0.01, 1, 8).astype(np.float32)


def uneven(g: Builder) -> Tensor:
    """Convolutions whose channels differ a hundredfold, with a residual, a pool and a flattened head."""
    x = g.input(1, 8, 8, 3, name="x")
    w = g.const((g.rng.normal(size=(8, 3, 3, 3)) * UNEVEN[:, None, None, None]).astype(np.float32))
    a = g.conv(x, weights=w, bias=False, activation="RELU")
    b = g.conv(a, filters=8, activation="RELU")
    w2 = g.const((g.rng.normal(size=(8, 3, 3, 8)) * UNEVEN[:, None, None, None] / UNEVEN / 8).astype(np.float32))
    c = g.op("ADD", a, g.conv(b, weights=w2, bias=False), fused_activation_function=1)
    pooled = g.op("AVERAGE_POOL_2D", c, shape=(1, 2, 2, 8), stride_w=4, stride_h=4, filter_width=4, filter_height=4, padding=1)
    g.output(
        g.dense(
            g.reshape(pooled, 1, -1), 5, weights=g.const((g.rng.normal(size=(5, 32)) / np.tile(UNEVEN, 4)).astype(np.float32))
        )
    )
    return x


def channel_ranges(model: Model, samples: list[list[np.ndarray]]) -> dict[Tensor, tuple[np.ndarray, np.ndarray]]:
    found = {}
    for s in streams(model.main):
        for t in s.tensors:
            if t.shape[-1] == s.channels:
                whole = Model(
                    [type(model.main)("all", list(model.main.tensors), list(model.main.inputs), [t], list(model.main.ops))]
                )
                values = np.concatenate([run(whole, x)[0].reshape(-1, s.channels) for x in samples])
                found[t] = (values.min(axis=0), values.max(axis=0))
    return found


@pytest.mark.parametrize("per_tensor", [False, True])
def test_equalized_float_model_computes_the_same(g: Builder, per_tensor: bool) -> None:
    uneven(g)
    model = read_bytes(g.bytes())
    samples = [list(s.values()) for s in samples_like(model, 4)]
    before = [run(model, s)[0] for s in samples]
    ranges = channel_ranges(model, samples)
    done = equalize(model.main, streams(model.main), set(ranges), ranges, 100, per_tensor=per_tensor)
    assert done.changes
    model.graphs[0] = done.graph
    for s, expected in zip(samples, before, strict=True):
        np.testing.assert_allclose(run(model, s)[0], expected, rtol=1e-4, atol=1e-5)


def test_equalized_ranges_are_the_ones_that_come(g: Builder) -> None:
    """The ranges after rescaling are computed, not measured again; they must be true."""
    uneven(g)
    model = read_bytes(g.bytes())
    samples = [list(s.values()) for s in samples_like(model, 4)]
    ranges = channel_ranges(model, samples)
    done = equalize(model.main, streams(model.main), set(ranges), ranges, 100, per_tensor=False)
    model.graphs[0] = done.graph
    for t, (low, high) in channel_ranges(model, samples).items():
        np.testing.assert_allclose(done.channels[t][0], low, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(done.channels[t][1], high, rtol=1e-3, atol=1e-5)


def test_equalizing_brings_the_result_nearer(g: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    uneven(g)
    data = g.bytes()
    samples = samples_like(read_bytes(data), 40)
    with_it = pipeline.quantize(data, samples).report.certificate.sqnr_db
    monkeypatch.setattr("fullint.quantization.equalization.POWERS", (0.0,))
    without = pipeline.quantize(data, samples, min_sqnr=-100).report.certificate.sqnr_db
    assert with_it > without + 3


def test_streams_stop_where_values_must_stay(g: Builder) -> None:
    """A graph output, a sigmoid and a mixed-channel operator keep their operand as it is."""
    x = g.input(1, 8, 8, 3)
    a, b, c = g.conv(x), g.conv(x), g.conv(x)
    g.output(a, g.op("LOGISTIC", b), g.op("TRANSPOSE", c, g.const(np.int32([0, 3, 1, 2])), shape=(1, 4, 8, 8)))
    assert streams(g.model().main) == []


def test_relu6_is_scaled_up_to_its_clip_only(g: Builder) -> None:
    """Also where a sum behind it is larger: what was below 6 stays below 6, and what was clipped stays."""
    x = g.input(1, 4, 4, 2)
    a = g.conv(x, filters=4, activation="RELU6")
    b = g.conv(x, filters=4)
    c = g.op("ADD", a, b)
    g.output(g.conv(c))
    model = g.model()
    high = np.float32([6, 3, 1, 0])
    ranges = {a: (0 * high, high), b: (-2 * high, 2 * high), c: (-2 * high, 3 * high)}
    weights = model.main.ops[0].inputs[1].array.copy()
    done = equalize(model.main, streams(model.main), set(ranges), ranges, 100, per_tensor=False)
    assert done.changes
    assert (model.main.ops[0].inputs[1].array == weights).all()  # the given graph stays as it is
    s = (weights / done.graph.ops[0].inputs[1].array)[:, 0, 0, 0]
    assert s[0] == 1
    columns = np.abs(done.graph.ops[-1].inputs[1].array).max(axis=(0, 1, 2))
    assert columns[3] <= columns[:3].max() * 1.0001  # a dead channel sets no scale of those who read it
    assert 0.5 <= s[1] < 1
    assert (done.channels[a][1] <= 6.0001).all()


@pytest.mark.parametrize("kind", ["AVERAGE_POOL_2D", "MAX_POOL_2D"])
def test_a_pool_that_clips_ends_a_stream(g: Builder, kind: str) -> None:
    y = g.conv(g.input(1, 4, 4, 2))
    pool = {"stride_w": 2, "stride_h": 2, "filter_width": 2, "filter_height": 2, "fused_activation_function": 3}
    g.output(g.conv(g.op(kind, y, shape=(1, 2, 2, 4), **pool)))
    assert streams(g.model().main) == []


def test_parameters_and_constants_end_a_stream(g: Builder) -> None:
    """A computed PRELU slope, and a constant behind a RESHAPE, must not be rescaled."""
    x = g.input(1, 4, 4, 4)
    slope, y = g.conv(x), g.conv(x)
    g.output(g.conv(g.op("PRELU", y, slope)))
    z = g.conv(x)
    g.output(g.conv(g.op("ADD", z, g.reshape(g.random(4, 4, 4), 1, 4, 4, 4))))
    scalar = g.input()
    g.output(g.conv(g.op("ADD", g.conv(x), scalar)))
    found = streams(g.model().main)
    assert [s.producers[0].outputs[0] for s in found] == [y]  # what PRELU multiplies may be rescaled, its slope not


def test_a_flattened_range_that_was_measured_ends_a_stream(g: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    """LEAKY_RELU on a flattened tensor: its range is known as a whole only."""
    monkeypatch.setattr("fullint.quantization.equalization.POWERS", (1.0,))
    y = g.conv(g.input(1, 4, 4, 2))
    flat = g.op("LEAKY_RELU", g.reshape(y, 1, -1), alpha=0.1)
    g.output(g.dense(flat, 3))
    model = g.model()
    ranges = {y: (np.float32([-1, -0.1, -0.01, -1]), np.float32([1, 0.1, 0.01, 1]))}
    assert equalize(model.main, streams(model.main), {y, flat}, ranges, 100, per_tensor=False).changes == ()
    assert equalize(model.main, streams(model.main), {y}, ranges, 100, per_tensor=False).changes != ()


def test_a_mean_error_is_taken_back_as_far_as_it_is_known() -> None:
    """One that is the same in all samples is; of noise alone, next to nothing."""
    noise = np.random.default_rng(0).normal(size=(20, 4))
    found = shrunk(np.float64([0.5, 0, -0.25, 0]) + noise * np.float64([0.01, 0.01, 0.01, 0]))
    np.testing.assert_allclose(found, [0.5, 0, -0.25, 0], atol=0.01)
    doubtful = np.float64([[1.0], [-0.4]])  # mean 0.3, standard error 0.7
    assert shrunk(doubtful) == 0
    mean, error = 0.5, 0.1 / np.sqrt(2)
    np.testing.assert_allclose(shrunk(np.float64([[0.4], [0.6]])), mean * (1 - (error * np.sqrt(2)) ** 2 / mean**2), rtol=1e-9)


def test_single_sample_corrects_nothing() -> None:
    assert (shrunk(np.ones((1, 3))) == 0).all()


def test_refinement_is_bounded_in_work_and_in_memory(g: Builder) -> None:
    """Too much work for six samples; too many bytes; and as many as are wanted where neither counts."""
    g.output(g.conv(g.input(1, 512, 512, 64), filters=256))
    much = g.model()
    assert total_macs(much) * FEWEST_SAMPLES > BUDGET_MACS and sample_count(much, weighted(much.main)) == 0
    g = Builder()
    g.output(g.conv(g.input(1, 1024, 1024, 32), filters=1, kernel=1))
    large = g.model()
    assert total_macs(large) * MOST_SAMPLES < BUDGET_MACS and sample_count(large, weighted(large.main)) == 0
    g = Builder()
    g.output(g.conv(g.input(1, 4, 4, 2)))
    small = g.model()
    assert sample_count(small, weighted(small.main)) == MOST_SAMPLES
    assert sample_count(small, []) == 0


def test_heads_are_found_through_what_keeps_channels(g: Builder) -> None:
    """Not where an activation bends the mean, and no operators before the heads; with more effort it is all of them."""
    x = g.input(1, 4, 4, 2)
    first = g.conv(x)
    a, b = g.conv(first), g.conv(x, activation="RELU")
    g.output(g.reshape(g.op("CONCATENATION", a, b, shape=(1, 4, 4, 8), axis=3), 1, -1))
    c = g.dense(g.reshape(first, 1, -1), 3)
    g.output(g.op("SOFTMAX", c, beta=1.0))
    graph = g.model().main
    assert [op.outputs[0] for op in operators_to_refine(graph, lambda op: "fast")] == [a, c]
    assert [op.outputs[0] for op in operators_to_refine(graph, lambda op: "balanced")] == [first, a, b, c]


def test_inputs_that_fill_their_range_are_not_cut() -> None:
    """Pixels keep a step of one; of a normal distribution the last few values are cut off."""
    from fullint.calibration.input_values import InputValues

    values, (pixels, normal) = InputValues(), (constant(n, np.zeros(1, np.float32)) for n in ("pixels", "normal"))
    rng = np.random.default_rng(0)
    for number in range(40):
        values.add(
            number, [pixels, normal], [rng.integers(0, 256, 4000).astype(np.float32), rng.normal(size=4000).astype(np.float32)]
        )
    assert values.clipped(pixels, Range(0.0, 255.0)) == Range(0.0, 255.0)
    low, high = values.clipped(normal, Range(-4.6, 4.4))
    assert -4.2 < low < -3.6 and 3.4 < high < 4.1
    few = InputValues()
    few.add(0, [normal], [rng.normal(size=4000).astype(np.float32)])
    assert few.clipped(normal, Range(-4.0, 4.0)) == Range(-4.0, 4.0)


def test_what_is_at_its_relu6_already_is_not_made_larger(g: Builder) -> None:
    """Even where a sum of very unequal channels asks for it."""
    x = g.input(1, 4, 4, 2)
    a, b = g.conv(x, filters=4, activation="RELU6"), g.conv(x, filters=4)
    c = g.op("ADD", a, b)
    g.output(g.conv(c))
    model = g.model()
    six, sums = np.full(4, 6, np.float32), np.float32([60, 6, 3, 1])
    ranges = {a: (0 * six, six), b: (-sums, sums), c: (-sums, sums)}
    done = equalize(model.main, streams(model.main), set(ranges), ranges, 100, per_tensor=False)
    assert (done.channels.get(a, ranges[a])[1] <= 6.0001).all()


@pytest.mark.parametrize("count", [1, 10, 100, 1000])
def test_a_rescaled_channel_keeps_room_for_values_not_seen(g: Builder, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """The fewer samples, the more: channels below the largest one grow to a share of it, not to all of it."""
    monkeypatch.setattr("fullint.quantization.equalization.POWERS", (1.0,))
    y = g.conv(g.input(1, 4, 4, 2))
    g.output(g.conv(y))
    model = g.model()
    high = np.float32([8, 4, 1, 0.1])
    done = equalize(model.main, streams(model.main), {y}, {y: (-high, high)}, count, per_tensor=False)
    room = 1 + 3.5 / np.sqrt(count)
    assert margin(count) == pytest.approx(room)
    assert done.channels[y][1][0] == 8  # the largest one stays as it is
    np.testing.assert_allclose(done.channels[y][1][1:], np.maximum(high[1:], 8 / room), rtol=1e-5)


@pytest.mark.parametrize("count", [4, 100])
def test_there_is_room_below_a_relu6(g: Builder, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """What was not seen, but lies that much above what was, is not cut off by the clip."""
    monkeypatch.setattr("fullint.quantization.equalization.POWERS", (1.0,))
    x = g.input(1, 4, 4, 2)
    a, b = g.conv(x, filters=4, activation="RELU6"), g.conv(x, filters=4)
    c = g.op("ADD", a, b)
    g.output(g.conv(c))
    model = g.model()
    high, sums = np.float32([6, 3, 1, 0.5]), np.float32([60, 6, 3, 1])
    ranges = {a: (0 * high, high), b: (-sums, sums), c: (-sums, sums)}
    done = equalize(model.main, streams(model.main), set(ranges), ranges, count, per_tensor=False)
    assert done.changes
    np.testing.assert_array_less(done.channels[a][1] * np.where(high < 6 / margin(count), margin(count), 1), 6.001)


def dead(g: Builder, before: float, after: float) -> tuple[Model, Tensor]:
    """A channel that is always 0, with weights before and after it that are so much larger than the others'."""
    x = g.input(1, 4, 4, 3)
    first, second = g.rng.normal(size=(8, 3, 3, 3)), g.rng.normal(size=(6, 3, 3, 8))
    first[2] *= before
    second[..., 2] *= after
    bias = g.const(np.where(np.arange(8) == 2, -1e6, 0).astype(np.float32))
    y = g.conv(x, weights=g.const(first.astype(np.float32)), bias=bias, activation="RELU")
    g.output(g.conv(y, weights=g.const(second.astype(np.float32))))
    return g.model(), y


def largest_weights(graph: Graph) -> list[np.ndarray]:
    """Of each channel of what the first convolution writes, and of what the second one reads."""
    first, second = (op.inputs[1].array for op in graph.ops)
    return [np.abs(first).max(axis=(1, 2, 3)), np.abs(second).max(axis=(0, 1, 2))]


@pytest.mark.parametrize("per_tensor", [False, True])
@pytest.mark.parametrize(("before", "after"), [(6.0, 1.0), (1.0, 6.0), (40.0, 1.0), (1.0, 40.0)])
def test_a_dead_channel_sets_no_scale(g: Builder, before: float, after: float, per_tensor: bool) -> None:
    """Neither that of the weights that make it, nor, as far as both can be had, that of those that read it.

    The function stays the same. With a scale for each row, weights that make a dead channel set nobody's scale but their own.
    """
    model, y = dead(g, before, after)
    samples = [list(s.values()) for s in samples_like(model, 4)]
    expected = [run(model, s)[0] for s in samples]
    high = np.where(np.arange(8) == 2, 0, np.geomspace(0.2, 20, 8)).astype(np.float32)
    alive = np.arange(8) != 2
    old = [peaks[2] / peaks[alive].max() for peaks in largest_weights(model.main)]
    done = equalize(model.main, streams(model.main), {y}, {y: (0 * high, high)}, 100, per_tensor=per_tensor)
    assert done.changes
    new = [peaks[2] / peaks[alive].max() for peaks in largest_weights(done.graph)]
    assert max(old) > 2 and (not per_tensor or new[0] < 1.001)
    assert new[1] < (1.001 if max(before, after) < 10 or not per_tensor else max(old) / 5)
    model.graphs[0] = done.graph
    for s, values in zip(samples, expected, strict=True):
        np.testing.assert_allclose(run(model, s)[0], values, rtol=1e-3, atol=1e-3)
