"""Parameters that a model brings along: FAKE_QUANT, and QUANTIZE and DEQUANTIZE around a value, are honoured."""

import numpy as np
import pytest
from conftest import quantized, run

from fullint.model.ir import Quant, Tensor, constant, twin
from fullint.model.numerics import dequantize, quantize
from fullint.model.tflite import read_bytes
from fullint.ops.builder import Builder
from fullint.ops.make import make_op
from fullint.passes.qat_params import apply_qat_params, fake_quant_params, make_runnable


def pair(g: Builder, x: Tensor, quant: Quant, dtype: str = "int8") -> Tensor:
    """x -> QUANTIZE -> DEQUANTIZE."""
    codes, back = twin(x, f"{x.name}/codes"), twin(x, f"{x.name}/back")
    codes.dtype, codes.quant = dtype, quant
    back.quant = None
    g.graph.ops += [make_op("QUANTIZE", [x], [codes]), make_op("DEQUANTIZE", [codes], [back])]
    g.graph.ops[-2].version = 3
    return back


def fake_quant(g: Builder, x: Tensor, low: float, high: float, bits: int = 8, narrow: bool = False) -> Tensor:
    return g.op("FAKE_QUANT", x, min=low, max=high, num_bits=bits, narrow_range=narrow)


def same(found: Quant | None, wanted: Quant) -> bool:
    assert found is not None
    return bool(np.allclose(found.scale, wanted.scale, rtol=1e-6) and (found.zero_point == wanted.zero_point).all())


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_pairs_around_activations_and_weights_are_taken_over(dtype: str) -> None:
    g = Builder(seed=1)
    move = 128 if dtype == "uint8" else 0
    given = Quant.of(0.031, 3), Quant.of(0.052, -128), Quant.of(0.2, -7)
    x = pair(g, g.input(1, 8, 8, 3), Quant.of(given[0].scale, given[0].zero_point + move), dtype)
    w = g.random(4, 3, 3, 3, scale=0.3)
    grid = Quant.of(np.float32([0.011, 0.012, 0.013, 0.014]), np.full(4, move), 0)
    w = pair(g, w, grid, dtype)
    y = g.op(
        "CONV_2D", x, w, g.const(np.zeros(4, np.float32)), shape=(1, 8, 8, 4), stride_h=1, stride_w=1, fused_activation_function=1
    )
    y = pair(g, y, Quant.of(given[1].scale, given[1].zero_point + move), dtype)
    y = g.dense(g.reshape(y, 1, -1), 5)
    g.output(pair(g, y, Quant.of(given[2].scale, given[2].zero_point + move), dtype))
    result = quantized(g, io="int8")
    model = read_bytes(result.model)
    assert [op.kind for op in model.main.ops] == ["CONV_2D", "RESHAPE", "FULLY_CONNECTED"]
    conv, _, dense = model.main.ops
    assert (
        same(conv.inputs[0].quant, given[0]) and same(conv.outputs[0].quant, given[1]) and same(dense.outputs[0].quant, given[2])
    )
    assert np.allclose(conv.inputs[1].quant.scale, grid.scale, rtol=1e-6)
    assert any(c.rule == "honour" for c in result.report.changes)


def test_rounded_twice_is_rounded_once() -> None:
    """The integer model of a network whose every value lies on its grid equals the float one to a step."""
    g = Builder(seed=2)
    x = fake_quant(g, g.input(1, 6, 6, 2), -2.0, 2.0)
    w = fake_quant(g, g.random(3, 3, 3, 2, scale=0.2), -0.5, 0.5, narrow=True)
    y = g.op("CONV_2D", x, w, g.const(np.zeros(3, np.float32)), shape=(1, 6, 6, 3), stride_h=1, stride_w=1)
    g.output(fake_quant(g, y, -4.0, 4.0))
    result = quantized(g)
    after = read_bytes(result.model).main
    assert [op.kind for op in after.ops] == ["CONV_2D"]
    sample = np.random.default_rng(3).normal(size=(1, 6, 6, 2)).astype(np.float32)
    model = g.model()
    assert make_runnable(model)  # LiteRT does not run a narrow FAKE_QUANT
    float_out = run(model, [sample])[0]
    out, into = after.outputs[0].quant, after.inputs[0].quant
    codes = run(result.model, [quantize(sample, into)])[0]
    assert np.abs(dequantize(codes, out) - float_out).max() <= 1.01 * float(out.scale[0])
    assert np.isclose(dequantize(codes, out), float_out, atol=1e-4).mean() > 0.95


def test_narrow_range_is_symmetric() -> None:
    quant = fake_quant_params(-2.0, 2.0, narrow=True)
    assert np.isclose(float(quant.scale[0]), 2 / 127) and quant.zero_point[0] == 0


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (-2.0, 2.0), (0.0, 6.0), (-0.3, 5.0)])
def test_grid_is_fake_quants_own(low: float, high: float) -> None:
    """Over many values: rounding on the grid is what LiteRT's FAKE_QUANT computes."""
    g = Builder()
    x = g.input(1, 4001)
    g.output(fake_quant(g, x, low, high))
    values = np.linspace(low * 1.2 - 0.1, high * 1.2, 4001, dtype=np.float32).reshape(1, -1)
    quant = fake_quant_params(low, high, narrow=False)
    ours = dequantize(quantize(values, quant), quant)
    theirs = run(g.bytes(), [values], "builtin")[0]
    near_ties = np.abs(np.abs(values / float(quant.scale[0]) % 1.0) - 0.5) < 1e-3
    assert np.allclose(ours, theirs, atol=1e-5) or np.allclose(ours[~near_ties], theirs[~near_ties], atol=1e-5)


def test_few_bits_are_a_range() -> None:
    g = Builder()
    g.output(g.op("RELU", fake_quant(g, g.input(1, 8), -1.0, 1.0, bits=4)))
    after = read_bytes(quantized(g).model).main
    assert np.isclose(float(after.inputs[0].quant.scale[0]), 2 / 255, rtol=1e-3)


def test_what_is_moved_first_is_rounded_first() -> None:
    """No requantize between an input and the grid behind its TRANSPOSE."""
    g = Builder()
    x = g.input(1, 3, 8, 8)
    y = g.op("TRANSPOSE", x, g.const(np.int32([0, 2, 3, 1])), shape=(1, 8, 8, 3))
    g.output(g.conv(pair(g, y, Quant.of(0.01, 5)), 4))
    after = read_bytes(quantized(g, min_sqnr=-100.0).model).main
    assert [op.kind for op in after.ops] == ["TRANSPOSE", "CONV_2D"]
    assert same(after.inputs[0].quant, Quant.of(0.01, 5))


def test_weights_in_another_layout_keep_their_grid() -> None:
    g = Builder()
    x = g.input(1, 6, 6, 2)
    w = pair(g, g.random(5, 2, 3, 3, scale=0.1), Quant.of(np.linspace(0.01, 0.02, 5, dtype=np.float32), np.zeros(5), 0))
    w = g.op("TRANSPOSE", w, g.const(np.int32([0, 2, 3, 1])), shape=(5, 3, 3, 2))
    g.output(g.op("CONV_2D", x, w, g.const(np.zeros(5, np.float32)), shape=(1, 6, 6, 5), stride_h=1, stride_w=1))
    conv = read_bytes(quantized(g).model).main.ops[0]
    assert np.allclose(conv.inputs[1].quant.scale, np.linspace(0.01, 0.02, 5), rtol=1e-5)


def test_integers_read_elsewhere_stay() -> None:
    """A value whose codes are an output, or read by an integer operator, is no pair."""
    g = Builder()
    x = g.input(1, 4)
    back = pair(g, x, Quant.of(0.1, 0))
    g.output(back, g.graph.ops[-1].inputs[0])
    pinned, changes = apply_qat_params(g.model())
    assert not pinned and not changes


def test_asymmetric_weights_are_only_rounded() -> None:
    g = Builder()
    w = g.random(3, 4)
    y = pair(g, w, Quant.of(0.02, 5))
    g.output(g.op("FULLY_CONNECTED", g.input(1, 4), y, None, shape=(1, 3)))
    model = g.model()
    apply_qat_params(model)
    rounded = model.main.ops[0].inputs[1]
    assert rounded.quant is None and rounded.is_constant
    assert np.allclose(rounded.array, dequantize(quantize(w.array, Quant.of(0.02, 5)), Quant.of(0.02, 5)))
    assert constant("", rounded.array).shape == (3, 4)


def outputs(g: Builder, count: int = 30, **options: object) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Of the float and the integer model, on one sample beyond all grids."""
    result = quantized(g, count, min_sqnr=-100.0, **options)
    after = read_bytes(result.model).main
    x = np.linspace(-2.5, 2.5, 8, dtype=np.float32).reshape(1, 8)
    codes = run(result.model, [quantize(x, after.inputs[0].quant)])
    return run(g.bytes(), [x], "builtin"), [dequantize(c, t.quant) for c, t in zip(codes, after.outputs, strict=True)]


def near(g: Builder, least: float) -> None:
    for a, b in zip(*outputs(g), strict=True):
        assert np.abs(a - b).max() < least, (a, b)


def test_who_reads_the_value_itself_does_not_see_the_grid() -> None:
    g = Builder()
    x = g.input(1, 8)
    g.output(g.op("ADD", fake_quant(g, x, -1.0, 1.0), x), g.op("MUL", x, g.const(0.1)))
    near(g, 0.06)


def test_two_grids_on_one_value() -> None:
    g = Builder()
    x = g.input(1, 8)
    g.output(*(g.op("MUL", fake_quant(g, x, -m, m), g.const(2.0)) for m in (1.0, 2.0)))
    near(g, 0.06)


def test_a_grid_inside_a_chain_clamps_there() -> None:
    """What becomes one look-up otherwise is parted where the model rounds; a range without zero is moved, as the kernel does."""
    g = Builder()
    x = g.input(1, 8)
    y = fake_quant(g, g.op("ADD", g.op("MUL", x, x), g.const(1.0)), 1.0, 3.0)
    g.output(g.op("MUL", y, g.const(2.0)))
    (a,), (b,) = outputs(g)
    assert a.max() <= 4.01 and b.max() <= 4.01 and np.abs(a - b).max() < 0.25


@pytest.mark.parametrize(("bits", "least"), [(4, 0.45), (16, 0.06)])
def test_other_bits(bits: int, least: float) -> None:
    g = Builder()
    g.output(g.op("MUL", fake_quant(g, g.input(1, 8), -1.0, 1.0, bits=bits), g.const(3.0)))
    near(g, least)


@pytest.mark.parametrize(("dtype", "bits"), [("int4", 4), ("int16", 16)])
def test_codes_that_the_runtime_does_not_make_become_fake_quant(dtype: str, bits: int) -> None:
    g = Builder()
    y = pair(g, g.input(1, 4), Quant.of(0.01, 3))
    g.output(g.op("RELU", y))
    model = g.model()
    model.main.ops[0].outputs[0].dtype = dtype
    make_runnable(model)
    assert [op.kind for op in model.main.ops] == ["FAKE_QUANT", "RELU"]
    options = model.main.ops[0].options
    assert options["num_bits"] == bits
    assert np.isclose(options["min"], (-(2 ** (bits - 1)) - 3) * 0.01) and np.isclose(
        options["max"], (2 ** (bits - 1) - 4) * 0.01
    )


def test_parameters_left_on_float_values_mean_nothing() -> None:
    """They are no grid: a rewrite goes on across them."""
    g = Builder()
    y = g.op("DIV", g.input(1, 4), g.op("ADD", g.op("EXP", g.input(1, 4)), g.const(1.0)))
    g.output(g.op("SIN", g.op("MUL", y, g.const(2.0))))
    for t in g.graph.tensors or [o for op in g.graph.ops for o in op.outputs]:
        if t.dtype == "float32" and t.buffer is None:
            t.quant = Quant.of(0.1, 3)
    after = read_bytes(quantized(g).model).main
    assert "DIV" not in {op.kind for op in after.ops}
