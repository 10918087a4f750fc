"""`keep_float`: operators that stay float at the user's wish, and nothing else does."""

import numpy as np
import pytest
from conftest import kinds, quantized

from fullint.errors import AccuracyError, UsageError
from fullint.model.tflite import read_bytes
from fullint.ops.builder import Builder, samples_like


def network(g: Builder) -> None:
    x = g.conv(g.input(1, 6, 6, 2))
    x = g.op("TANH", x, name="bent")
    x = g.op("SIN", x, name="wave")
    g.output(g.conv(x))


@pytest.mark.parametrize("wanted", ["TANH", "1", "bent", 1, [1], ["TANH"]])
def test_one_operator_inside_one_pair(g: Builder, wanted: object) -> None:
    network(g)
    result = quantized_but(g, wanted)
    assert kinds(result.model) == ["CONV_2D", "DEQUANTIZE", "TANH", "QUANTIZE", "CAST", "ADD", "GATHER", "CONV_2D"]
    assert result.report.certificate.except_for == ('op 1 TANH "bent"',)
    assert [k.kind for k in result.report.kept_float] == ["TANH"]


def test_neighbours_share_the_pair(g: Builder) -> None:
    network(g)
    result = quantized_but(g, "TANH,SIN")
    assert kinds(result.model) == ["CONV_2D", "DEQUANTIZE", "TANH", "SIN", "QUANTIZE", "CONV_2D"]


def test_weighted_operator_at_the_border(g: Builder) -> None:
    network(g)
    result = quantized_but(g, "0,3")
    assert kinds(result.model) == ["CONV_2D", "QUANTIZE", "CAST", "ADD", "GATHER", "DEQUANTIZE", "CONV_2D"]
    model = read_bytes(result.model)
    assert model.main.inputs[0].dtype == model.main.outputs[0].dtype == "float32"
    assert [(o.name, o.judged) for o in result.report.certificate.outputs] == [("conv_2d_1", True)]
    assert result.report.certificate.sqnr_db > 25
    asked = quantized_but(g, "0,3", io="int8")
    assert kinds(asked.model)[:3] == ["DEQUANTIZE", "CONV_2D", "QUANTIZE"]
    model = read_bytes(asked.model)
    assert model.main.inputs[0].dtype == model.main.outputs[0].dtype == "int8"


def test_operator_without_an_integer_form(g: Builder) -> None:
    """The way out of a refusal."""
    x = g.conv(g.input(1, 4, 4, 2))
    g.output(g.op("REVERSE_SEQUENCE", x, g.const(np.int32([2])), shape=x.shape, seq_dim=1))
    result = quantized_but(g, "REVERSE_SEQUENCE")
    assert result.report.certificate.except_for[0].startswith("op 1 REVERSE_SEQUENCE")


def test_what_nobody_can_judge_is_judged_where_the_integers_end(g: Builder) -> None:
    """An operator of unknown function at the output: what it reads is compared."""
    x = g.conv(g.input(1, 4, 4, 2))
    g.output(g.op("REVERSE_SEQUENCE", x, g.const(np.int32([2])), shape=x.shape, seq_dim=1))
    certificate = quantized_but(g, "REVERSE_SEQUENCE").report.certificate
    assert [(o.name, o.judged) for o in certificate.outputs] == [("reverse_sequence", False), ("conv_2d", True)]
    assert certificate.sqnr_db == certificate.outputs[1].sqnr_db > 25
    assert [k.samples for k in certificate.kernel_sets] == [certificate.samples, 4, 4]  # each counted once


def test_a_lost_column_in_front_of_a_kept_operator_is_lost(g: Builder) -> None:
    w = g.rng.normal(size=(3, 8)).astype(np.float32) * np.float32([[100], [1e-2], [1e-2]])
    y = g.op("FULLY_CONNECTED", g.input(1, 8), g.const(w), None, shape=(1, 3))
    g.output(g.op("NEG", y, name="y"))
    with pytest.raises(AccuracyError, match=r"y\[\.\.\., 1\]"):
        quantized_but(g, "NEG")


def test_a_name_that_is_not_there(g: Builder) -> None:
    network(g)
    with pytest.raises(UsageError, match='the index, type or output name "TAHN"'):
        quantized_but(g, "TAHN")


def quantized_but(g: Builder, wanted: object, **options: object):
    """Quantized with operators kept; the contract is checked by the certificate, which knows them."""
    import fullint
    from fullint.ops.builder import samples_like

    data = g.bytes()
    return fullint.quantize(data, samples_like(read_bytes(data), 20), keep_float=wanted, **options)


def test_nothing_else_may_be_float(g: Builder) -> None:
    network(g)
    assert quantized(g).report.certificate.except_for == ()


def half_precision(g: Builder) -> str:
    x, w, b = g.input(1, 8, 8, 3), g.rng.normal(size=(4, 3, 3, 3)), np.zeros(4)
    stored = [g.op("DEQUANTIZE", g.const(c.astype(np.float16)), dtype="float32") for c in (w, b)]
    g.output(g.op("CONV_2D", x, *stored, shape=(1, 8, 8, 4), padding=0, stride_w=1, stride_h=1))
    return "DEQUANTIZE"


def half_precision_term(g: Builder) -> str:
    c = g.op("DEQUANTIZE", g.const(g.rng.normal(size=(1, 8)).astype(np.float16)), dtype="float32")
    g.output(g.op("ADD", g.input(1, 8), c))
    return "DEQUANTIZE"


def zeros(g: Builder) -> str:
    y = g.op("TANH", g.input(1, 8))
    g.output(g.op("ADD", y, g.op("ZEROS_LIKE", y)))
    return "ZEROS_LIKE"


@pytest.mark.parametrize("make", [half_precision, half_precision_term, zeros])
def test_an_operator_that_would_be_a_constant_is_kept(g: Builder, make) -> None:
    """A rule that is refused has changed nothing: the operator still writes what is no constant."""
    kind = make(g)
    result = quantized_except(g, kind)
    assert {k.kind for k in result.report.kept_float} == {kind}
    assert kind in [op.kind for op in read_bytes(result.model).main.ops]
    assert result.report.certificate.sqnr_db > 30


def quantized_except(g: Builder, kind: str):
    import fullint

    data = g.bytes()
    return fullint.quantize(data, samples_like(read_bytes(data), 20), keep_float=kind)


def test_what_a_kernel_set_lacks_in_the_given_model_is_absent_there(g: Builder) -> None:
    """The reference kernels have no SEGMENT_SUM, whoever asks."""
    x = g.conv(g.input(1, 4, 4, 2))
    g.output(g.conv(g.op("SEGMENT_SUM", x, g.const(np.int32([0])), shape=x.shape)))
    sets = {k.name: k for k in quantized_but(g, "SEGMENT_SUM").report.certificate.kernel_sets}
    assert {name: k.status for name, k in sets.items()} == {"xnnpack": "ran", "builtin": "ran", "reference": "absent"}
    assert "the given model does not run there either" in sets["reference"].facts[0]
