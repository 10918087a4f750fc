"""Operators without a kernel written with others: the float function is the same, the result all integer."""

import numpy as np
import pytest
from conftest import evaluate, kinds, quantized, run
from flatbuffers import flexbuffers

import fullint
from fullint.errors import NotIntegerError
from fullint.model.ir import Tensor
from fullint.model.tflite import read_bytes, schema
from fullint.ops import ROWS
from fullint.ops.builder import Builder, samples_like
from fullint.ops.decompositions import IMPOSSIBLE, INTEGERS, form
from fullint.ops.make import PADDING, make_op
from fullint.passes import prepare


def same_function(g: Builder) -> list[str]:
    model = read_bytes(g.bytes())
    samples = [list(s.values()) for s in samples_like(model, 2)]
    before = [run(model, s, "builtin") for s in samples]
    prepare(model, evaluate)
    for s, expected in zip(samples, before, strict=True):
        for a, b in zip(run(model, s, "builtin"), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    return [op.kind for op in model.main.ops]


def test_every_operator_of_tflite_has_a_row_a_form_or_a_reason() -> None:
    names = set(schema.values("BuiltinOperator"))
    for kind in names - set(ROWS):
        assert (form(kind) is not None) != (kind in IMPOSSIBLE), kind
    assert set(IMPOSSIBLE) <= names and names >= INTEGERS


@pytest.mark.parametrize("options", [{}, {"exclusive": True}, {"reverse": True}, {"exclusive": True, "reverse": True}])
@pytest.mark.parametrize("axis", [1, -1])
def test_cumsum(g: Builder, axis: int, options: dict[str, bool]) -> None:
    g.output(g.op("CUMSUM", g.input(2, 5, 7), g.const(np.int32(axis)), shape=(2, 5, 7), **options))
    assert "FULLY_CONNECTED" in same_function(g)
    assert quantized(g, 100).report.certificate.sqnr_db > 25


@pytest.mark.parametrize("beta", [0.5, 0.75])
def test_local_response_normalization(g: Builder, beta: float) -> None:
    g.output(g.op("LOCAL_RESPONSE_NORMALIZATION", g.input(1, 4, 4, 8), radius=2, bias=1.0, alpha=0.5, beta=beta))
    assert "CONV_2D" in same_function(g)
    assert quantized(g).report.certificate.sqnr_db > 25


@pytest.mark.parametrize("count", [2, 4])
def test_add_n(g: Builder, count: int) -> None:
    g.output(g.op("ADD_N", *[g.input(1, 8) for _ in range(count)], shape=(1, 8)))
    assert same_function(g).count("ADD") == count - 1


@pytest.mark.parametrize(("exponent", "kind"), [(2.0, "MUL"), (0.5, "SQRT"), (-0.5, "RSQRT")])
def test_pow_of_a_number_with_a_kernel(g: Builder, exponent: float, kind: str) -> None:
    x = g.op("ADD", g.op("ABS", g.input(1, 8)), g.op("ABS", g.input(1, 8)))
    g.output(g.op("POW", g.op("ADD", x, g.const(1.0)), g.const(exponent)))
    assert same_function(g)[-1] in (kind, "LOOKUP")


def test_pow_of_two_tensors(g: Builder) -> None:
    x = g.op("ADD", g.op("ABS", g.input(1, 8)), g.const(0.5))
    g.output(g.op("POW", x, g.input(1, 8)))
    assert "POW" not in same_function(g)


def test_l2_pool(g: Builder) -> None:
    options = {"stride_w": 2, "stride_h": 2, "filter_width": 2, "filter_height": 2, "padding": PADDING["VALID"]}
    g.output(g.op("L2_POOL_2D", g.input(1, 4, 4, 3), shape=(1, 2, 2, 3), **options))
    assert same_function(g) == ["MUL", "AVERAGE_POOL_2D", "SQRT"]


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("stride", [1, 2])
def test_conv_3d(g: Builder, padding: str, stride: int) -> None:
    x, w = g.input(1, 5, 6, 6, 2), g.random(3, 3, 3, 2, 4, scale=0.2)
    sizes = [-(-n // stride) if padding == "SAME" else (n - 3) // stride + 1 for n in (5, 6, 6)]
    options = {f"{k}_{d}": stride for k in ("stride",) for d in "dhw"}
    options |= {f"dilation_{d}_factor": 1 for d in "dhw"}
    y = g.op("CONV_3D", x, w, g.random(4), shape=(1, *sizes, 4), padding=PADDING[padding], **options)
    y.dtype = "float32"
    g.output(y)
    assert "CONV_2D" in same_function(g)
    assert quantized(g).report.certificate.sqnr_db > 25


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("stride", [1, 2])
def test_conv_3d_transpose(g: Builder, padding: str, stride: int) -> None:
    x, w = g.input(1, 3, 4, 4, 2), g.random(3, 3, 3, 5, 2, scale=0.2)
    sizes = [n * stride if padding == "SAME" else (n - 1) * stride + 3 for n in (3, 4, 4)]
    shape = g.const(np.int32([1, *sizes, 5]))
    options = {f"stride_{d}": stride for d in "dhw"} | {f"dilation_{d}_factor": 1 for d in "dhw"}
    y = g.op("CONV_3D_TRANSPOSE", shape, w, x, g.random(5), shape=(1, *sizes, 5), padding=PADDING[padding], **options)
    y.dtype = "float32"
    g.output(y)
    assert "TRANSPOSE_CONV" in same_function(g)
    assert quantized(g).report.certificate.sqnr_db > 25


def test_angle_of_two_coordinates(g: Builder) -> None:
    g.output(g.op("ATAN2", g.input(1, 64), g.input(1, 64)))
    assert "ATAN2" not in same_function(g)
    assert quantized(g).report.certificate.sqnr_db > 12


def test_composite_is_its_decomposition(g: Builder) -> None:
    inner = Builder(name="gate")
    a, b = inner.input(1, 8), inner.input(1, 8)
    inner.output(inner.op("MUL", a, inner.op("LOGISTIC", b)), a)  # one result is an argument handed through
    x, y = g.input(1, 8), g.input(1, 8)
    outs = [Tensor("gated", (1, 8), "float32"), Tensor("same", (1, 8), "float32")]
    op = make_op("STABLEHLO_COMPOSITE", [x, y], outs)
    op.extra = ("StableHLOCompositeOptions", {"name": b"gate", "decomposition_subgraph_index": inner.graph, "version": 0})
    op.extra[1]["composite_attributes"] = np.frombuffer(flexbuffers.Dumps({}), np.uint8)
    g.graph.ops.append(op)
    g.output(g.op("RELU", outs[0]), g.op("TANH", outs[1]))
    assert "STABLEHLO_COMPOSITE" not in same_function(g)
    assert quantized(g).report.certificate.sqnr_db > 25


def test_weights_computed_at_run_time(g: Builder) -> None:
    """They get a zero point of 0, whatever computes them; a bias too is added apart."""
    x, w, b = g.input(1, 6, 6, 2), g.input(4, 3, 3, 2), g.input(4)
    y = g.conv(x, weights=g.op("ADD", w, g.const(0.5)), bias=b)
    z = g.op("FULLY_CONNECTED", g.reshape(y, 36, 4), g.input(5, 4), None, shape=(36, 5))
    g.output(z)
    result = quantized(g, 100)
    assert result.report.certificate.sqnr_db > 25
    model = read_bytes(result.model)
    for op in model.main.ops:
        if op.kind in ("CONV_2D", "FULLY_CONNECTED"):
            assert not op.inputs[1].is_constant and not op.inputs[1].quant.zero_point.any()


@pytest.mark.parametrize("mask", [-1e9, -3.4e38, -np.inf])
def test_attention_mask(g: Builder, mask: float) -> None:
    """A mask as large as it likes costs the scores no steps."""
    x, keep = g.input(1, 8, 8), g.input(1, 1, 8, dtype="bool")
    bias = g.op("SELECT_V2", keep, g.const(0.0), g.const(mask), shape=(1, 1, 8))
    g.output(g.op("SOFTMAX", g.op("ADD", x, bias), beta=1.0))
    samples = [(s["input"], np.arange(8).reshape(1, 1, 8) < 5) for s in samples_like(read_bytes(g.bytes()), 20)]
    result = fullint.quantize(g.bytes(), samples)
    assert result.report.certificate.sqnr_db > 30


def test_bucketize_and_one_hot(g: Builder) -> None:
    x = g.input(1, 16)
    i = g.op("BUCKETIZE", x, dtype="int32", boundaries=[-1.0, 0.0, 0.5])
    g.output(g.op("ONE_HOT", i, g.const(np.int32(4)), g.const(1.0), g.const(0.0), shape=(1, 16, 4), axis=-1))
    result = quantized(g, min_sqnr=-100)
    assert kinds(result.model) == ["CAST", "ADD", "GATHER", "ONE_HOT"]


@pytest.mark.parametrize("count", [5, 40])
@pytest.mark.parametrize("activations", ["int8", "int16"])
@pytest.mark.parametrize("mask", [-1e4, -1e9, -3.4e38, -np.inf])
def test_constant_attention_mask(g: Builder, mask: float, activations: str, count: int) -> None:
    """The usual mask that lets nothing look ahead, as a constant that is added; the room that few samples get is the scores'."""
    x = g.input(1, 8, 16)
    scores = g.op("BATCH_MATMUL", g.dense(x, 16), g.dense(x, 16), shape=(1, 8, 8), adj_y=True)
    ahead = g.const(np.triu(np.full((1, 8, 8), mask, np.float32), 1))
    g.output(g.op("SOFTMAX", g.op("ADD", scores, ahead), beta=1.0))
    assert quantized(g, count, activations=activations).report.certificate.sqnr_db > 25


def test_mask_as_a_factor(g: Builder) -> None:
    x, keep = g.input(1, 8, 8), g.input(1, 1, 8)
    bias = g.op("MUL", g.op("SUB", g.const(np.ones((1, 1, 8), np.float32)), keep), g.const(-1e9))
    g.output(g.op("SOFTMAX", g.op("ADD", x, bias), beta=1.0))
    scores = (s["input"] for s in samples_like(read_bytes(g.bytes()), 20))
    samples = [(s, (np.arange(8) < 5).astype(np.float32).reshape(1, 1, 8)) for s in scores]
    assert fullint.quantize(g.bytes(), samples).report.certificate.sqnr_db > 30


def test_scatter_outside_is_refused(g: Builder) -> None:
    indices, shape = g.const(np.int32([[0], [-1]])), g.const(np.int32([4, 3]))
    g.output(g.op("SCATTER_ND", indices, g.input(2, 3), shape, shape=(4, 3), dtype="float32"))
    with pytest.raises(NotIntegerError, match="SCATTER_ND"):
        quantized(g)


def test_scatter_and_segments(g: Builder) -> None:
    x = g.input(3, 4)
    indices, shape = g.const(np.int32([[4], [0], [2]])), g.const(np.int32([6, 4]))
    y = g.op("SCATTER_ND", indices, x, shape, shape=(6, 4), dtype="float32")
    g.output(g.op("SEGMENT_SUM", y, g.const(np.int32([0, 0, 1, 1, 2, 2])), shape=(3, 4)))
    assert "FULLY_CONNECTED" in same_function(g)
    assert quantized(g).report.certificate.sqnr_db > 18


def test_spectrum(g: Builder) -> None:
    """The size of a Fourier transform's values, and its two parts."""
    x = g.input(2, 1, 16)
    spectrum = g.op("RFFT2D", x, g.const(np.int32([1, 16])), shape=(2, 1, 9), dtype="complex64")
    g.output(*(g.op(k, spectrum, shape=(2, 1, 9), dtype="float32") for k in ("REAL", "IMAG", "COMPLEX_ABS")))
    assert not {"RFFT2D", "REAL", "IMAG", "COMPLEX_ABS"} & set(same_function(g))
    assert quantized(g).report.certificate.sqnr_db > 25


def test_operands_of_no_elements(g: Builder) -> None:
    x = g.input(1, 4)
    g.output(g.op("CONCATENATION", x, g.const(np.zeros((1, 0), np.float32)), shape=(1, 4), axis=1))
    assert quantized(g).report.certificate.sqnr_db > 30
