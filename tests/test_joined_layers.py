"""Two layers whose results are added become one, where their inputs have ranges of about one size; no model is quantized."""

import numpy as np
import pytest
from conftest import run

from fullint.model.ir import Model, Quant, Tensor
from fullint.model.ranges import Range
from fullint.ops.builder import Builder
from fullint.quantization.joined_layers import MOST_COARSER, join_layers


def cell(g: Builder, kind: str = "ADD", clamp: int = 0) -> tuple[Tensor, Tensor]:
    """W x + U h, with a bias in one of the layers and a move behind the other. Returns x and h."""
    x, h = g.input(2, 5), g.input(2, 3)
    other = g.op("FULLY_CONNECTED", h, g.random(4, 3), None, shape=(2, 4))
    g.output(g.op(kind, g.dense(x, 4), g.reshape(g.reshape(other, 1, 2, 4), 2, 4), fused_activation_function=clamp))
    return x, h


def joined(g: Builder, spans: dict[Tensor, Range]) -> tuple[Model, list[str]]:
    """The model with layers joined, and its operators; the outputs are the same."""
    model = g.model()
    before = [op.kind for op in model.main.ops]
    found, changes = join_layers(model, spans)
    sample = [np.random.default_rng(0).normal(size=t.shape).astype(np.float32) for t in model.main.inputs]
    for a, b in zip(run(found, sample, "builtin"), run(model, sample, "builtin"), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)
    assert [op.kind for op in model.main.ops] == before and bool(changes) == (found is not model)
    return found, [op.kind for op in found.main.ops]


ONE = ["CONCATENATION", "FULLY_CONNECTED"]


@pytest.mark.parametrize("clamp", [0, 1])
def test_two_layers_become_one(g: Builder, clamp: int) -> None:
    x, h = cell(g, clamp=clamp)
    found, kinds = joined(g, {x: Range(0.0, 1.0), h: Range(-1.0, 1.0)})
    assert kinds == ONE
    assert found.main.ops[1].options["fused_activation_function"] == clamp


@pytest.mark.parametrize(
    ("spans", "one"),
    [
        ((Range(0.0, 1.0), Range(0.0, MOST_COARSER)), True),
        ((Range(0.0, 1.0), Range(0.0, MOST_COARSER * 1.01)), False),
        ((Range(-3.0, 3.0), Range(-1.0, 1.0)), False),
        ((Range(2.0, 3.0), Range(-1.0, 1.0)), True),
    ],
)
def test_inputs_of_unlike_ranges_stay_apart(g: Builder, spans: tuple[Range, Range], one: bool) -> None:
    """They would get one scale."""
    assert (joined(g, dict(zip(cell(g), spans, strict=True)))[1] == ONE) is one


def test_layers_that_share_weights_share_them_joined(g: Builder) -> None:
    w, u = g.random(4, 5), g.random(4, 3)
    spans: dict[Tensor, Range] = {}
    for _ in range(2):
        x, h = g.input(2, 5), g.input(2, 3)
        spans |= {x: Range(0.0, 1.0), h: Range(0.0, 1.0)}
        layers = [g.op("FULLY_CONNECTED", t, c, None, shape=(2, 4)) for t, c in ((x, w), (h, u))]
        g.output(g.op("ADD", *layers))
    ops = join_layers(g.model(), spans)[0].main.ops
    assert [op.kind for op in ops] == ONE * 2
    assert ops[1].inputs[1] is ops[3].inputs[1]


@pytest.mark.parametrize(
    "case", ["minus", "not measured", "read twice", "clamped", "weights came as integers", "pinned", "named"]
)
def test_layers_that_stay_apart(g: Builder, case: str) -> None:
    x, h = cell(g, "SUB" if case == "minus" else "ADD")
    spans = {x: Range(0.0, 1.0), h: Range(0.0, 1.0)}
    model = g.model()
    layers = [op for op in model.main.ops if op.kind == "FULLY_CONNECTED"]
    if case == "not measured":
        del spans[h]
    if case == "read twice":
        model.main.outputs.append(layers[0].outputs[0])
    if case == "clamped":
        layers[0].options["fused_activation_function"] = 1
    if case == "weights came as integers":
        assert layers[0].inputs[1] is not None
        layers[0].inputs[1].quant = Quant.of(1.0)
    pinned = {layers[0].outputs[0]} if case == "pinned" else frozenset()
    named = {layers[0]} if case == "named" else frozenset()
    assert join_layers(model, spans, pinned, named) == (model, [])


def test_what_is_joined_once_is_read_by_all(g: Builder) -> None:
    x, h = g.input(2, 5), g.input(2, 3)
    for _ in range(3):
        g.output(g.op("ADD", g.dense(x, 4), g.dense(h, 4)))
    _, kinds = joined(g, {x: Range(0.0, 1.0), h: Range(-1.0, 1.0)})
    assert kinds == ["CONCATENATION", *["FULLY_CONNECTED"] * 3]


def test_other_order_is_another_join(g: Builder) -> None:
    x, h = g.input(2, 5), g.input(2, 3)
    for a, b in ((x, h), (h, x)):
        g.output(g.op("ADD", g.dense(a, 4), g.dense(b, 4)))
    _, kinds = joined(g, {x: Range(0.0, 1.0), h: Range(-1.0, 1.0)})
    assert sorted(kinds) == ["CONCATENATION"] * 2 + ["FULLY_CONNECTED"] * 2
