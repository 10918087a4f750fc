"""What readers can tell apart, line by line of the table in `useful_ranges`, with numbers worked out by hand."""

import math

import numpy as np
import pytest
from conftest import run

from fullint.calibration.masks import has_masks
from fullint.calibration.statistics import Measured
from fullint.model.ir import Quant, Tensor
from fullint.model.numerics import quantize
from fullint.model.ranges import Range
from fullint.ops.builder import Builder
from fullint.ops.make import ACTIVATIONS
from fullint.quantization.assign import assign
from fullint.quantization.useful_ranges import mask_ranges, useful

Spans = dict[Tensor, Range]


def made(g: Builder, *shape: int) -> Tensor:
    """A value that an operator makes: the model's inputs keep their ranges."""
    return g.op("EXP", g.input(*(shape or (1, 4))))


def found(g: Builder, ranges: Spans | None = None, maxima: dict[Tensor, float] | None = None) -> Spans:
    return useful(g.model(), ranges or {}, maxima or {})


def close(span: Range | None, low: float, high: float) -> bool:
    """Whether the ends are these, but for float32."""
    return span is not None and [*span] == pytest.approx([low, high], rel=1e-6)


def test_a_sigmoid_tells_nothing_apart_beyond_7(g: Builder) -> None:
    x = made(g)
    g.output(g.op("LOGISTIC", x))
    assert found(g)[x] == Range(-7.0, 7.0)


def test_tanh_tells_nothing_apart_beyond_4(g: Builder) -> None:
    x = made(g)
    g.output(g.op("TANH", x))
    assert found(g)[x] == Range(-4.0, 4.0)


@pytest.mark.parametrize(("kind", "largest", "step"), [("LOGISTIC", 7.0, 1 / 256), ("TANH", 4.0, 1 / 128)])
def test_what_is_cut_off_is_less_than_half_a_step(kind: str, largest: float, step: float) -> None:
    function = {"LOGISTIC": lambda x: 1 / (1 + math.exp(-x)), "TANH": math.tanh}[kind]
    for sign in (-1, 1):
        assert abs(function(sign * 100) - function(sign * largest)) < step / 2
    g = Builder()
    x = made(g)
    g.output(g.op(kind, x))
    assert found(g)[x].high == largest


def test_an_int16_sigmoid_tells_more_apart(g: Builder) -> None:
    """logistic(7) is 0.99909: 30 of its steps of 1/32768 lie above."""
    x = made(g)
    g.output(g.op("LOGISTIC", x))
    measured = Measured({g.graph.inputs[0]: Range(-3.0, 3.0), x: Range(0.0, 20.0)})
    a = assign(g.model(), measured, inputs="int16")
    assert float(a.encodings[x].quant.scale[0]) * 32767 > 10


@pytest.mark.parametrize(("options", "depth"), [({}, 16.0), ({"beta": 1.0}, 16.0), ({"beta": 2.0}, 8.0), ({"beta": 0.5}, 32.0)])
def test_a_softmax_does_not_see_what_is_16_below_its_rows_maximum(g: Builder, options: dict[str, float], depth: float) -> None:
    """exp(-16) is a ten-millionth; with beta the distance counts that much more. Nothing is cut off above."""
    x = made(g)
    g.output(g.op("SOFTMAX", x, **options))
    if not options:
        del g.graph.ops[-1].options["beta"]
    assert found(g, maxima={x: 3.0})[x] == Range(3.0 - depth, math.inf)


def test_without_row_maxima_nothing_is_known_of_a_softmax(g: Builder) -> None:
    x = made(g)
    g.output(g.op("SOFTMAX", x, beta=1.0))
    assert found(g, {x: Range(-50.0, 3.0)}) == {}


def attention(g: Builder) -> tuple[Tensor, Tensor, Tensor]:
    """Scores, a mask, and their sum for a softmax."""
    scores, mask = made(g), g.const(np.float32([[0, 0, -1e38, -1e38]]))
    total = g.op("ADD", scores, mask)
    g.output(g.op("SOFTMAX", total, beta=1.0))
    return scores, mask, total


def test_a_mask_need_only_hide(g: Builder) -> None:
    """Rows' maxima are 2 at least, so -14 and below is nothing; scores reach 5, so the mask may be -19 in place of -1e38."""
    scores, _, total = attention(g)
    spans = {scores: Range(-6.0, 5.0), total: Range(-1e38, 5.0)}
    masks = mask_ranges(g.model(), found(g, spans, {total: 2.0}), spans)
    assert masks == {(g.graph.ops[1], 1): Range(-19.0, math.inf)}


def test_what_is_added_to_a_mask_keeps_its_steps(g: Builder) -> None:
    """The scores are useful from -14 - 0 upwards, since the mask reaches 0."""
    scores, _, total = attention(g)
    assert found(g, {total: Range(-1e38, 5.0)}, {total: 2.0})[scores] == Range(-14.0, math.inf)


def test_small_constants_are_no_masks(g: Builder) -> None:
    scores = made(g)
    total = g.op("ADD", scores, g.const(np.float32([0, 0, 0, -1000])))
    g.output(g.op("SOFTMAX", total, beta=1.0))
    spans = {scores: Range(-6.0, 5.0)}
    assert mask_ranges(g.model(), found(g, spans, {total: 2.0}), spans) == {}
    assert not has_masks(g.model())


@pytest.mark.parametrize("value", [-1001.0, -10000.0, -1e38])
def test_beyond_a_thousand_they_are(g: Builder, value: float) -> None:
    scores = made(g)
    total = g.op("ADD", scores, g.const(np.float32([0, 0, 0, value])))
    g.output(g.op("SOFTMAX", total, beta=1.0))
    spans = {scores: Range(-6.0, 5.0)}
    assert list(mask_ranges(g.model(), found(g, spans, {total: 2.0}), spans)) == [(g.graph.ops[1], 1)]
    assert has_masks(g.model())


def test_a_mask_that_is_subtracted(g: Builder) -> None:
    """scores - m is useful from -14 up, and scores reach 5: m of 19 hides as well as 1e38."""
    scores, mask = made(g), g.const(np.float32([0, 1e38, 0, 0]))
    total = g.op("SUB", scores, mask)
    g.output(g.op("SOFTMAX", total, beta=1.0))
    spans = {scores: Range(-6.0, 5.0), total: Range(-1e38, 5.0)}
    assert mask_ranges(g.model(), found(g, spans, {total: 2.0}), spans) == {(g.graph.ops[1], 1): Range(-math.inf, 19.0)}


def test_a_mask_that_multiplies_keeps_room(g: Builder) -> None:
    """m * -1e9 in a sigmoid: [-7, 7] with room for eight times as much, since half of it must still mask."""
    m = made(g)
    g.output(g.op("LOGISTIC", g.op("MUL", m, g.const(-1e9))))
    spans = {m: Range(0.0, 1.0)}
    assert mask_ranges(g.model(), found(g, spans), spans) == {(g.graph.ops[1], 1): Range(-56.0, 56.0)}


def test_a_factors_room_holds_zero(g: Builder) -> None:
    """A product that is useful up to 3, and 3/64 beyond: the mask is read in [0, 8 (3 + 3/64)]."""
    m = made(g)
    product = g.op("MUL", m, g.const(np.float32([2e3, 0, 0, 0])))
    g.output(g.op("GREATER", product, g.const(np.float32([1, 3, 2, 2]))))
    assert mask_ranges(g.model(), found(g), {}) == {(g.graph.ops[1], 1): Range(0.0, 24.375)}


def test_nothing_is_a_mask_where_all_of_the_result_is_useful(g: Builder) -> None:
    g.output(g.op("ADD", made(g), g.const(np.float32([0, 0, 0, -1e38]))))
    assert mask_ranges(g.model(), found(g), {}) == {}


def test_a_term_is_useful_as_far_as_the_sum(g: Builder) -> None:
    """a + b in [-7, 7], b in [-1, 3]: a from -7 - 3 to 7 + 1, and b, with a in [0, 2], from -9 to 7."""
    a, b = made(g), made(g)
    g.output(g.op("LOGISTIC", g.op("ADD", a, b)))
    spans = found(g, {a: Range(0.0, 2.0), b: Range(-1.0, 3.0)})
    assert (spans[a], spans[b]) == (Range(-10.0, 8.0), Range(-9.0, 7.0))


def test_a_term_beside_a_constant(g: Builder) -> None:
    """a + c, c in {-1, 3}: the constant's values are known without measuring."""
    a = made(g)
    g.output(g.op("LOGISTIC", g.op("ADD", g.const(np.float32([-1, 3, 0, 0])), a)))
    assert found(g)[a] == Range(-10.0, 8.0)


def test_what_is_subtracted_from_and_what_is_subtracted(g: Builder) -> None:
    """a - b in [-7, 7]: a in [-7 + min b, 7 + max b], b in [min a - 7, max a + 7]."""
    a, b = made(g), made(g)
    g.output(g.op("LOGISTIC", g.op("SUB", a, b)))
    spans = found(g, {a: Range(1.0, 2.0), b: Range(-5.0, 3.0)})
    assert (spans[a], spans[b]) == (Range(-12.0, 10.0), Range(-6.0, 9.0))


def test_a_term_beside_what_nobody_measured_keeps_all(g: Builder) -> None:
    a, b = made(g), made(g)
    g.output(g.op("LOGISTIC", g.op("ADD", a, b)))
    assert a not in found(g, {a: Range(0.0, 1.0)})
    assert b in found(g, {a: Range(0.0, 1.0)})


@pytest.mark.parametrize(
    ("factors", "low", "high"),
    [([2.0], -3.5, 3.5), ([-2.0], -3.5, 3.5), ([2.0, -7.0, 0.5, 14.0], -14.0, 14.0), ([0.0, 2.0, 1e-31, 7.0], -3.5, 3.5)],
)
def test_a_factor_is_useful_as_far_as_any_constant_makes_it(g: Builder, factors: list[float], low: float, high: float) -> None:
    """What is multiplied by nothing is nothing."""
    a = made(g)
    g.output(g.op("LOGISTIC", g.op("MUL", a, g.const(np.float32(factors)))))
    assert close(found(g)[a], low, high)


@pytest.mark.parametrize(("factor", "low", "high"), [(2.0, -10.0, 4.0), (-2.0, -4.0, 10.0)])
def test_a_negative_factor_turns_the_range(g: Builder, factor: float, low: float, high: float) -> None:
    """a c + b in [-7, 7] with b in [-1, 13]: a c in [-20, 8]."""
    a, b = made(g), made(g)
    g.output(g.op("LOGISTIC", g.op("ADD", g.op("MUL", g.const(factor), a), b)))
    assert found(g, {b: Range(-1.0, 13.0)})[a] == Range(low, high)


def test_a_product_of_zeros_says_nothing(g: Builder) -> None:
    a = made(g)
    g.output(g.op("LOGISTIC", g.op("MUL", a, g.const(0.0))))
    assert a not in found(g)


def test_a_product_of_two_values_says_nothing(g: Builder) -> None:
    a, b = made(g), made(g)
    g.output(g.op("LOGISTIC", g.op("MUL", a, b)))
    assert not {a, b} & {*found(g, {a: Range(0.0, 1.0), b: Range(0.0, 1.0)})}


def test_a_product_without_an_end_says_nothing(g: Builder) -> None:
    """A softmax takes all that is large."""
    a = made(g)
    x = g.op("MUL", a, g.const(2.0))
    g.output(g.op("SOFTMAX", x, beta=1.0))
    assert {*found(g, maxima={x: 0.0})} == {x}


@pytest.mark.parametrize("kind", ["GREATER", "LESS", "GREATER_EQUAL", "EQUAL"])
@pytest.mark.parametrize("turned", [False, True])
def test_a_comparison_looks_no_farther_than_its_constants(g: Builder, kind: str, turned: bool) -> None:
    x, c = made(g), g.const(np.float32([1, -3, 0, 2]))
    g.output(g.op(kind, c, x) if turned else g.op(kind, x, c))
    assert [*found(g)[x]] == pytest.approx([-3.0, 2.0], abs=0.1)  # a step beyond them is none too many


def test_a_comparison_of_two_values_keeps_all(g: Builder) -> None:
    x, y = made(g), made(g)
    g.output(g.op("GREATER", x, y))
    assert found(g, {x: Range(0.0, 1.0), y: Range(0.0, 1.0)}) == {}


@pytest.mark.parametrize(("kind", "constants"), [("GREATER", [1, 3, 2, 3]), ("LESS", [-1, -3, -2, -3])])
def test_what_lies_beyond_all_constants_is_told_from_them(g: Builder, kind: str, constants: list[float]) -> None:
    """9 > 3, in codes too."""
    x, c = made(g), g.const(np.float32(constants))
    g.output(g.op(kind, x, c))
    a = assign(g.model(), Measured({g.graph.inputs[0]: Range(-3.0, 3.0), x: Range(-9.0, 9.0)}))
    code = quantize(np.float32(9 if kind == "GREATER" else -9), a.of(g.graph.ops[-1], 0).quant)
    edge = quantize(np.float32(constants[1]), a.of(g.graph.ops[-1], 1).quant)
    assert code > edge if kind == "GREATER" else code < edge


@pytest.mark.parametrize("kind", ["MAXIMUM", "MINIMUM"])
def test_the_larger_of_two_is_useful_as_far_as_they_are(g: Builder, kind: str) -> None:
    a, b = made(g), made(g)
    g.output(g.op("TANH", g.op(kind, a, b)))
    spans = found(g)
    assert (spans[a], spans[b]) == (Range(-4.0, 4.0), Range(-4.0, 4.0))


def test_what_moves_values_passes_it_on(g: Builder) -> None:
    a = made(g)
    g.output(g.op("TANH", g.reshape(g.reshape(a, 2, 2), 4, 1)))
    assert found(g)[a] == Range(-4.0, 4.0)


@pytest.mark.parametrize("kind", ["AVERAGE_POOL_2D", "MAX_POOL_2D"])
def test_an_average_of_what_is_cut_off_is_another(g: Builder, kind: str) -> None:
    """The mean of 0 and 10 is 5; with 10 cut off to 4 it would be 2. A maximum may be taken of either."""
    a = made(g, 1, 2, 2, 1)
    pooled = g.op(kind, a, shape=(1, 1, 1, 1), stride_w=2, stride_h=2, filter_width=2, filter_height=2, padding=1)
    g.output(g.op("TANH", pooled))
    assert (a in found(g)) is (kind == "MAX_POOL_2D")
    assert found(g)[pooled] == Range(-4.0, 4.0)


def test_several_readers_keep_what_any_of_them_needs(g: Builder) -> None:
    x = made(g)
    g.output(g.op("LOGISTIC", x), g.op("TANH", x), g.op("GREATER", x, g.const(np.float32([-9, 1, 0, 0]))))
    assert found(g)[x] == Range(-9.0 - 10.0 / 64, 7.0)


def test_a_reader_that_needs_all_keeps_all(g: Builder) -> None:
    x = made(g)
    g.output(g.op("TANH", x), g.op("ABS", x))
    assert x not in found(g)


def test_an_output_of_the_model_keeps_all(g: Builder) -> None:
    x = made(g)
    g.output(x, g.op("TANH", x))
    assert found(g) == {}


def test_an_input_of_the_model_keeps_all(g: Builder) -> None:
    """Callers quantize it themselves."""
    x = g.input(1, 4)
    g.output(g.op("TANH", x))
    assert found(g) == {}


def test_a_reader_kept_in_float_keeps_all(g: Builder) -> None:
    x = made(g)
    g.output(g.op("TANH", x))
    g.graph.ops[-1].keep_float = True
    assert found(g) == {}


def test_a_reader_without_a_row_keeps_all(g: Builder) -> None:
    x = made(g)
    g.output(g.op("SIN", x))
    assert found(g) == {}


def test_behind_a_fused_activation_nothing_is_known(g: Builder) -> None:
    """RELU6 of the sum: what the sigmoid needs of it is not what it needs of the terms."""
    a = made(g)
    total = g.op("ADD", a, g.const(1.0), fused_activation_function=ACTIVATIONS["RELU6"])
    g.output(g.op("LOGISTIC", total))
    assert {*found(g)} == {total}


@pytest.mark.parametrize(
    ("dtype", "zero", "low", "high"), [("int8", 10, -13.8, 11.7), ("uint8", 138, -13.8, 11.7), ("int16", 0, -3276.8, 3276.7)]
)
def test_a_quantize_sees_what_its_parameters_hold(g: Builder, dtype: str, zero: int, low: float, high: float) -> None:
    """(-128 - 10) * 0.1 to (127 - 10) * 0.1."""
    x = made(g)
    q = g.op("QUANTIZE", x, dtype=dtype)
    q.quant = Quant.of(0.1, zero)
    g.output(q)
    assert close(found(g)[x], low, high)


def test_a_quantize_without_parameters_says_nothing(g: Builder) -> None:
    x = made(g)
    g.output(g.op("QUANTIZE", x, dtype="int8"))
    assert found(g) == {}


def test_a_single_value_is_no_range(g: Builder) -> None:
    """x > 2 alone cuts off nothing: a range of one value has no steps."""
    x = made(g)
    g.output(g.op("GREATER", x, g.const(2.0)))
    assert found(g) == {}


def test_what_is_needed_goes_back_through_a_chain(g: Builder) -> None:
    """tanh(2 x + 1): 2 x in [-5, 3], x in [-2.5, 1.5]."""
    x = made(g)
    g.output(g.op("TANH", g.op("ADD", g.op("MUL", x, g.const(2.0)), g.const(1.0))))
    assert found(g)[x] == Range(-2.5, 1.5)


def test_clipping_to_what_is_useful_changes_nothing() -> None:
    """The runtime's own numbers: a and b cut to what is useful of them give the same codes of the sigmoid."""
    g = Builder()
    x, y = g.input(1, 200), g.input(1, 200)
    a, b = g.op("EXP", x), g.op("EXP", y)
    g.output(g.op("LOGISTIC", g.op("SUB", a, g.op("MUL", b, g.const(-3.0)))))
    rng = np.random.default_rng(3)
    values = [rng.uniform(-4, 3, (1, 200)).astype(np.float32) for _ in range(2)]
    real = [np.exp(v) for v in values]
    measured = {t: Range(float(v.min()), float(v.max())) for t, v in zip((a, b), real, strict=True)}
    measured[g.graph.ops[2].outputs[0]] = Range(-3 * measured[b].high, -3 * measured[b].low)
    spans = found(g, measured)
    cut = [np.clip(v, *spans.get(t, Range(-math.inf, math.inf))) for t, v in zip((a, b), real, strict=True)]
    assert any((c != r).any() for c, r in zip(cut, real, strict=True))
    out = run(g.bytes(), values)[0]
    again = 1 / (1 + np.exp(-(cut[0] + 3 * cut[1]).astype(np.float64)))
    assert np.abs(out - again).max() < 1 / 512
