"""Chains of element-wise operators become one function: a table, or the operator they are."""

import numpy as np
import pytest
from conftest import evaluate, kinds, quantized, run

import fullint
from fullint.model.ir import Tensor
from fullint.model.tflite import read_bytes, read_model
from fullint.ops.builder import Builder, samples_like
from fullint.passes import prepare

TABLE = ["CAST", "ADD", "GATHER"]


def prepared(g: Builder, lookups: bool = True) -> list[str]:
    """Kinds after preparation; the float function is the same."""
    model = read_bytes(g.bytes())
    samples = [list(s.values()) for s in samples_like(model, 2)]
    before = [run(model, s, "builtin") for s in samples]
    prepare(model, evaluate, lookups)
    for s, expected in zip(samples, before, strict=True):
        for a, b in zip(run(model, s, "builtin"), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-3)
    return [op.kind for op in model.main.ops]


@pytest.mark.parametrize("kind", ["SIN", "COS", "FLOOR", "SIGN"])
def test_function_without_a_kernel_is_a_table(g: Builder, kind: str) -> None:
    g.output(g.op(kind, g.input(1, 16)))
    result = quantized(g, min_sqnr=-100)
    assert kinds(result.model) == TABLE
    assert all(k.status == "ran" for k in result.report.certificate.kernel_sets)


@pytest.mark.parametrize(("kind", "number"), [("POW", 1.7), ("POW", 3.0), ("FLOOR_DIV", 0.25), ("FLOOR_MOD", 0.5)])
def test_function_with_a_constant_is_a_table(g: Builder, kind: str, number: float) -> None:
    g.output(g.op(kind, g.op("ABS", g.input(1, 64)), g.const(number)))
    result = quantized(g, min_sqnr=-100)
    assert kinds(result.model) == TABLE  # ABS is part of it


def test_table_is_exact_to_the_rounding_of_its_output(g: Builder) -> None:
    """Every code of the input: the float function, rounded to the output's steps."""
    x = g.input(1, 256)
    g.output(g.op("COS", x))
    values = np.linspace(-3, 3, 256, dtype=np.float32).reshape(1, 256)
    model = read_model(fullint.quantize(g.bytes(), [values] * 12).model)
    codes = np.arange(-128, 128).astype(np.int8).reshape(1, 256)
    q_in, q_out = model.main.inputs[0].quant, model.main.outputs[0].quant
    real = (codes.astype(np.float32) - q_in.zero_point) * q_in.scale
    for kernels in ("xnnpack", "builtin", "reference"):
        out = (run(model, [codes], kernels)[0] - q_out.zero_point.astype(np.float32)) * q_out.scale
        assert np.abs(out - np.clip(np.cos(real), out.min(), out.max())).max() <= 0.5001 * q_out.scale[0]


def mish(g: Builder, x: Tensor) -> Tensor:
    soft = g.op("LOG", g.op("ADD", g.op("EXP", x), g.const(1.0)))
    return g.op("MUL", x, g.op("TANH", soft))


def test_chain_is_one_table(g: Builder) -> None:
    g.output(mish(g, g.conv(g.input(1, 4, 4, 2))))
    assert prepared(g) == ["CONV_2D", "LOOKUP"]


def hard_swish(g: Builder, x: Tensor) -> Tensor:
    return g.op("MUL", x, g.op("MUL", g.op("ADD", x, g.const(3.0), fused_activation_function=3), g.const(1 / 6)))


def gelu(g: Builder, x: Tensor) -> Tensor:
    inner = g.op("MUL", g.op("ADD", x, g.op("MUL", g.op("POW", x, g.const(3.0)), g.const(0.044715))), g.const(0.7978846))
    return g.op("MUL", g.op("MUL", x, g.const(0.5)), g.op("ADD", g.op("TANH", inner), g.const(1.0)))


def leaky(g: Builder, x: Tensor) -> Tensor:
    return g.op("MAXIMUM", x, g.op("MUL", x, g.const(0.2)))


@pytest.mark.parametrize(("make", "kind"), [(hard_swish, "HARD_SWISH"), (gelu, "GELU"), (leaky, "LEAKY_RELU")])
def test_chain_is_recognised_by_its_values(g: Builder, make, kind: str) -> None:
    g.output(make(g, g.input(1, 8)))
    assert prepared(g) == [kind]


def test_short_chain_of_kernels_is_left_alone(g: Builder) -> None:
    """Two operators with kernels are no slower than a table."""
    x = g.conv(g.input(1, 4, 4, 2))
    g.output(g.op("MUL", x, g.op("LOGISTIC", x)))
    assert prepared(g) == ["CONV_2D", "LOGISTIC", "MUL"]


def test_what_is_read_inside_the_chain_stays(g: Builder) -> None:
    x = g.input(1, 16)
    e = g.op("EXP", x)
    g.output(e, g.op("SIN", g.op("TANH", e)))
    assert sorted(prepared(g)) == ["EXP", "LOOKUP"]


def test_two_sources_are_no_function_of_one(g: Builder) -> None:
    x, y = g.input(1, 16), g.input(1, 16)
    g.output(g.op("TANH", g.op("ADD", g.op("EXP", x), g.op("EXP", y))))
    assert "LOOKUP" not in prepared(g)


def test_float_to_integer_is_a_table_of_integers(g: Builder) -> None:
    """CAST truncates: exact at every code."""
    x = g.input(1, 64)
    g.output(g.op("CAST", g.op("MUL", x, g.const(4.0)), dtype="int32", in_data_type=0, out_data_type=2))
    result = quantized(g, min_sqnr=-100)
    assert kinds(result.model) == TABLE
    assert result.report.certificate.outputs[0].equal > 0.9


def test_integers_become_numbers(g: Builder) -> None:
    i = g.input(1, 8, dtype="int32")
    g.output(g.op("MUL", g.op("CAST", i, dtype="float32", in_data_type=2), g.const(0.5)))
    samples = [np.arange(8, dtype=np.int32).reshape(1, 8) * k for k in range(1, 20)]
    result = fullint.quantize(g.bytes(), samples)
    assert result.report.certificate.sqnr_db > 35
    assert "QUANTIZE" in kinds(result.model)


def test_condition_as_a_number(g: Builder) -> None:
    x = g.input(1, 64)
    mask = g.op("CAST", g.op("GREATER", x, g.const(0.25)), dtype="float32", in_data_type=6)
    g.output(g.op("MUL", x, mask))
    assert quantized(g).report.certificate.sqnr_db > 25


def test_target_without_tables_warns(g: Builder) -> None:
    g.output(g.op("SIN", g.conv(g.input(1, 4, 4, 2))))
    result = quantized(g, target="ethos-u")
    assert any("will not run on ethos-u" in w for w in result.report.warnings)


def test_target_without_tables_keeps_kernels(g: Builder) -> None:
    g.output(mish(g, g.conv(g.input(1, 4, 4, 2))))
    result = quantized(g, target="ethos-u")
    assert "GATHER" not in kinds(result.model)
    assert not any("will not run" in w for w in result.report.warnings)


@pytest.mark.parametrize("kind", ["GREATER", "LESS"])
def test_prelu_in_parts(g: Builder, kind: str) -> None:
    """What converters of PyTorch models write; the quantizer of TensorFlow leaves the convolution in float."""
    x = g.conv(g.input(1, 4, 4, 2))
    product = g.op("MUL", x, g.random(1, 1, 1, 4))
    condition = g.op(kind, x, g.const(0.0))
    g.output(g.op("SELECT", condition, *((x, product) if kind == "GREATER" else (product, x))))
    assert prepared(g) == ["CONV_2D", "PRELU"]


def test_prelu_of_two_relus(g: Builder) -> None:
    x = g.conv(g.input(1, 4, 4, 2))
    below = g.op("NEG", g.op("RELU", g.op("NEG", x)))
    g.output(g.op("ADD", g.op("RELU", x), g.op("MUL", g.random(4), below)))
    assert prepared(g) == ["CONV_2D", "PRELU"]


@pytest.mark.parametrize("shift", [True, False])
@pytest.mark.parametrize("axis", [1, 2])
def test_softmax_in_parts(g: Builder, axis: int, shift: bool) -> None:
    x = g.input(2, 4, 6)
    where = g.const(np.int32([axis]))
    one = (2, 1, 6) if axis == 1 else (2, 4, 1)
    top = g.op("REDUCE_MAX", x, where, shape=one, keep_dims=True)
    e = g.op("EXP", g.op("SUB", x, top) if shift else x)
    g.output(g.op("DIV", e, g.op("SUM", e, where, shape=one, keep_dims=True)))
    found = prepared(g)
    assert "SOFTMAX" in found and "EXP" not in found and "DIV" not in found


def test_long_chains_of_shared_values_are_quick(g: Builder) -> None:
    """Each value read twice by the next: two to the sixtieth ways through, and one look-up."""
    x = g.input(1, 8)
    for _ in range(60):
        x = g.op("MUL", x, g.op("LOGISTIC", x))
    g.output(g.op("ADD", x, g.input(1, 8)))
    assert prepared(g) == ["LOOKUP", "ADD"]


@pytest.mark.parametrize("low", [0.0, 4.5])
def test_functions_that_differ_far_out_are_told_apart(low: float) -> None:
    """MINIMUM(MAXIMUM(x, 0), 6) is RELU6, not RELU, which it equals up to 6; one that ends at 8 is neither."""
    g = Builder()
    for end in (6.0, 8.0):
        g.output(g.op("MINIMUM", g.op("MAXIMUM", g.input(1, 64), g.const(0.0)), g.const(end)))
    model = read_bytes(g.bytes())
    prepare(model, evaluate)
    x = np.linspace(low, 12, 64, dtype=np.float32).reshape(1, 64)
    for found, end in zip(run(model, [x, x], "builtin"), (6.0, 8.0), strict=True):
        np.testing.assert_allclose(found, np.clip(x, 0, end), rtol=1e-6)
