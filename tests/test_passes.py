"""Each pass: the float model computes the same before and after, and looks as the pass says."""

from pathlib import Path

import numpy as np
import pytest
from conftest import evaluate, quantized, run

from fullint.model.ir import Model, Quant, Tensor, constant
from fullint.model.tflite import read_bytes, read_model, write_model
from fullint.ops.builder import Builder, samples_like
from fullint.ops.make import ACTIVATIONS, PADDING
from fullint.passes import FIRST, LAST, prepare
from fullint.passes.static_shapes import fix_batch, fold_constants, forget_signatures
from fullint.runtime.messages import TensorShapes


def prepared(g: Builder, **options: bool) -> tuple[list[str], list[str]]:
    """(kinds of operators, notes of what was left) after preparation; outputs are checked to be equal."""
    model = read_bytes(g.bytes())
    samples = [list(s.values()) for s in samples_like(model, 2)]
    before = [run(model, s, "builtin") for s in samples]
    changes = prepare(model, evaluate, **options)
    for s, expected in zip(samples, before, strict=True):
        for a, b in zip(run(model, s, "builtin"), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)
    return [op.kind for op in model.main.ops], [c.why for c in changes if not c.done]


def image(g: Builder) -> Tensor:
    return g.input(1, 6, 6, 3)


@pytest.mark.parametrize("kind", ["ADD", "SUB", "MUL", "DIV"])
@pytest.mark.parametrize("layer", ["conv", "depthwise", "transpose_conv"])
def test_constant_after_a_convolution_folds(g: Builder, kind: str, layer: str) -> None:
    y = getattr(g, layer)(image(g))
    g.output(g.op(kind, y, g.const(np.linspace(0.5, 2, y.shape[-1]).astype(np.float32)), fused_activation_function=1))
    assert len(prepared(g)[0]) == 1


def test_constant_minus_convolution_folds(g: Builder) -> None:
    g.output(g.op("SUB", g.const(np.float32(1)), g.conv(image(g)), shape=(1, 6, 6, 4), dtype="float32"))
    assert prepared(g)[0] == ["CONV_2D"]


def test_batch_norm_after_a_dense_layer_folds(g: Builder) -> None:
    y = g.dense(g.input(2, 5), 4)
    y = g.op("ADD", g.op("MUL", y, g.random(4)), g.random(4))
    g.output(y)
    assert prepared(g)[0] == ["FULLY_CONNECTED"]


@pytest.mark.parametrize("outer", ["ADD", "SUB"])
@pytest.mark.parametrize("inner", ["ADD", "SUB"])
@pytest.mark.parametrize("first", [True, False])
def test_a_constant_behind_a_sum_goes_into_a_bias(g: Builder, outer: str, inner: str, first: bool) -> None:
    y, h = g.conv(image(g)), g.input(1, 6, 6, 4)
    total = g.op(inner, *((y, h) if first else (h, y)))
    g.output(g.op(outer, total, g.const(np.linspace(0.5, 2, 4).astype(np.float32)), fused_activation_function=1))
    assert prepared(g)[0] == ["CONV_2D", inner]


def test_the_bias_of_a_cell_s_gates_goes_through_reshapes_to_the_layer_without_one(g: Builder) -> None:
    with_bias = g.dense(g.input(2, 5), 4)
    without = g.op("FULLY_CONNECTED", g.input(2, 3), g.random(4, 3), None, shape=(2, 4))
    total = g.op("ADD", with_bias, g.reshape(g.reshape(without, 1, 2, 4), 2, 4))
    g.output(g.op("ADD", total, g.random(4)))
    assert prepared(g)[0] == ["FULLY_CONNECTED", "FULLY_CONNECTED", "RESHAPE", "RESHAPE", "ADD"]


@pytest.mark.parametrize(("name", "graph"), [("lstm_loop", 2), ("lstm_unrolled", 0)])
def test_the_bias_of_an_lstm_goes_into_its_layers(name: str, graph: int) -> None:
    """In the body of a loop as well."""
    model = read_model(Path(__file__).parent / "networks" / f"{name}.tflite")
    sample = [np.random.default_rng(0).random(model.main.inputs[0].shape, np.float32)]
    before, sums = run(model, sample, "builtin"), [op.kind for op in model.graphs[graph].ops].count("ADD")
    steps = sum(c.rule == "constant_into_bias" for c in prepare(model, evaluate) if c.done)
    assert steps == {"lstm_loop": 1, "lstm_unrolled": 7}[name]
    assert any(sums - [op.kind for op in g.ops].count("ADD") >= steps for g in model.graphs)
    for a, b in zip(run(model, sample, "builtin"), before, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)


def test_a_constant_behind_two_sums(g: Builder) -> None:
    y = g.op("ADD", g.input(2, 4), g.op("ADD", g.reshape(g.dense(g.input(1, 2, 5), 4), 2, 4), g.input(2, 4)))
    g.output(g.op("ADD", y, g.const(np.float32(3))))
    assert prepared(g)[0] == ["FULLY_CONNECTED", "RESHAPE", "ADD", "ADD"]


@pytest.mark.parametrize("case", ["read twice", "clamped", "minus", "another axis", "padded", "no weights"])
def test_a_constant_behind_a_sum_that_stays(g: Builder, case: str) -> None:
    y, h, c = g.dense(g.input(2, 4), 4), g.input(2, 4), g.random(4)
    if case == "padded":
        y, h = g.op("PAD", y, g.const(np.int32([[0, 1], [0, 0]])), shape=(3, 4)), g.input(3, 4)
    if case == "another axis":
        c = g.random(2, 1)
    if case == "no weights":
        y = g.input(2, 4)
    total = g.op("ADD", y, h, fused_activation_function=3 if case == "clamped" else 0)
    last = g.op("SUB", c, total, shape=total.shape) if case == "minus" else g.op("ADD", total, c)
    g.output(last, *([total] if case == "read twice" else []))
    assert prepared(g)[0][-2:] == ["ADD", g.graph.ops[-1].kind]


@pytest.mark.parametrize("layer", ["conv", "depthwise", "transpose_conv"])
def test_factor_before_a_convolution_folds(g: Builder, layer: str) -> None:
    x = g.op("MUL", image(g), g.const(np.array([0.5, 2, 3], np.float32)))
    g.output(getattr(g, layer)(x))
    assert len(prepared(g)[0]) == 1


def test_what_is_read_twice_is_not_folded(g: Builder) -> None:
    """A refusal has a reason."""
    y = g.conv(image(g))
    g.output(g.op("MUL", y, g.random(4)), g.op("RELU", y))
    kinds, left = prepared(g)
    assert kinds == ["CONV_2D", "MUL", "RELU"]
    assert "the convolution's output has other readers" in left


def test_constant_along_another_axis_is_not_folded(g: Builder) -> None:
    g.output(g.op("ADD", g.conv(image(g)), g.random(6, 1)))
    kinds, left = prepared(g)
    assert kinds == ["CONV_2D", "ADD"]
    assert any("is not one value per channel" in why for why in left)


@pytest.mark.parametrize(("kind", "fused"), [("RELU", 1), ("RELU6", 3), ("RELU_N1_TO_1", 2)])
def test_activation_fuses(g: Builder, kind: str, fused: int) -> None:
    g.output(g.op(kind, g.conv(image(g))))
    model = read_bytes(g.bytes())
    prepare(model, evaluate)
    assert [(op.kind, op.options["fused_activation_function"]) for op in model.main.ops] == [("CONV_2D", fused)]


def test_factor_that_broadcasts_its_convolution_is_not_folded(g: Builder) -> None:
    """One channel times eight factors is eight channels."""
    g.output(g.op("MUL", g.depthwise(g.input(1, 4, 4, 1)), g.random(8)))
    assert prepared(g)[0] == ["DEPTHWISE_CONV_2D", "MUL"]


def test_clamp_that_adds_a_dimension_is_not_fused(g: Builder) -> None:
    g.output(g.op("MAXIMUM", g.dense(g.input(2, 8), 4), g.const(np.zeros((1, 1, 1), np.float32))))
    assert prepared(g)[0] == ["FULLY_CONNECTED", "MAXIMUM"]


def test_maximum_with_zero_is_relu(g: Builder) -> None:
    g.output(g.op("MAXIMUM", g.conv(image(g)), g.const(0.0)))
    assert prepared(g)[0] == ["CONV_2D"]


def test_fused_tanh_stays_what_the_runtime_makes_of_it(g: Builder) -> None:
    g.output(g.conv(image(g), activation="TANH"))
    assert prepared(g)[0] == ["CONV_2D"]


def test_neg_sum_and_div_are_rewritten(g: Builder) -> None:
    x = g.input(1, 4, 4, 2)
    e = g.op("EXP", x)
    total = g.op("SUM", e, g.const(np.array([1, 2], np.int32)), shape=(1, 1, 1, 2), keep_dims=True)
    g.output(g.op("NEG", g.op("DIV", e, total)))
    kinds, _ = prepared(g)
    assert not {"NEG", "SUM", "DIV"} & set(kinds)
    assert "MEAN" in kinds


@pytest.mark.parametrize("positive", [True, False])
def test_div_by_an_activation(g: Builder, positive: bool) -> None:
    """Of either sign, as long as it is not zero."""
    x, y = g.input(1, 8), g.input(1, 8)
    divisor = g.op("ADD", g.op("ABS", y), g.const(0.5)) if positive else g.op("SUB", g.op("MUL", y, g.const(0.01)), g.const(1.5))
    g.output(g.op("DIV", x, divisor))
    kinds, _ = prepared(g)
    assert kinds == ["LOOKUP", "MUL"]


@pytest.mark.parametrize("positive", [True, False])
def test_div_without_look_ups(g: Builder, positive: bool) -> None:
    """For a target that takes no tables: LOG and EXP."""
    x, y = g.input(1, 8), g.input(1, 8)
    divisor = g.op("ADD", g.op("ABS", y), g.const(0.5)) if positive else g.op("SUB", g.op("MUL", y, g.const(0.01)), g.const(1.5))
    g.output(g.op("DIV", x, divisor))
    kinds, _ = prepared(g, lookups=False)
    assert "DIV" not in kinds and "LOOKUP" not in kinds
    assert "LOG" in kinds and "EXP" in kinds


def test_bias_becomes_a_vector(g: Builder) -> None:
    bias = constant("b", np.float32([[[[1, 2, 3, 4]]]]))
    x = image(g)
    g.output(g.op("CONV_2D", x, g.random(4, 1, 1, 3), bias, shape=(1, 6, 6, 4), stride_w=1, stride_h=1))
    model = g.model()
    prepare(model, evaluate)
    assert model.main.ops[0].inputs[2].shape == (4,)


def test_dense_layer_without_bias_gets_one(g: Builder) -> None:
    g.output(g.dense(g.input(1, 4), 3, bias=False))
    model = read_bytes(g.bytes())
    prepare(model, evaluate)
    assert len(model.main.ops[0].inputs) == 3
    assert prepared(g)[0] == ["FULLY_CONNECTED"]


def test_unused_operators_go(g: Builder) -> None:
    x = image(g)
    g.conv(x)
    g.output(g.conv(x))
    assert prepared(g)[0] == ["CONV_2D"]


def test_float16_constants_become_float32(g: Builder) -> None:
    half = g.const(g.rng.normal(size=(4, 3, 3, 3)).astype(np.float16))
    w = g.op("DEQUANTIZE", half, dtype="float32")
    g.output(g.conv(image(g), weights=w))
    assert prepared(g)[0] == ["CONV_2D"]


def test_dynamic_range_weights_keep_their_grid(g: Builder) -> None:
    """int8 weights that were expanded come back as the very codes they were."""
    codes = g.rng.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8)
    w = constant("w", codes, Quant.of(0.01, 0))
    x = image(g)
    g.output(g.op("CONV_2D", x, w, g.random(4), shape=(1, 6, 6, 4), stride_w=1, stride_h=1))
    from fullint import quantize

    result = quantize(write_model(g.model()), [np.ones((1, 6, 6, 3), np.float32) * k for k in (1, -1)], min_sqnr=-100)
    op = read_bytes(result.model).main.ops[0]
    np.testing.assert_array_equal(op.inputs[1].array, codes)


def test_passes_leave_what_they_do_not_know(g: Builder) -> None:
    """No pass of the pipeline touches an integer model."""
    a = g.input(1, 4, dtype="int32")
    g.output(g.op("ADD", a, g.const(np.int32([1, 2, 3, 4]))))
    assert prepared(g)[0] == ["ADD"]
    assert len(FIRST) == len(set(FIRST)) and len(LAST) == len(set(LAST))


def fixed(g: Builder, batch: int) -> Model:
    from fullint.runtime.process import WorkerProcess, model_file

    data = g.bytes()
    model = read_bytes(data)
    with WorkerProcess() as box, model_file(data) as path:
        fix_batch(model, batch, lambda shapes: box.call(TensorShapes(path, shapes)))

        forget_signatures(model)
        fold_constants(model, evaluate)
    return model


@pytest.mark.parametrize("batch", [1, 3])
def test_batch_is_fixed_and_shape_arithmetic_folds(g: Builder, batch: int) -> None:
    """SHAPE -> STRIDED_SLICE -> PACK -> RESHAPE becomes RESHAPE with a constant."""
    x = g.input(-1, 4, 2)
    shape = g.op("SHAPE", x, shape=(3,), dtype="int32", out_type=2)
    ends = [g.const(np.int32([n])) for n in (0, 1, 1)]
    first = g.op("STRIDED_SLICE", shape, *ends, shape=(), dtype="int32", shrink_axis_mask=1)
    target = g.op("PACK", first, g.const(np.int32(8)), shape=(2,), dtype="int32", values_count=2)
    y = g.op("RESHAPE", x, target, shape=(1, 8))
    y.shape_signature = (-1, 8)
    g.output(y)
    model = fixed(g, batch)
    assert [op.kind for op in model.main.ops] == ["RESHAPE"]
    assert model.main.ops[0].inputs[1].array.tolist() == [batch, 8]
    assert model.main.outputs[0].shape == (batch, 8)
    assert all(t.shape_signature is None for t in model.main.tensors)


def test_constant_arithmetic_is_done_once(g: Builder) -> None:
    c = g.op("MUL", g.const(np.float32([1, 2])), g.const(np.float32([3, 4])))
    g.output(g.op("ADD", g.input(1, 2), c))
    model = fixed(g, 1)
    assert [op.kind for op in model.main.ops] == ["ADD"]
    assert model.main.ops[0].inputs[1].array.tolist() == [3, 8]


def test_factors_before_a_depthwise_convolution_go_to_its_channels(g: Builder) -> None:
    """Two output channels of one input channel get one factor."""
    x = g.op("MUL", image(g), g.const(np.array([1, 10, 100], np.float32)))
    g.output(g.depthwise(x, multiplier=2))
    assert prepared(g)[0] == ["DEPTHWISE_CONV_2D"]


def test_random_numbers_are_drawn_in_each_run(g: Builder) -> None:
    noise = g.op("RANDOM_UNIFORM", g.const(np.int32([1, 4])), shape=(1, 4), dtype="float32")
    g.output(g.op("ADD", g.input(1, 4), noise))
    model = read_bytes(g.bytes())
    assert fold_constants(model, evaluate) == []
    assert [op.kind for op in model.main.ops] == ["RANDOM_UNIFORM", "ADD"]


def test_a_maximum_over_another_axis_is_no_part_of_a_softmax(g: Builder) -> None:
    """Taking it off would change the result: it differs within a row."""
    x = g.input(1, 4, 5)
    largest = g.op("REDUCE_MAX", x, g.const(np.int32([1])), shape=(1, 1, 5), keep_dims=True)
    e = g.op("EXP", g.op("SUB", x, largest))
    total = g.op("SUM", e, g.const(np.int32([2])), shape=(1, 4, 1), keep_dims=True)
    g.output(g.op("DIV", e, total))
    kinds, _ = prepared(g)
    assert "SUB" in kinds and "REDUCE_MAX" in kinds


@pytest.mark.parametrize("lowest", [-np.inf, 0.0])
def test_a_softmax_whose_reductions_drop_their_axis(g: Builder, lowest: float) -> None:
    """As JAX writes it: the maximum of minus infinity and the largest is the largest; of 0 and the largest it is not."""
    x = g.input(3, 5)
    axis, column = g.const(np.int32([1])), g.const(np.int32([3, 1]))
    largest = g.op("MAXIMUM", g.const(np.full(1, lowest, np.float32)), g.op("REDUCE_MAX", x, axis, shape=(3,)))
    e = g.op("EXP", g.op("SUB", x, g.op("RESHAPE", largest, column, shape=(3, 1))))
    total = g.op("RESHAPE", g.op("SUM", e, axis, shape=(3,)), column, shape=(3, 1))
    g.output(g.op("DIV", e, total))
    kinds, _ = prepared(g)
    assert kinds == (["SOFTMAX"] if lowest else ["REDUCE_MAX", "MAXIMUM", "RESHAPE", "SUB", "SOFTMAX"])


def test_a_maximum_over_another_axis_of_a_square_is_no_part_of_a_softmax(g: Builder) -> None:
    """A RESHAPE makes a column of it, which spreads as the right one would."""
    x, column = g.input(4, 4), g.const(np.int32([4, 1]))
    largest = g.op("RESHAPE", g.op("REDUCE_MAX", x, g.const(np.int32([0])), shape=(4,)), column, shape=(4, 1))
    e = g.op("EXP", g.op("SUB", x, largest))
    total = g.op("SUM", e, g.const(np.int32([1])), shape=(4, 1), keep_dims=True)
    g.output(g.op("DIV", e, total))
    assert prepared(g)[0] == ["REDUCE_MAX", "RESHAPE", "SUB", "SOFTMAX"]


POOLS = [
    ("VALID", (6, 4), (6, 4)),
    ("VALID", (6, 4), (1, 1)),
    ("SAME", (6, 4), (6, 4)),
    ("SAME", (9, 4), (9, 7)),
    ("SAME", (12, 11), (6, 4)),
]
"""Padding, window and steps of an average over all of 6 x 4."""


def averaged(g: Builder, padding: str, window: tuple[int, int], stride: tuple[int, int], activation: int = 0) -> Tensor:
    x = g.input(2, 6, 4, 3)
    sizes = [-(-n // s) if padding == "SAME" else (n - w) // s + 1 for n, w, s in zip((6, 4), window, stride, strict=True)]
    options = {"filter_height": window[0], "filter_width": window[1], "stride_h": stride[0], "stride_w": stride[1]}
    options |= {"padding": PADDING[padding], "fused_activation_function": activation}
    y = g.op("AVERAGE_POOL_2D", x, shape=(2, *sizes, 3), **options)
    g.output(y)
    return y


@pytest.mark.parametrize(("padding", "window", "stride"), POOLS)
def test_an_average_of_the_whole_picture_is_a_mean(
    g: Builder, padding: str, window: tuple[int, int], stride: tuple[int, int]
) -> None:
    """Padding does not count for the average."""
    averaged(g, padding, window, stride)
    assert prepared(g)[0] == ["MEAN"]


def test_an_average_of_a_part_stays(g: Builder) -> None:
    averaged(g, "VALID", (5, 4), (6, 4))
    averaged(g, "SAME", (3, 2), (3, 2))
    averaged(g, "SAME", (6, 4), (1, 1))
    assert prepared(g)[0] == ["AVERAGE_POOL_2D"] * 3


def test_an_average_with_an_activation_stays_and_it_says_why(g: Builder) -> None:
    averaged(g, "VALID", (6, 4), (6, 4), ACTIVATIONS["RELU6"])
    assert prepared(g) == (["AVERAGE_POOL_2D"], ["MEAN has no fused activation"])


def test_an_average_has_steps_of_its_own(g: Builder) -> None:
    """The mean of 4096 values has a sixtieth of their range."""
    x = g.input(1, 64, 64, 2)
    options = {"filter_height": 64, "filter_width": 64, "stride_h": 64, "stride_w": 64, "padding": PADDING["VALID"]}
    g.output(g.op("AVERAGE_POOL_2D", x, shape=(1, 1, 1, 2), **options))
    graph = read_bytes(quantized(g).model).main
    assert graph.outputs[0].quant.scale[0] < graph.inputs[0].quant.scale[0] / 20


def gates(g: Builder, *pieces: tuple[int, int], channels: int = 24) -> None:
    """A layer of which slices are taken."""
    y = g.dense(g.input(2, 5), channels)
    for begin, size in pieces:
        cut = g.op("SLICE", y, g.const(np.array([0, begin], np.int32)), g.const(np.array([2, size], np.int32)), shape=(2, size))
        g.output(g.op("TANH", cut))


def test_a_layer_that_is_split_becomes_a_layer_for_each_piece(g: Builder) -> None:
    y = g.dense(g.input(2, 5), 24)
    parts = g.op("SPLIT", g.const(np.int32(1)), y, outputs=3, shape=(2, 8), num_splits=3)
    g.output(g.op("MUL", g.op("LOGISTIC", parts[0]), g.op("ADD", parts[1], parts[2])))
    assert prepared(g)[0] == [*["FULLY_CONNECTED"] * 3, "LOGISTIC", "ADD", "MUL"]


def test_a_bias_that_is_a_row_is_cut_as_well(g: Builder) -> None:
    y = g.op("FULLY_CONNECTED", g.input(2, 5), g.random(16, 5), g.random(1, 16), shape=(2, 16))
    g.output(*g.op("SPLIT", g.const(np.int32(1)), y, outputs=2, shape=(2, 8), num_splits=2))
    assert prepared(g)[0] == ["FULLY_CONNECTED"] * 2


def test_pieces_that_are_read_late_stand_before_their_readers(g: Builder) -> None:
    gates(g, (0, 8), (16, 8))
    assert sorted(prepared(g)[0]) == ["FULLY_CONNECTED", "FULLY_CONNECTED", "TANH", "TANH"]


@pytest.mark.parametrize("pieces", [((0, 8), (4, 8)), ((0, 4), (4, 20)), ((0, 24),), tuple((8 * i, 8) for i in range(5))])
def test_layers_stay_whole_where_pieces_overlap_or_are_small_or_many(g: Builder, pieces: tuple[tuple[int, int], ...]) -> None:
    gates(g, *pieces, channels=40 if len(pieces) > 4 else 24)
    assert prepared(g)[0].count("FULLY_CONNECTED") == 1


def test_a_layer_that_is_cut_across_its_rows_stays_whole(g: Builder) -> None:
    y = g.dense(g.input(2, 5), 16)
    parts = g.op("SPLIT", g.const(np.int32(0)), y, outputs=2, shape=(1, 16), num_splits=2)
    g.output(*[g.op("TANH", p) for p in parts])
    assert prepared(g)[0].count("FULLY_CONNECTED") == 1


def test_steps_of_a_cell_share_the_pieces_of_their_weights(g: Builder) -> None:
    w = g.random(16, 5)
    for _ in range(2):
        y = g.op("FULLY_CONNECTED", g.input(1, 5), w, None, shape=(1, 16))
        parts = g.op("SPLIT", g.const(np.int32(1)), y, outputs=2, shape=(1, 8), num_splits=2)
        g.output(*[g.op("TANH", p) for p in parts])
    model = read_bytes(g.bytes())
    prepare(model, evaluate)
    layers = [op for op in model.main.ops if op.kind == "FULLY_CONNECTED"]
    assert len(layers) == 4 and len({op.inputs[1] for op in layers}) == 2


@pytest.mark.parametrize("adjoint", [False, True])
@pytest.mark.parametrize("shape", [(5, 6), (1, 5, 6)])
def test_a_product_with_a_constant_matrix_is_a_layer(g: Builder, shape: tuple[int, ...], adjoint: bool) -> None:
    """And what is added to it is its bias."""
    x = g.input(2, 3, 5)
    w = g.random(*shape[:-2], *(shape[-2:][::-1] if adjoint else shape[-2:]))
    y = g.op("BATCH_MATMUL", x, w, shape=(2, 3, 6), adj_x=False, adj_y=adjoint)
    g.output(g.op("ADD", y, g.random(6)))
    assert prepared(g)[0] == ["FULLY_CONNECTED"]


def test_products_that_share_a_matrix_share_the_weights(g: Builder) -> None:
    """The steps of an unrolled cell: the file does not grow with them."""
    w, x = g.random(5, 5), g.input(1, 5)
    for _ in range(3):
        x = g.op("TANH", g.op("BATCH_MATMUL", x, w, shape=(1, 5), adj_x=False, adj_y=False))
    y = g.op("BATCH_MATMUL", x, w, shape=(1, 5), adj_x=False, adj_y=True)
    g.output(g.op("TANH", y))
    model = read_bytes(g.bytes())
    prepare(model, evaluate)
    layers = [op.inputs[1] for op in model.main.ops if op.kind == "FULLY_CONNECTED"]
    assert len(layers) == 4 and len({*layers[:3]}) == 1 and layers[3] is not layers[0]


def test_products_with_several_matrices_or_of_a_transposed_input_stay(g: Builder) -> None:
    g.output(g.op("BATCH_MATMUL", g.input(2, 3, 5), g.random(2, 5, 6), shape=(2, 3, 6), adj_x=False, adj_y=False))
    g.output(g.op("BATCH_MATMUL", g.input(2, 5, 3), g.random(5, 6), shape=(2, 3, 6), adj_x=True, adj_y=False))
    assert prepared(g)[0] == ["BATCH_MATMUL", "BATCH_MATMUL"]
