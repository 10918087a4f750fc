"""Which operators get 16 bits, decided from ranges alone: no model is run."""

from dataclasses import replace

import numpy as np
import pytest

from fullint.model.ir import Graph, Op, Tensor
from fullint.model.ranges import Range
from fullint.model.subgraphs import FUNCTION, LOOKUP, lookup
from fullint.ops import ROWS
from fullint.ops.builder import Builder
from fullint.quantization.mixed_precision import squares_apart, wide_operators

FEW = Range(0.001, 1.0)
"""The smallest value is a quarter of a step of 1/255."""
AXIS = np.int32([1])


def wide(g: Builder, ranges: dict[Tensor, Range]) -> list[str]:
    """The kinds of what becomes int16, in the graph's order."""
    found = wide_operators(g.model(), ranges)
    assert set(found.values()) <= {"int16"}
    return [op.kind for op in g.graph.ops if op in found]


def mean(g: Builder, x: Tensor) -> Tensor:
    return g.op("MEAN", x, g.const(AXIS), shape=(x.shape[0], 1), keep_dims=True)


def normalisation(g: Builder) -> Tensor:
    """x - mean, over the root of the mean of its square. Returns what the root reads."""
    x = g.input(2, 8)
    d = g.op("SUB", x, mean(g, x))
    variance = g.op("ADD", mean(g, g.op("MUL", d, d)), g.const(1e-5))
    g.output(g.op("MUL", d, g.op("RSQRT", variance)))
    return variance


def test_a_variance_is_wide_from_the_square_to_the_root(g: Builder) -> None:
    """Neither the difference before the square nor the product behind the root."""
    variance = normalisation(g)
    assert wide(g, {variance: FEW}) == ["MUL", "MEAN", "ADD", "RSQRT"]
    square = next(op for op in g.graph.ops if op.kind == "MUL")
    assert square in wide_operators(g.model(), {variance: FEW})
    assert g.graph.ops[-1] not in wide_operators(g.model(), {variance: FEW})


def test_energies_before_a_logarithm(g: Builder) -> None:
    """re^2 + im^2, filter bank, floor, logarithm: both squares, and not the filters before them."""
    x = g.input(1, 8)
    re, im = g.dense(x, 5), g.dense(x, 5)
    energy = g.op("ADD", g.op("MUL", re, re), g.op("MUL", im, im))
    bank = g.op("MAXIMUM", g.dense(energy, 3), g.const(1e-6))
    g.output(g.op("LOG", bank))
    assert wide(g, {bank: FEW}) == ["MUL", "MUL", "ADD", "FULLY_CONNECTED", "MAXIMUM", "LOG"]
    dense = [op for op in g.graph.ops if op.kind == "FULLY_CONNECTED"]
    assert [op in wide_operators(g.model(), {bank: FEW}) for op in dense] == [False, False, True]


@pytest.mark.parametrize(
    ("span", "few"),
    [
        (Range(8.0, 255.0), False),  # just eight steps
        (Range(float(np.nextafter(8.0, 0)), 255.0), True),
        (Range(8.1, 255.0), False),
        (Range(0.0, 255.0), True),
        (Range(-1e-6, 255.0), False),  # what is below 0 is no energy
        (Range(0.0, 0.0), False),
        (Range(7.9 / 255, 1.0), True),
        (Range(8.1 / 255, 1.0), False),
    ],
)
def test_the_smallest_value_has_fewer_than_eight_steps(g: Builder, span: Range, few: bool) -> None:
    variance = normalisation(g)
    assert bool(wide(g, {variance: span})) is few


def test_what_was_not_measured_is_not_wide(g: Builder) -> None:
    normalisation(g)
    assert wide(g, {}) == []


def test_the_range_before_a_move_counts_for_what_it_moves(g: Builder) -> None:
    """Ranges of moved values are not measured: they are those of what is moved."""
    x = g.input(2, 8)
    energy = mean(g, g.op("MUL", x, x))
    g.output(g.op("LOG", g.reshape(g.reshape(energy, 1, 2), 2)))
    assert wide(g, {energy: FEW}) == ["MUL", "MEAN", "RESHAPE", "RESHAPE", "LOG"]
    assert wide(g, {energy: Range(0.5, 1.0)}) == []


def test_what_is_measured_itself_goes_by_its_own_range(g: Builder) -> None:
    x = g.input(2, 8)
    energy = mean(g, g.op("MUL", x, x))
    floor = g.op("MAXIMUM", energy, g.const(0.1))
    g.output(g.op("LOG", floor))
    assert wide(g, {energy: FEW, floor: Range(0.1, 1.0)}) == []


def test_without_a_square_nothing_is_widened(g: Builder) -> None:
    x = g.input(1, 8)
    total = g.op("ADD", g.op("ABS", x), g.const(1e-5))
    g.output(g.op("LOG", total))
    assert wide(g, {total: FEW}) == []


def test_a_product_of_two_values_is_no_square(g: Builder) -> None:
    total = g.op("ADD", g.op("MUL", g.input(1, 8), g.input(1, 8)), g.const(1e-5))
    g.output(g.op("LOG", total))
    assert wide(g, {total: FEW}) == []


def test_the_input_of_the_model_is_no_square(g: Builder) -> None:
    x = g.input(1, 8)
    g.output(g.op("LOG", x))
    assert wide(g, {x: FEW}) == []


def test_functions_that_are_not_steep_stay(g: Builder) -> None:
    x = g.input(2, 8)
    variance = mean(g, g.op("MUL", x, x))
    g.output(g.op("TANH", variance), g.op("SQRT", variance))
    assert wide(g, {variance: FEW}) == []


def test_a_root_on_the_way_is_passed(g: Builder) -> None:
    """Small values have small roots: the logarithm of a norm needs its square wide."""
    x = g.input(2, 8)
    norm = g.op("SQRT", mean(g, g.op("MUL", x, x)))
    g.output(g.op("LOG", norm))
    assert wide(g, {norm: FEW}) == ["MUL", "MEAN", "SQRT", "LOG"]


def test_a_subtraction_ends_the_way(g: Builder) -> None:
    """Small differences come of large values as well: what is before them need not tell small ones apart."""
    x = g.input(2, 8)
    total = g.op("SUB", mean(g, g.op("MUL", x, x)), g.const(0.5))
    g.output(g.op("LOG", total))
    assert wide(g, {total: FEW}) == []


def test_a_square_without_an_int16_kernel_has_a_form_that_has(g: Builder) -> None:
    """Both the difference and its square."""
    x, y = g.input(2, 8), g.input(2, 8)
    square = g.op("SQUARED_DIFFERENCE", x, y)
    variance = mean(g, square)
    g.output(g.op("RSQRT", variance))
    assert wide(g, {variance: FEW}) == ["SQUARED_DIFFERENCE", "MEAN", "RSQRT"]
    done = squares_apart(g.graph, g.graph.ops, {square: Range(0.0, 4.0)})
    assert [op.kind for op in done.graph.ops] == ["SUB", "MUL", "MEAN", "RSQRT"]
    difference, product = done.graph.ops[:2]
    assert done.made_by == {g.graph.ops[0]: (difference, product)}
    assert done.ranges == {difference.outputs[0]: Range(-2.0, 2.0)}
    assert product.outputs == [square]
    assert [op.kind for op in g.graph.ops] == ["SQUARED_DIFFERENCE", "MEAN", "RSQRT"]


@pytest.mark.parametrize(("high", "few"), [(7.9, True), (8.1, False)])
def test_a_mean_of_few_steps_of_its_squares_is_wide(g: Builder, high: float, few: bool) -> None:
    """However close together the means lie, so that the root of them computes in int8: the others' squares are codes of 0."""
    x = g.input(2, 8)
    d = g.op("SUB", x, mean(g, x))
    square = g.op("MUL", d, d)
    average = mean(g, square)
    variance = g.op("ADD", average, g.const(1e-5))
    g.output(g.op("MUL", d, g.op("RSQRT", variance)))
    ranges = {square: Range(0.0, 255.0), average: Range(high / 2, high), variance: Range(high / 2, high)}
    assert wide(g, ranges) == (["MUL", "MEAN"] if few else [])


@pytest.mark.parametrize("kept", ["MUL", "MEAN", "ADD"])
def test_an_operator_kept_in_float_ends_the_way(g: Builder, kept: str) -> None:
    """What lies before it gives its values to float arithmetic."""
    variance = normalisation(g)
    way = g.graph.ops[2:6]
    next(op for op in way if op.kind == kept).keep_float = True
    expected = {"MUL": ["MEAN", "ADD", "RSQRT"], "MEAN": [], "ADD": []}[kept]
    assert [op.kind for op in way if op in wide_operators(g.model(), {variance: FEW})] == expected


def test_a_root_kept_in_float_is_not_said_to_be_wide(g: Builder) -> None:
    variance = normalisation(g)
    root = next(op for op in g.graph.ops if op.kind == "RSQRT")
    root.keep_float = True
    assert root not in wide_operators(g.model(), {variance: FEW})


@pytest.mark.parametrize(("lacking", "left"), [("MUL", ["MEAN", "ADD", "RSQRT"]), ("MEAN", []), ("ADD", [])])
def test_an_operator_without_an_int16_kernel_ends_the_way(
    g: Builder, monkeypatch: pytest.MonkeyPatch, lacking: str, left: list[str]
) -> None:
    monkeypatch.setitem(ROWS, lacking, replace(ROWS[lacking], int16=0))
    variance = normalisation(g)
    assert wide(g, {variance: FEW}) == left


def test_of_two_ways_one_may_end(g: Builder) -> None:
    """The square on one side is enough; the other side is requantized."""
    x, y = g.input(2, 8), g.input(2, 8)
    total = g.op("ADD", g.op("MUL", x, x), g.op("ABS", y))
    g.output(g.op("LOG", total))
    assert wide(g, {total: FEW}) == ["MUL", "ADD", "LOG"]


def test_two_roots_of_one_variance_widen_it_once(g: Builder) -> None:
    x = g.input(2, 8)
    variance = mean(g, g.op("MUL", x, x))
    g.output(g.op("RSQRT", variance), g.op("LOG", variance))
    assert wide(g, {variance: FEW}) == ["MUL", "MEAN", "RSQRT", "LOG"]


def table(g: Builder, x: Tensor, *kinds: str) -> Op:
    """A LOOKUP that stands for operators of one operand, one behind the other."""
    inner = Builder(name="function")
    y = inner.input(*x.shape)
    for kind in kinds:
        y = inner.op(kind, y)
    inner.output(y)
    g.graph.ops.append(lookup(x, Tensor("looked up", x.shape, "float32"), inner.graph))
    return g.graph.ops[-1]


@pytest.mark.parametrize(
    ("kinds", "steep"), [(["RSQRT"], True), (["NEG", "LOG"], True), (["SQRT"], False), (["EXP", "ABS"], False)]
)
def test_a_look_up_is_as_steep_as_what_it_stands_for(g: Builder, kinds: list[str], steep: bool) -> None:
    x = g.input(2, 8)
    variance = mean(g, g.op("MUL", x, x))
    op = table(g, variance, *kinds)
    g.output(op.outputs[0])
    assert op.kind == LOOKUP and isinstance(op.options[FUNCTION], Graph)
    assert wide(g, {variance: FEW}) == (["MUL", "MEAN", "LOOKUP"] if steep else [])


def test_a_division_is_steep_but_has_no_int16_kernel(g: Builder) -> None:
    x = g.input(2, 8)
    variance = mean(g, g.op("MUL", x, x))
    g.output(g.op("DIV", variance, g.const(2.0)))
    assert wide(g, {variance: FEW}) == []
