"""Residual streams and normalizations in int16: which, and in which form. No model is quantized."""

import numpy as np
import pytest
from conftest import run

from fullint.model.ir import Model, Op, Tensor
from fullint.model.ranges import Range
from fullint.ops.builder import Builder
from fullint.quantization import wide_streams as module
from fullint.quantization.wide_streams import Streams, wide_streams

FORMS = ["x a - m a + b", "x a + (b - m a)", "(x - m) a + b", "x r - m r", "moved"]


def normalized(g: Builder, x: Tensor, form: str, squared: str = "SQUARED_DIFFERENCE") -> Tensor:
    """A normalization over the last axis."""
    shape = (*x.shape[:-1], 1)
    axis = g.const(np.int32([len(x.shape) - 1]))
    rows = x.shape[:-1] if form == "moved" else shape

    def mean(t: Tensor) -> Tensor:
        return g.op("MEAN", t, axis, shape=rows, keep_dims=form != "moved")

    def moved(t: Tensor) -> Tensor:
        return g.reshape(t, *shape) if form == "moved" else t

    flat = mean(x)
    m = moved(flat)
    d = g.op("SUB", x, m, shape=x.shape)
    square = g.op("MUL", d, d) if squared == "MUL" else g.op("SQUARED_DIFFERENCE", x, m, shape=x.shape)
    r = g.op("RSQRT", g.op("ADD", mean(square), g.const(np.float32(1e-5))))
    if form == "moved":
        other = g.op("MUL", g.op("MUL", r, flat), g.const(np.float32(-1)))
        return g.op("ADD", g.op("MUL", x, moved(r), shape=x.shape), moved(other), shape=x.shape)
    if form == "x r - m r":
        return g.op("SUB", g.op("MUL", x, r, shape=x.shape), g.op("MUL", m, r), shape=x.shape)
    a, b = g.op("MUL", r, g.random(x.shape[-1]), shape=x.shape), g.random(x.shape[-1], scale=0.1)
    if form == "(x - m) a + b":
        return g.op("ADD", g.op("MUL", d, a), b)
    xa, ma = g.op("MUL", x, a), g.op("MUL", m, a, shape=x.shape)
    if form == "x a + (b - m a)":
        return g.op("ADD", xa, g.op("SUB", b, ma, shape=x.shape))
    return g.op("ADD", g.op("SUB", xa, ma), b)


def block(g: Builder, form: str = FORMS[0], squared: str = "SQUARED_DIFFERENCE", *, residual: bool = True) -> Tensor:
    """x + dense(normalization(x + dense(x)))."""
    x = g.input(1, 4, 8)
    h = g.dense(x, 8)
    total = g.op("ADD", x, h) if residual else h
    out = g.op("ADD", total, g.dense(normalized(g, total, form, squared), 8))
    g.output(g.dense(out, 8))
    return total


def streams(g: Builder, monkeypatch: pytest.MonkeyPatch, least: float = 0) -> tuple[Streams, list[Op]]:
    """What becomes of a graph; it computes the same as before."""
    monkeypatch.setattr(module, "LEAST_WORK", least)
    model = g.model()
    ranges = {t: Range(0.5, 2.0) for op in model.main.ops for t in op.outputs}
    done = wide_streams(model.main, ranges)
    sample = [np.random.default_rng(0).normal(size=t.shape).astype(np.float32) for t in model.main.inputs]
    for a, b in zip(run(Model([done.graph]), sample, "builtin"), run(model, sample, "builtin"), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    return done, [op for op in done.graph.ops if op not in done.wide]


@pytest.mark.parametrize("squared", ["SQUARED_DIFFERENCE", "MUL"])
@pytest.mark.parametrize("form", FORMS)
def test_a_stream_and_its_normalization_are_wide_in_the_form_with_the_fewest_operators(
    g: Builder, monkeypatch: pytest.MonkeyPatch, form: str, squared: str
) -> None:
    block(g, form, squared)
    done, rest = streams(g, monkeypatch)
    assert {op.kind for op in rest} <= {"FULLY_CONNECTED", "ADD", "SUB"}  # no normalization reads the last sum
    kinds = [op.kind for op in done.wide if op.kind != "RESHAPE"]
    assert kinds.count("AVERAGE_POOL_2D") == 2 and "SQUARED_DIFFERENCE" not in kinds and "MEAN" not in kinds
    plain = form in ("x r - m r", "moved")
    assert kinds.count("MUL") == (2 if plain else 3)
    assert kinds.count("ADD") == 2  # the stream, and epsilon: b is in the bias of the layer that reads it


def test_a_stream_of_small_layers_stays(g: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Operators in int16 would take most of the time."""
    block(g)
    assert not streams(g, monkeypatch, 1000)[0].wide


def test_a_normalization_of_no_residual_stream_stays(g: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    x = g.dense(g.input(1, 4, 8), 8)
    g.output(g.dense(normalized(g, x, FORMS[0]), 8))
    assert not streams(g, monkeypatch)[0].wide


def test_residual_sums_without_normalization_stay(g: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    x = g.conv(g.input(1, 6, 6, 3))
    g.output(g.op("ADD", x, g.conv(x, 4)))
    assert not streams(g, monkeypatch)[0].wide


def test_a_shift_that_something_else_reads_stays(g: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    x = g.input(1, 4, 8)
    total = g.op("ADD", x, g.dense(x, 8))
    y = normalized(g, total, FORMS[0])
    g.output(g.op("ADD", total, g.dense(y, 8)), g.op("ABS", y))
    done, _ = streams(g, monkeypatch)
    assert [op.kind for op in done.wide].count("ADD") == 3


def test_behind_the_sum_the_shift_is_in_the_bias_of_the_layer_that_it_adds(g: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream is the normalized value: x = normalization(x + dense(x))."""
    x = g.input(1, 4, 8)
    y = normalized(g, g.op("ADD", x, g.dense(x, 8)), FORMS[0])
    g.output(g.dense(normalized(g, g.op("ADD", y, g.dense(g.dense(y, 8), 8)), FORMS[0]), 8))
    monkeypatch.setattr("fullint.quantization.shifts.MOST_WIDER", 10)
    done, _ = streams(g, monkeypatch)
    assert [op.kind for op in done.wide].count("ADD") == 4


def test_a_shift_goes_through_moves_of_rows(g: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the layer that reads the stream, and to the one whose result is added to it."""
    x = g.input(1, 4, 8)
    y = normalized(g, g.op("ADD", x, g.dense(x, 8)), FORMS[0])
    h = g.reshape(g.dense(g.dense(g.reshape(y, 4, 8), 8), 8), 1, 4, 8)
    g.output(g.dense(normalized(g, g.op("ADD", y, h), FORMS[0]), 8))
    monkeypatch.setattr("fullint.quantization.shifts.MOST_WIDER", 10)
    assert [op.kind for op in streams(g, monkeypatch)[0].wide].count("ADD") == 4
