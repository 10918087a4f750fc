"""Scales and zero points, decided without a file."""

import numpy as np
import pytest

from fullint.calibration.observed import observed_tensors
from fullint.calibration.statistics import Measured
from fullint.model.ir import Quant, Tensor, constant
from fullint.model.ranges import Range
from fullint.ops.builder import Builder
from fullint.quantization.assign import assign
from fullint.quantization.assignment import Assignment, Granularity
from fullint.quantization.feasibility import blockers


def params(g: Builder, ranges: dict[Tensor, tuple[float, float]], **granularity: bool) -> Assignment:
    measured = Measured({t: Range(float(low), float(high)) for t, (low, high) in ranges.items()})
    return assign(g.model(), measured, Granularity(**granularity))


def test_operators_that_move_share_their_input(g: Builder) -> None:
    x = g.input(1, 4, 4, 2)
    y = g.reshape(x, 1, -1)
    g.output(y)
    a = params(g, {x: (-1, 1)})
    assert a.encodings[y].quant.same_as(a.encodings[x].quant)
    assert observed_tensors(g.model()) == [x]


def test_fixed_outputs_need_no_measuring(g: Builder) -> None:
    x = g.input(1, 4)
    y = g.op("SOFTMAX", x, beta=1.0)
    g.output(y)
    a = params(g, {x: (-1, 1)})
    assert a.encodings[y].quant.same_as(Quant.of(1 / 256, -128))
    assert observed_tensors(g.model()) == [x]


def test_fixed_member_that_cannot_hold_its_group_is_cut(g: Builder) -> None:
    """LOGISTIC (0..1) and values of -1..2 in one CONCATENATION: a recorded cut, not a saturated group."""
    x, z = g.input(1, 4), g.input(1, 4)
    s = g.op("LOGISTIC", x)
    y = g.op("CONCATENATION", s, z, shape=(1, 8), axis=1)
    g.output(y)
    a = params(g, {x: (-4, 4), z: (-1, 2)})
    assert [(c.op.kind, c.input) for c in a.cuts] == [("CONCATENATION", 0)]
    assert "too small for the group's" in a.cuts[0].why
    assert a.encodings[s].quant.same_as(Quant.of(1 / 256, -128))
    assert a.encodings[z].quant.same_as(a.encodings[y].quant)
    assert a.of(g.graph.ops[-1], 0).quant.same_as(a.encodings[y].quant)


def test_equal_fixed_members_share(g: Builder) -> None:
    parts = [g.op("LOGISTIC", g.input(1, 4)) for _ in range(2)]
    y = g.op("CONCATENATION", *parts, shape=(1, 8), axis=1)
    g.output(y)
    a = params(g, dict.fromkeys(g.graph.inputs, (-4, 4)))
    assert a.cuts == ()
    assert a.encodings[y].quant.same_as(Quant.of(1 / 256, -128))


def test_concatenation_gives_its_parameters_to_producers_it_alone_reads(g: Builder) -> None:
    x, z = g.input(1, 4), g.input(1, 4)
    parts = g.op("RELU", x), g.op("RELU", z)
    y = g.op("CONCATENATION", *parts, shape=(1, 8), axis=1)
    g.output(y)
    a = params(g, {x: (-1, 1), z: (-9, 9), parts[0]: (0, 1), parts[1]: (0, 9)})
    assert a.cuts == ()
    assert a.encodings[parts[0]].quant.same_as(a.encodings[y].quant)


def test_a_tensor_that_others_read_too_keeps_its_resolution(g: Builder) -> None:
    x, z = g.input(1, 4), g.input(1, 4)
    p = g.op("RELU", x)
    y = g.op("CONCATENATION", p, z, shape=(1, 8), axis=1)
    g.output(y, g.op("ABS", p))
    a = params(g, {x: (-1, 1), p: (0, 1), z: (-9, 9), g.graph.outputs[1]: (0, 1)})
    assert len(a.cuts) == 1
    assert "would coarsen" in a.cuts[0].why


def test_clip_saturates_its_input(g: Builder) -> None:
    """MINIMUM with a constant: what is cut off gets no codes."""
    x = g.input(1, 4)
    y = g.op("RELU", x)
    z = g.op("MINIMUM", y, g.const(2.0))
    g.output(z)
    assert z in observed_tensors(g.model())
    a = params(g, {x: (-50, 50), y: (0, 50), z: (0, 2)})
    assert float(a.encodings[y].quant.scale[0]) == pytest.approx(2 / 255)


def test_clip_of_what_others_read_is_cut_off(g: Builder) -> None:
    """The clip gets a grid of its own; the others keep theirs, and nothing is saturated for them."""
    x = g.input(1, 16)
    r = g.reshape(x, 4, 4)
    y = g.op("MINIMUM", g.op("MAXIMUM", r, g.const(-0.01)), g.const(0.01))
    first = g.graph.ops[-2].outputs[0]
    g.output(y, g.op("ABS", x))
    a = params(g, {x: (-3, 3), first: (-0.01, 3), y: (-0.01, 0.01), g.graph.outputs[1]: (0, 3)})
    assert float(a.encodings[x].quant.scale[0]) == pytest.approx(6 / 255)
    assert float(a.encodings[y].quant.scale[0]) == pytest.approx(0.02 / 255)
    assert len(a.cuts) == 1


def test_a_clip_never_narrows_other_channels(g: Builder) -> None:
    x = g.input(1, 4, 4, 8)
    left, right = g.op("SPLIT", g.const(np.int32(3)), x, shape=(1, 4, 4, 4), dtype="float32", outputs=2, num_splits=2)
    m = g.op("MINIMUM", left, g.const(0.05))
    g.output(g.op("CONCATENATION", m, right, shape=(1, 4, 4, 8), axis=3))
    a = params(g, {x: (-3, 3), m: (-3, 0.05)})
    assert float(a.encodings[right].quant.scale[0]) == pytest.approx(6 / 255)


def test_comparison_with_what_a_fixed_grid_cannot_hold(g: Builder) -> None:
    """LOGISTIC < 2 is always true; on the grid of 1/256 the constant would saturate to 255/256."""
    x = g.input(1, 4)
    s = g.op("LOGISTIC", x)
    g.output(g.op("LESS", s, g.const(2.0)))
    a = params(g, {x: (-7, 7)})
    op = g.graph.ops[-1]
    assert len(a.cuts) == 1
    assert a.of(op, 0).quant.same_as(a.of(op, 1).quant)
    assert a.encodings[s].quant.same_as(Quant.of(1 / 256, -128))


def test_a_group_that_others_read_is_not_coarsened_through_a_reshape(g: Builder) -> None:
    x, big = g.input(1, 16), g.input(1, 16)
    y = g.op("CONCATENATION", g.reshape(x, 1, 16), big, shape=(1, 32), axis=1)
    g.output(y, g.op("ABS", x))
    a = params(g, {x: (-0.01, 0.01), big: (-100, 100), g.graph.outputs[1]: (0, 0.01)})
    assert [c.input for c in a.cuts] == [0]
    assert float(a.encodings[x].quant.scale[0]) == pytest.approx(0.02 / 255)


def test_a_quantize_of_the_file_that_saturates_is_not_adopted(g: Builder) -> None:
    x = g.input(1, 16)
    q = g.op("QUANTIZE", x, dtype="int8")
    q.quant = Quant.of(0.002, -128)
    g.output(q, g.op("ABS", x))
    a = params(g, {x: (-3, 3), g.graph.outputs[1]: (0, 3)})
    assert float(a.encodings[x].quant.scale[0]) == pytest.approx(6 / 255)


def test_tiny_ranges_have_tiny_scales(g: Builder) -> None:
    x = g.input(1, 4)
    g.output(g.op("RELU", x))
    a = params(g, {x: (-1e-9, 1e-9), g.graph.outputs[0]: (0, 1e-9)})
    assert float(a.encodings[x].quant.scale[0]) == pytest.approx(2e-9 / 255, rel=1e-5)


def test_pad_value_widens_its_group(g: Builder) -> None:
    x = g.input(1, 4)
    y = g.op("PADV2", x, g.const(np.int32([[0, 0], [1, 1]])), g.const(-7.0), shape=(1, 6))
    g.output(y)
    a = params(g, {x: (-1, 1)})
    assert a.encodings[x].quant.same_as(a.encodings[y].quant)
    assert float(a.encodings[y].quant.scale[0]) == pytest.approx(8 / 255)


def test_shared_bias_has_a_scale_per_consumer(g: Builder) -> None:
    """The case: one constant of zeros as bias of two convolutions."""
    zeros = constant("zeros", np.zeros(4, np.float32))
    x = g.input(1, 6, 6, 4)
    a1 = g.conv(x, bias=zeros)
    a2 = g.conv(a1, bias=zeros)
    g.output(a2)
    a = params(g, {x: (-1, 1), a1: (-3, 3), a2: (-5, 5)})
    first, second = g.graph.ops
    assert not a.encodings[first, 2].quant.same_as(a.encodings[second, 2].quant)
    for op, data in ((first, x), (second, a1)):
        expected = np.float32(a.encodings[data].quant.scale[0]) * a.encodings[op, 1].quant.scale
        np.testing.assert_array_equal(a.encodings[op, 2].quant.scale, expected)


@pytest.mark.parametrize(
    ("granularity", "conv", "dense"), [({}, 4, 3), ({"per_tensor": True}, 1, 1), ({"dense_per_tensor": True}, 4, 1)]
)
def test_granularity(g: Builder, granularity: dict[str, bool], conv: int, dense: int) -> None:
    x = g.input(1, 2, 2, 3)
    y = g.conv(x)
    z = g.dense(g.reshape(y, 1, -1), 3)
    g.output(z)
    a = params(g, {x: (-1, 1), y: (-1, 1), z: (-1, 1)}, **granularity)
    assert a.encodings[g.graph.ops[0], 1].quant.scale.size == conv
    assert a.encodings[g.graph.ops[2], 1].quant.scale.size == dense


def test_weight_scale_is_raised_for_a_huge_bias(g: Builder) -> None:
    x = g.input(1, 2, 2, 1)
    y = g.conv(x, filters=1, kernel=1, weights=g.const(np.full((1, 1, 1, 1), 1e-6, np.float32)), bias=g.const(np.float32([1e6])))
    g.output(y)
    a = params(g, {x: (-1e-3, 1e-3), y: (0, 1e6)})
    s = a.encodings[g.graph.ops[0], 2].quant.scale[0]
    assert 1e6 / s <= 2**30 * 1.001
    assert any("raised" in n for n in a.notes)


def test_half_quantized_parameters_are_kept(g: Builder) -> None:
    """DEQUANTIZE -> CONV_2D -> QUANTIZE: the file says both ends."""
    x = g.input(1, 4, 4, 1, dtype="int8")
    x.quant = Quant.of(0.05, 7)
    f = g.op("DEQUANTIZE", x, dtype="float32")
    c = g.conv(f, filters=1)
    q = g.op("QUANTIZE", c, dtype="int8")
    q.quant = Quant.of(0.1, -3)
    g.output(q)
    a = params(g, {c: (-100, 100)})
    assert a.encodings[f].quant.same_as(x.quant)
    assert a.encodings[c].quant.same_as(q.quant)
    assert observed_tensors(g.model()) == [c]


def test_assignment_prints(g: Builder) -> None:
    """Every activation, every operand that is encoded otherwise, each cut with its reason, each note."""
    x = g.input(1, 1, 1, 1)
    y = g.conv(x, filters=1, kernel=1, weights=g.const(np.full((1, 1, 1, 1), 1e-6, np.float32)), bias=g.const(np.float32([1e6])))
    s = g.op("LOGISTIC", y)
    z = g.op("CONCATENATION", s, g.op("RELU", x), shape=(1, 1, 1, 2), axis=3)
    g.output(z)
    for t, name in zip((x, y, s, z, g.graph.ops[2].outputs[0]), "xyszr", strict=True):
        t.name = name
    text = str(params(g, {x: (-1, 1), y: (0, 1e6), g.graph.ops[2].outputs[0]: (0, 2.55)}))
    assert text.splitlines() == [
        "x: int8 scale 0.00784314 zero point -1",
        "y: int8 scale 0.027451 zero point -128",
        "s: int8 scale 0.00390625 zero point -128",
        "r: int8 scale 0.01 zero point -128",
        "z: int8 scale 0.01 zero point -128",
        'CONCATENATION "z" input 0: int8 scale 0.01 zero point -128',
        'CONV_2D "y" input 1: int8 scale 0.118744 zero point 0',
        'CONV_2D "y" input 2: int32 scale 0.000931324 zero point 0',
        'requantize before CONCATENATION "z" input 0: its input has the fixed scale 0.00390625 zero point -128, '
        "too small for the group's [0, 2.55]",
        'CONV_2D "y": 1 weight scales raised so that the bias fits int32',
    ]


def test_flex_is_called_what_it_is(g: Builder) -> None:
    g.output(g.op("CUSTOM", g.input(1, 4), shape=(1, 4)))
    g.graph.ops[0].custom_code = "FlexErf"
    found = blockers(g.model())
    assert [b.kind for b in found] == ["FlexErf"]
    assert "Flex" in found[0].cause and "replace it" in found[0].way_out
    assert "--keep-float" not in found[0].way_out  # LiteRT does not run it


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (lambda g, x: g.op("REVERSE_SEQUENCE", x, g.const(np.int32([1])), shape=x.shape), "does not support int8"),
        (lambda g, x: g.op("MEAN", x, g.input(1, dtype="int32"), shape=(1, 4, 4)), "computed at run time"),
        (lambda g, x: g.op("ADD", x, g.const(np.float32([np.nan, 1]))), "NaN or infinity"),
        (
            lambda g, x: g.op("UNSORTED_SEGMENT_MAX", x, g.const(np.int32([0])), g.const(np.int32(1)), shape=(1, 4, 4, 2)),
            "float only",
        ),
    ],
)
def test_blockers_say_which_and_why(g: Builder, make, cause: str) -> None:
    y = make(g, g.input(1, 4, 4, 2))
    y.name = "culprit"
    g.output(y)
    found = blockers(g.model())
    assert len(found) == 1
    assert found[0].output == "culprit"
    assert cause in found[0].cause
    assert found[0].way_out


def test_integer_operators_block_nothing(g: Builder) -> None:
    a = g.input(1, 4, dtype="int32")
    g.output(g.op("FLOOR_MOD", a, g.const(np.int32(3))))
    assert blockers(g.model()) == []


@pytest.mark.parametrize("per_channel", [True, False])
def test_scales_that_do_not_hold_their_weights_are_not_taken_over(g: Builder, per_channel: bool) -> None:
    """A stale grid would saturate them."""
    x, w = g.input(1, 4), g.const(np.float32([[0.5, -0.2, 0.1, 0.4], [1e-3, 2e-3, 0, 1e-3]]))
    w.quant = Quant.of(np.float32([1e-4, 1e-4]) if per_channel else 1e-4, 0, 0)
    y = g.dense(x, 2, weights=w)
    g.output(y)
    a = params(g, {x: (-1, 1), y: (-1, 1)}, per_tensor=not per_channel)
    scale = a.encodings[g.graph.ops[0], 1].quant.scale
    np.testing.assert_allclose(scale, [0.5 / 127, 2e-3 / 127] if per_channel else [0.5 / 127], rtol=1e-6)
