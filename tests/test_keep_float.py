"""`keep_float`: operators that stay float at the user's wish, and nothing else does."""

import numpy as np
import pytest
from conftest import kinds, quantized

from fullint.errors import UsageError
from fullint.model.tflite import read_bytes
from fullint.ops.builder import Builder


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
    assert kinds(result.model)[:3] == ["DEQUANTIZE", "CONV_2D", "QUANTIZE"]
    model = read_bytes(result.model)
    assert model.main.inputs[0].dtype == model.main.outputs[0].dtype == "int8"
    assert result.report.certificate.sqnr_db > 25


def test_operator_without_an_integer_form(g: Builder) -> None:
    """The way out of a refusal."""
    x = g.conv(g.input(1, 4, 4, 2))
    g.output(g.op("REVERSE_SEQUENCE", x, g.const(np.int32([2])), shape=x.shape, seq_dim=1))
    result = quantized_but(g, "REVERSE_SEQUENCE")
    assert result.report.certificate.except_for[0].startswith("op 1 REVERSE_SEQUENCE")


def test_a_name_that_is_not_there(g: Builder) -> None:
    network(g)
    with pytest.raises(UsageError, match='the index, type or output name "TAHN"'):
        quantized_but(g, "TAHN")


def quantized_but(g: Builder, wanted: object):
    """Quantized with operators kept; the contract is checked by the certificate, which knows them."""
    import fullint
    from fullint.ops.builder import samples_like

    data = g.bytes()
    return fullint.quantize(data, samples_like(read_bytes(data), 20), keep_float=wanted)


def test_nothing_else_may_be_float(g: Builder) -> None:
    network(g)
    assert quantized(g).report.certificate.except_for == ()
