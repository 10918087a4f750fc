"""What was once refused, or lost, although an integer model of it is good: each kind on models of our own, and of the corpus."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import CORPUS, assert_audit_is_content, kinds, run

import fullint
from fullint.model.ir import Tensor
from fullint.model.tflite import read_bytes
from fullint.ops.builder import Builder
from fullint.passes.input_ids import find_ids
from fullint.verification.contract import contract_problems

ZOO = Path(str(CORPUS), "cases", "zoo")
of_corpus = pytest.mark.skipif(not CORPUS, reason="no corpus")


def sqnr(result: fullint.Result) -> float:
    certificate = result.report.certificate
    assert certificate is not None
    assert certificate.sqnr_db is not None
    return certificate.sqnr_db


def cast(g: Builder, x: Tensor, dtype: str = "int32") -> Tensor:
    codes = {"float32": 0, "int32": 2, "int64": 4, "bool": 6}
    return g.op("CAST", x, shape=x.shape, dtype=dtype, in_data_type=codes[x.dtype], out_data_type=codes[dtype])


# --- float inputs that carry ids


def text_model(g: Builder, ids: Tensor) -> None:
    """What most classifiers of texts are: the mean of the words' vectors, and a dense layer."""
    words = g.op("GATHER", g.random(1000, 8), ids, shape=(1, 16, 8), dtype="float32")
    mean = g.op("MEAN", words, g.const(np.array([1], np.int32)), shape=(1, 8))
    g.output(g.op("SOFTMAX", g.dense(mean, 4), beta=1.0))


def texts(count: int = 20) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 1000, (count, 1, 16)).astype(np.float32)


def test_a_float_input_that_carries_ids_becomes_int32(g: Builder) -> None:
    text_model(g, cast(g, g.input(1, 16, name="words")))
    result = fullint.quantize(g.bytes(), texts(), threads=1)
    assert [(t.name, t.dtype) for t in read_bytes(result.model).main.inputs] == [("words", "int32")]
    assert kinds(result.model) == ["GATHER", "MEAN", "FULLY_CONNECTED", "SOFTMAX"]
    assert sqnr(result) > 30
    assert 'input "words" carries ids: int32' in result.report.notes
    assert_audit_is_content(result.model)


def test_ids_are_moved_and_compared_before_they_are_cast(g: Builder) -> None:
    """As Keras masks a padded sequence: the ids are compared with 0 beside the CAST; int64 stays what the GATHER reads."""
    x = g.reshape(g.input(16, 1, name="words"), 1, 16)
    mask = cast(g, g.op("NOT_EQUAL", x, g.const(0.0)), "float32")
    rows = g.op("GATHER", g.random(1000, 8), cast(g, x, "int64"), shape=(1, 16, 8), dtype="float32")
    g.output(g.op("MUL", rows, g.reshape(mask, 1, 16, 1)))
    given = [{"words": v.reshape(16, 1) * (np.arange(16) < 12).reshape(16, 1)} for v in texts()]
    result = fullint.quantize(g.bytes(), given, threads=1)
    model = read_bytes(result.model)
    assert model.main.inputs[0].dtype == "int32"
    read = {op.kind: op.inputs[0].dtype for op in model.main.ops[:4] if op.inputs[0] is not None}
    assert read == {"RESHAPE": "int32", "NOT_EQUAL": "int32", "SELECT_V2": "bool", "CAST": "int32"}
    assert sqnr(result) > 30


def test_ids_may_be_given_as_floats_or_as_integers(g: Builder) -> None:
    """The model drops fractions, and so does whoever calls the result: the figures are those of the given model."""
    text_model(g, cast(g, g.input(1, 16)))
    results = [fullint.quantize(g.bytes(), v, threads=1) for v in (texts(), texts().astype(np.int32), texts() + np.float32(0.4))]
    assert results[0].model == results[1].model == results[2].model
    assert sqnr(results[2]) == sqnr(results[0])


def test_an_id_that_is_an_output_of_the_model_stays_one(g: Builder) -> None:
    ids = cast(g, g.input(1, 16))
    text_model(g, ids)
    g.output(ids)
    result = fullint.quantize(g.bytes(), texts(), threads=1)
    [sample] = texts(1).astype(np.int32)
    assert (run(result.model, [sample])[-1] == sample).all()


@pytest.mark.parametrize("io", ["float32", "float32,int8"])
def test_float_ids_stay_float_where_that_is_asked_for(g: Builder, io: str) -> None:
    """A CAST at the border, as there is a QUANTIZE for real values."""
    text_model(g, cast(g, g.input(1, 16, name="words")))
    result = fullint.quantize(g.bytes(), texts(), threads=1, io=io)
    model = read_bytes(result.model)
    assert [(t.name, t.dtype) for t in model.main.inputs] == [("words", "float32")]
    assert kinds(result.model)[:2] == ["CAST", "GATHER"]
    assert list(contract_problems(model, float_io=True)) == []
    assert [f.rule for f in fullint.audit(result.model).findings if f.index == 0] == ["float-io"]
    assert sqnr(result) > 30
    repaired = fullint.repair(result.model, texts(), threads=1)
    assert read_bytes(repaired.model).main.inputs[0].dtype == "int32"


@pytest.mark.parametrize("io", ["auto", "float32"])
def test_numbers_may_be_made_of_ids_again(g: Builder, io: str) -> None:
    """Only the whole part of the input counts: int32 with scale 1, then a QUANTIZE."""
    g.output(g.op("MUL", cast(g, cast(g, g.input(1, 16)), "float32"), g.const(0.5)))
    result = fullint.quantize(g.bytes(), texts() / 10, threads=1, io=io)
    assert read_bytes(result.model).main.inputs[0].dtype == ("int32" if io == "auto" else "float32")
    border = ["CAST"], ["DEQUANTIZE"]
    assert kinds(result.model) == (["QUANTIZE", "MUL"] if io == "auto" else [*border[0], "QUANTIZE", "MUL", *border[1]])
    assert sqnr(result) > 40


def other_reader(g: Builder, x: Tensor) -> Tensor:
    return g.op("MUL", x, g.const(0.5))


def compared_only(g: Builder, x: Tensor) -> Tensor:
    return g.op("NOT_EQUAL", x, g.const(0.0))


def compared_with_a_fraction(g: Builder, x: Tensor) -> Tensor:
    g.output(g.op("GREATER", x, g.const(0.5)))
    return cast(g, x)


def pooled(g: Builder, x: Tensor) -> Tensor:
    """MAX_POOL_2D moves values, too, but has no int32 kernel."""
    return cast(g, g.op("MAX_POOL_2D", x, shape=(1, 2, 2, 3), stride_w=2, stride_h=2, filter_width=2, filter_height=2))


@pytest.mark.parametrize("reads", [other_reader, compared_only, compared_with_a_fraction, pooled])
def test_real_values_are_no_ids(g: Builder, reads: object) -> None:
    x = g.input(1, 4, 4, 3)
    if reads is other_reader:
        g.output(cast(g, x))
    g.output(reads(g, x))  # type: ignore[operator]
    assert find_ids(g.graph) is None


def test_all_that_are_joined_are_ids_or_none_is(g: Builder) -> None:
    x, y = g.input(1, 4), g.input(1, 4)
    g.output(cast(g, g.op("CONCATENATION", x, y, shape=(1, 8), axis=1)))
    found = find_ids(g.graph)
    assert found is not None
    assert found.inputs == (x, y)
    g.output(g.op("EXP", y))
    assert find_ids(g.graph) is None


# --- zeros in sums


def normalized(g: Builder, x: Tensor, negated: str) -> Tensor:
    """x r - m r, as exporters of PyTorch write a LayerNorm without factors."""
    axes, shape = g.const(np.array([2], np.int32)), (*x.shape[:-1], 1)
    mean = g.op("MEAN", x, axes, shape=shape, keep_dims=True)
    variance = g.op("MEAN", g.op("SQUARED_DIFFERENCE", x, mean), axes, shape=shape, keep_dims=True)
    root = g.op("RSQRT", g.op("ADD", variance, g.const(1e-5)))
    zero = g.const(np.zeros(shape if negated == "SUB of zeros" else (), np.float32))
    minus = g.op("NEG", mean) if negated == "NEG" else g.op("SUB", zero, mean, shape=shape, dtype="float32")
    return g.op("ADD", g.op("MUL", x, root), g.op("MUL", minus, root))


@pytest.mark.parametrize("negated", ["NEG", "SUB", "SUB of zeros"])
def test_a_normalization_behind_another_one(negated: str) -> None:
    """The second mean is a few rounding errors; the zero that it was subtracted from had steps a million times as large."""
    found = []
    for kind in ("NEG", negated):
        g = Builder()
        g.output(normalized(g, normalized(g, g.input(1, 16, 32), kind), kind))
        values = np.random.default_rng(0).normal(1, 3, (20, 1, 16, 32)).astype(np.float32)
        found.append(fullint.quantize(g.bytes(), values, threads=1))
    assert sqnr(found[1]) > 35
    assert sqnr(found[1]) == pytest.approx(sqnr(found[0]), abs=0.1)
    assert kinds(found[1].model) == kinds(found[0].model)


def test_zeros_may_be_subtracted_from_and_clipped(g: Builder) -> None:
    """What is broadcast, or clipped, is a product with -1."""
    y = g.op("SUB", g.const(np.zeros((1, 4, 8), np.float32)), g.input(1, 1, 8), shape=(1, 4, 8), fused_activation_function=1)
    g.output(y)
    result = fullint.quantize(g.bytes(), np.random.default_rng(0).normal(size=(20, 1, 1, 8)).astype(np.float32), threads=1)
    assert kinds(result.model) == ["MUL"]
    assert sqnr(result) > 40


@pytest.mark.parametrize("kind", ["ADD", "SUB"])
def test_zeros_have_the_scale_of_their_sum(g: Builder, kind: str) -> None:
    """Any scale represents them; a step of 1/128 is too much beside values of 1e-7."""
    g.output(g.op(kind, g.input(1, 8), g.const(np.zeros(8, np.float32))))
    values = np.random.default_rng(0).normal(0, 1e-7, (20, 1, 8)).astype(np.float32)
    result = fullint.quantize(g.bytes(), values, threads=1)
    assert sqnr(result) > 40


# --- booleans as floats


def condition(g: Builder) -> Tensor:
    return g.op("LESS", g.const(np.arange(8, dtype=np.int32)), g.input(1, dtype="int32"), shape=(8,))


def flags(count: int = 20) -> list[np.ndarray]:
    return [np.array([n % 9], np.int32) for n in range(count)]


@pytest.mark.parametrize("after", [[], [("SUB", 1.0)], [("MUL", -3.0), ("ADD", 2.0), ("ABS", None)]])
def test_integers_made_of_booleans_as_floats_are_a_choice(g: Builder, after: list[tuple[str, float | None]]) -> None:
    """Neither the CAST to float nor the arithmetic is needed: a function of a boolean has two values."""
    y = cast(g, condition(g), "float32")
    for kind, value in after:
        y = g.op(kind, y) if value is None else g.op(kind, y, g.const(value))
    g.output(cast(g, y))
    result = fullint.quantize(g.bytes(), flags(), threads=1)
    assert kinds(result.model) == ["LESS", "SELECT_V2"]
    for sample in flags():
        assert (run(result.model, [sample])[0] == run(g.bytes(), [sample])[0]).all()


def test_the_float_of_a_boolean_may_have_other_readers(g: Builder) -> None:
    """Moved and multiplied it is a real value, beside it an integer."""
    y = cast(g, condition(g), "float32")
    g.output(g.op("MUL", g.reshape(y, 2, 4), g.input(2, 4)), cast(g, g.op("SUB", y, g.const(1.0))))
    rng = np.random.default_rng(0)
    result = fullint.quantize(g.bytes(), [[f, rng.normal(size=(2, 4)).astype(np.float32)] for f in flags()], threads=1)
    model = read_bytes(result.model)
    assert sorted(op.kind for op in model.main.ops) == ["LESS", "MUL", "RESHAPE", "SELECT_V2", "SELECT_V2"]
    assert model.main.outputs[1].dtype == "int32"
    assert sqnr(result) > 40


def test_a_mask_of_a_condition_is_a_choice(g: Builder) -> None:
    """(1 - float(b)) * -1e9, as attention masks are written, is the choice between 0 and -1e9."""
    mask = g.op("MUL", g.op("SUB", g.const(1.0), cast(g, condition(g), "float32")), g.const(-1e9))
    g.output(g.op("SOFTMAX", g.op("ADD", g.input(1, 8), mask), beta=1.0))
    rng = np.random.default_rng(0)
    samples = [[np.array([1 + n % 8], np.int32), rng.normal(size=(1, 8)).astype(np.float32)] for n in range(20)]
    result = fullint.quantize(g.bytes(), samples, threads=1)
    assert kinds(result.model) == ["LESS", "SELECT_V2", "ADD", "SOFTMAX"]
    assert sqnr(result) > 30


@of_corpus
def test_residual_quantizer_of_the_corpus() -> None:
    """CAST bool -> float -> SUB -> CAST in one of two signatures."""
    rng = np.random.default_rng(0)
    samples = {
        "decode": [rng.integers(0, 16, (46, 1, 1)).astype(np.int32) for _ in range(20)],
        "encode": [[np.int32(rng.integers(1, 46)), rng.normal(0, 10, (1, 1, 64)).astype(np.float32)] for _ in range(20)],
    }
    result = fullint.quantize(ZOO / "lyra_quantizer.tflite", samples, threads=1, min_sqnr=-100)
    assert result.report.float_operators == 0
    decoded, *encoded = result.report.certificate.outputs  # type: ignore[union-attr]
    assert decoded.sqnr_db is not None
    assert decoded.sqnr_db > 20
    assert all(o.equal is not None and o.equal > 0.85 for o in encoded)  # which code is nearest, of random frames


# --- cancellations


def test_what_cancels_gets_the_least_scale_that_the_kernel_takes(g: Builder) -> None:
    """The centre of two points, taken off, and taken again: its range was a millionth of a step of its operands."""
    points = g.input(1, 2, 8)

    def centre(x: Tensor) -> Tensor:
        halves = [g.op("MUL", g.op("GATHER", x, g.const(np.int32(i)), shape=(1, 8), axis=1), g.const(0.5)) for i in range(2)]
        return g.reshape(g.op("ADD", *halves), 1, 1, 8)

    moved = g.op("SUB", points, centre(points))
    g.output(g.op("SUB", moved, centre(moved)))
    values = np.random.default_rng(0).uniform(-1, 1, (20, 1, 2, 8)).astype(np.float32)
    result = fullint.quantize(g.bytes(), values, threads=1)
    [note] = result.report.notes
    assert note.startswith('ADD "add_1": its operands cancel to less than their own rounding; output scale raised from ')
    assert sqnr(result) > 35


def test_a_convolution_may_cancel(g: Builder) -> None:
    """Opposite weights on equal channels."""
    x = g.input(1, 4, 4, 1)
    both = g.op("CONCATENATION", x, x, shape=(1, 4, 4, 2), axis=3)
    weights = np.tile(np.array([1000.0, -1000.0], np.float32), (4, 1, 1, 1))
    weights[0, 0, 0, 0] += 1e-4
    y = g.conv(both, 4, 1, weights=g.const(weights), bias=False)
    g.output(g.op("ADD", x, y, shape=(1, 4, 4, 4)))
    values = np.random.default_rng(0).uniform(-1, 1, (20, 1, 4, 4, 1)).astype(np.float32)
    result = fullint.quantize(g.bytes(), values, threads=1)
    assert any("cancel" in note for note in result.report.notes)
    assert sqnr(result) > 40


def test_a_hard_swish_of_negative_values(g: Builder) -> None:
    """Near 0 nearly everywhere: its kernel takes no scale below 1/128 of its input's."""
    g.output(g.op("HARD_SWISH", g.input(1, 64)))
    values = np.random.default_rng(0).uniform(-30, -2.999, (20, 1, 64)).astype(np.float32)
    result = fullint.quantize(g.bytes(), values, threads=1, min_sqnr=-100)
    assert kinds(result.model) == ["HARD_SWISH"]


@of_corpus
def test_poses_of_the_corpus() -> None:
    """The centre of the hips, after it has been taken off: a cancellation to 2e-7 of a step."""
    points = np.random.default_rng(0).uniform(0, 256, (20, 1, 51)).astype(np.float32)
    result = fullint.quantize(ZOO / "litert_classifier.tflite", points, threads=1)
    assert any("cancel" in note for note in result.report.notes)
    assert sqnr(result) > 15


# --- variances of few steps


@pytest.mark.parametrize("form", ["SQUARED_DIFFERENCE", "MUL"])
def test_a_variance_of_few_steps_of_its_squares_is_computed_in_int16(g: Builder, form: str) -> None:
    """One channel is fifteen times as large: nearly all squares of the others were codes of 0, and the result had 11 dB."""
    x, axes = g.input(1, 16, 256), g.const(np.array([2], np.int32))
    mean = g.op("MEAN", x, axes, shape=(1, 16, 1), keep_dims=True)
    d = g.op("SUB", x, mean)
    square = g.op("MUL", d, d) if form == "MUL" else g.op("SQUARED_DIFFERENCE", x, mean)
    variance = g.op("MEAN", square, axes, shape=(1, 16, 1), keep_dims=True)
    factors = np.where(np.arange(256) == 3, 15, 1).astype(np.float32)
    normal = g.op("MUL", d, g.op("RSQRT", g.op("ADD", variance, g.const(1e-5))))
    g.output(g.op("MUL", normal, g.const(1 / factors)))
    values = np.random.default_rng(0).normal(size=(24, 1, 16, 256)).astype(np.float32) * factors
    result = fullint.quantize(g.bytes(), values, threads=1)
    wide = [op.kind for op in read_bytes(result.model).main.ops if any(t.dtype == "int16" for t in op.outputs)]
    assert wide == (["QUANTIZE", "MUL", "MEAN"] if form == "MUL" else ["QUANTIZE", "QUANTIZE", "SUB", "MUL", "MEAN"])
    assert sqnr(result) > 17


@of_corpus
def test_texts_of_the_corpus() -> None:
    """Ids below 10,000 as floats: -1.7 dB as int8."""
    place = ZOO / "gotfl_text_classification"
    result = fullint.quantize(place.with_suffix(".tflite"), place.with_suffix(".npz"), threads=1)
    assert read_bytes(result.model).main.inputs[0].dtype == "int32"
    assert sqnr(result) > 40


@pytest.mark.parametrize("bad", [0.4, 3e9])
def test_ids_are_whole_numbers_that_int32_holds(g: Builder, bad: float) -> None:
    """Beside a comparison a fraction is not what is left of it; nothing is guessed."""
    x = g.input(1, 8, name="x")
    ids = cast(g, x, "int64")
    rows = g.op("GATHER", g.random(16, 4), ids, shape=(1, 8, 4), dtype="float32")
    shown = cast(g, g.op("NOT_EQUAL", x, g.const(0.0)), "float32")
    g.output(g.dense(g.reshape(g.op("MUL", rows, g.reshape(shown, 1, 8, 1), shape=(1, 8, 4)), 1, 32), 3))
    values = np.random.default_rng(0).integers(0, 16, (30, 1, 8)).astype(np.float32)
    for io in ("auto", "float32"):
        assert fullint.quantize(g.bytes(), values, io=io).report.certificate.sqnr_db > 30
    values[3, 0, 2] = bad
    with pytest.raises(fullint.SamplesError, match='input "x" carries ids'):
        fullint.quantize(g.bytes(), values)
