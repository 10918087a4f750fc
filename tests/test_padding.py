"""A pad value below everything in front of a maximum costs no steps; nor does one above everything in front of a minimum."""

import numpy as np
import pytest
from conftest import quantized

from fullint.calibration.masks import paddings
from fullint.ops.builder import Builder

PADS = np.int32([[0, 0], [1, 1], [1, 1], [0, 0]])
POOL = {"padding": 1, "stride_w": 2, "stride_h": 2, "filter_width": 3, "filter_height": 3}


def pool(g: Builder, value: float) -> None:
    x = g.conv(g.input(1, 8, 8, 3))
    y = g.op("PADV2", x, g.const(PADS), g.const(np.float32(value)), shape=(1, 10, 10, 4))
    g.output(g.op("MAX_POOL_2D", y, shape=(1, 4, 4, 4), **POOL))


def moved(g: Builder, value: float) -> None:
    x = g.conv(g.input(1, 8, 8, 3))
    y = g.op("PADV2", x, g.const(PADS), g.const(np.float32(value)), shape=(1, 10, 10, 4))
    y = g.op("TRANSPOSE", y, g.const(np.int32([0, 2, 1, 3])), shape=(1, 10, 10, 4))
    g.output(g.op("MAX_POOL_2D", y, shape=(1, 4, 4, 4), **POOL))


def reduced(g: Builder, value: float) -> None:
    x = g.conv(g.input(1, 8, 8, 3))
    y = g.op("PADV2", x, g.const(PADS), g.const(np.float32(value)), shape=(1, 10, 10, 4))
    g.output(g.op("REDUCE_MAX", y, g.const(np.int32([1, 2])), shape=(1, 4)))


def joined(g: Builder, value: float) -> None:
    x = g.conv(g.input(1, 8, 8, 3))
    y = g.op("CONCATENATION", x, g.const(np.full((1, 8, 8, 2), value, np.float32)), shape=(1, 8, 8, 6), axis=3)
    g.output(g.op("REDUCE_MAX", y, g.const(np.int32([3])), shape=(1, 8, 8)))


def compared(g: Builder, value: float) -> None:
    """The other operand of the MAXIMUM reaches lower than what is padded."""
    x = g.op("RELU", g.conv(g.input(1, 8, 8, 3)))
    y = g.op("PADV2", x, g.const(PADS), g.const(np.float32(value)), shape=(1, 10, 10, 4))
    other = g.op("PAD", g.conv(g.input(1, 8, 8, 3)), g.const(PADS), shape=(1, 10, 10, 4))
    g.output(g.op("MAXIMUM", y, other))


def smallest(g: Builder, value: float) -> None:
    x = g.conv(g.input(1, 8, 8, 3))
    y = g.op("PADV2", x, g.const(PADS), g.const(np.float32(-value)), shape=(1, 10, 10, 4))
    g.output(g.op("REDUCE_MIN", y, g.const(np.int32([1, 2])), shape=(1, 4)))


FORMS = (pool, moved, reduced, joined, compared, smallest)


@pytest.mark.parametrize("value", [-np.inf, -3.4028235e38, -1e4])
@pytest.mark.parametrize("form", FORMS)
def test_padding_in_front_of_a_maximum(g: Builder, form, value: float) -> None:
    """As near to float as with a pad value in the middle of the range."""
    modest = Builder()
    form(modest, -1.0)
    form(g, value)
    own, other = quantized(g).report.certificate.sqnr_db, quantized(modest).report.certificate.sqnr_db
    assert own > max(30.0, other - 3)


def test_padding_that_is_read_otherwise_is_none(g: Builder) -> None:
    x = g.conv(g.input(1, 8, 8, 3))
    y = g.op("PADV2", x, g.const(PADS), g.const(np.float32(-9)), shape=(1, 10, 10, 4))
    g.output(g.op("MAX_POOL_2D", y, shape=(1, 4, 4, 4), **POOL))
    assert len(paddings(g.model())) == 1
    g.output(g.op("ABS", y))
    assert paddings(g.model()) == {}


def test_what_a_maximum_and_a_minimum_read_is_no_padding(g: Builder) -> None:
    x = g.conv(g.input(1, 8, 8, 3))
    y = g.op("PADV2", x, g.const(PADS), g.const(np.float32(-9)), shape=(1, 10, 10, 4))
    g.output(g.op("REDUCE_MAX", y, g.const(np.int32([1, 2])), shape=(1, 4)))
    g.output(g.op("REDUCE_MIN", y, g.const(np.int32([1, 2])), shape=(1, 4)))
    assert paddings(g.model()) == {}


def test_a_window_of_padding_alone_keeps_the_pad_value(g: Builder) -> None:
    """The maximum runs over the width, the padding over the height: whole rows are nothing but padding."""
    x = g.op("RELU6", g.conv(g.input(1, 32, 8, 3)))
    y = g.op("PADV2", x, g.const(np.int32([[0, 0], [0, 1], [0, 0], [0, 0]])), g.const(np.float32(-1)), shape=(1, 33, 8, 4))
    g.output(g.op("REDUCE_MAX", y, g.const(np.int32([2])), shape=(1, 33, 4)))
    assert quantized(g).report.certificate.sqnr_db > 35


def test_both_operands_of_a_maximum_padded_alike(g: Builder) -> None:
    padded = [
        g.op("PADV2", g.op("RELU6", g.conv(g.input(1, 8, 8, 3))), g.const(PADS), g.const(np.float32(-1)), shape=(1, 10, 10, 4))
        for _ in range(2)
    ]
    g.output(g.op("MAXIMUM", *padded))
    assert quantized(g).report.certificate.sqnr_db > 30


@pytest.mark.parametrize("value", [-np.inf, -1e4])
def test_padding_in_two_steps(g: Builder, value: float) -> None:
    x = g.conv(g.input(1, 8, 8, 3))
    tall, wide = (g.const(np.int32(p)) for p in ([[0, 0], [1, 1], [0, 0], [0, 0]], [[0, 0], [0, 0], [1, 1], [0, 0]]))
    y = g.op("PADV2", x, tall, g.const(np.float32(value)), shape=(1, 10, 8, 4))
    y = g.op("PADV2", y, wide, g.const(np.float32(value)), shape=(1, 10, 10, 4))
    g.output(g.op("MAX_POOL_2D", y, shape=(1, 4, 4, 4), **POOL))
    assert quantized(g).report.certificate.sqnr_db > 30


def test_what_reaches_into_the_range_keeps_its_value(g: Builder) -> None:
    """A pad value of 0.5 wins over what is smaller: it is no padding that any low code could stand for."""
    pool(g, 0.5)
    assert quantized(g).report.certificate.sqnr_db > 30
