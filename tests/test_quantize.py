"""The main job, end to end, on models of our own."""

import json
import re

import numpy as np
import pytest
from conftest import kinds, quantized, run
from test_input_forms import two_entries

import fullint
from fullint.errors import AccuracyError, NotIntegerError, RuntimeFailure, SamplesError, UsageError, VerificationError
from fullint.model.ir import Op, Quant, Signature, Tensor
from fullint.model.tflite import read_bytes, write_model
from fullint.ops.builder import Builder, samples_like
from fullint.quantization import pipeline
from fullint.verification.kernel_outputs import real


def network(g: Builder, dtype: str = "float32") -> Tensor:
    """A bit of everything: shared constants, residual, concatenation, pooling, transposed convolution, head."""
    x = g.input(1, 8, 8, 3, dtype=dtype, name="x")
    zeros = g.const(np.zeros(8, np.float32), name="zeros")
    a = g.conv(x, filters=8, bias=zeros, activation="RELU")
    b = g.conv(a, filters=8, bias=zeros)
    c = g.op("ADD", a, b, fused_activation_function=1)
    d = g.depthwise(c, activation="RELU6")
    e = g.op("CONCATENATION", c, d, shape=(1, 8, 8, 16), axis=3)
    pool = {"stride_w": 2, "stride_h": 2, "filter_width": 2, "filter_height": 2}
    f = g.op("MAX_POOL_2D", e, shape=(1, 4, 4, 16), **pool)
    up = g.transpose_conv(f, 4, activation="RELU")
    head = g.op("SOFTMAX", g.dense(g.reshape(f, 1, -1), 5), beta=1.0)
    g.output(head, g.op("LOGISTIC", g.conv(up, filters=1)))
    return x


def test_result_is_integer_verified_and_close(g: Builder) -> None:
    network(g)
    result = quantized(g, 30)
    report = result.report
    assert report.status == "quantized"
    assert report.float_operators == 0
    assert report.conv_2d.total == report.conv_2d.int8_weights_int32_bias == 3
    assert report.certificate.sqnr_db > 25
    assert [k.status for k in report.certificate.kernel_sets] == ["ran", "ran", "ran"]
    assert report.certificate.held_back
    assert (report.certificate.samples, report.certificate.also_calibrated) == (30, 26)  # 5 values a sample


def test_sqnr_is_what_the_report_says(g: Builder) -> None:
    """The certificate's figure, recomputed from outputs run here."""
    network(g)
    data = g.bytes()
    samples = [list(s.values()) for s in samples_like(read_bytes(data), 30)]
    result = pipeline.quantize(data, samples)
    model = read_bytes(result.model)
    signal, noise = np.zeros(2), np.zeros(2)
    for s in samples:  # those held back have too few values to judge alone
        from fullint.verification.kernel_outputs import integer_inputs

        ref, out = run(data, s), run(result.model, integer_inputs(model, s))
        for i in range(2):
            signal[i] += np.square(ref[i], dtype=np.float64).sum()
            noise[i] += np.square(ref[i].astype(np.float64) - real(out[i], model.main.outputs[i])).sum()
    expected = 10 * np.log10(signal / noise)
    assert [o.sqnr_db for o in result.report.certificate.outputs] == pytest.approx(expected.tolist(), abs=1e-6)
    assert result.report.certificate.sqnr_db == pytest.approx(expected.mean(), abs=1e-6)


@pytest.mark.parametrize("options", [{}, {"per_tensor": True}, {"dense_per_tensor": True}])
def test_weights_have_the_granularity_asked_for(g: Builder, options: dict[str, bool]) -> None:
    network(g)
    model = read_bytes(quantized(g, **options).model)
    scales = {op.kind: op.inputs[1].quant.scale.size for op in model.main.ops if op.kind in ("CONV_2D", "FULLY_CONNECTED")}
    per_channel = not options.get("per_tensor")
    assert (scales["FULLY_CONNECTED"] > 1) == (not options)
    assert any(op.inputs[1].quant.scale.size > 1 for op in model.main.ops if op.kind == "CONV_2D") == per_channel


@pytest.mark.parametrize("io", ["int8", "uint8", "float32"])
def test_io_types(g: Builder, io: str) -> None:
    """Names, order and signature survive; only the asked border is added."""
    network(g)
    data = g.bytes("serve")
    result = pipeline.quantize(data, samples_like(read_bytes(data), 12), io=io)
    before, after = read_bytes(data), read_bytes(result.model)
    assert {t.dtype for t in (*after.main.inputs, *after.main.outputs)} == {io}
    for a, b in ((before.main.inputs, after.main.inputs), (before.main.outputs, after.main.outputs)):
        assert [t.name for t in a] == [t.name for t in b]
    assert [n for n, _ in after.signatures[0].inputs] == ["x"]
    assert after.signatures[0].outputs[1][1] is after.main.outputs[1]
    assert result.report.certificate.sqnr_db > 20
    assert kinds(result.model).count("QUANTIZE") == {"int8": 0, "uint8": 3, "float32": 1}[io] + len(result.report.requantizes)


def test_same_input_gives_the_same_bytes(g: Builder) -> None:
    network(g)
    data = g.bytes()
    samples = samples_like(read_bytes(data), 40)
    first = pipeline.quantize(data, samples, threads=2).model
    assert pipeline.quantize(data, samples, threads=2).model == first
    assert pipeline.quantize(data, samples, threads=1).model == first


def test_integer_and_boolean_operands_keep_their_type(g: Builder) -> None:
    """An embedding looked up by int32, a condition, an index out."""
    ids = g.input(1, 6, dtype="int32", name="ids")
    mask = g.input(1, 6, 8, dtype="bool", name="mask")
    e = g.op("GATHER", g.random(10, 8), ids, shape=(1, 6, 8))
    y = g.op("SELECT_V2", mask, e, g.op("ABS", e))
    g.output(y, g.op("ARG_MAX", y, g.const(np.int32(2)), shape=(1, 6), dtype="int32", output_type=2))
    result = quantized(g)
    model = read_bytes(result.model)
    assert [t.dtype for t in model.main.inputs] == ["int32", "bool"]
    assert [t.dtype for t in model.main.outputs] == ["int8", "int32"]
    assert result.report.certificate.outputs[1].equal > 0.9


def test_requantize_is_reported_with_its_reason(g: Builder) -> None:
    x = g.input(1, 8)
    wide = g.op("MUL", x, g.const(9.0))
    y = g.op("CONCATENATION", g.op("LOGISTIC", x), wide, shape=(1, 16), axis=1)
    g.output(y)
    result = quantized(g)
    assert kinds(result.model).count("QUANTIZE") == 1
    assert "too small for the group's" in result.report.requantizes[0].why
    assert result.report.cuts[0].kind == "CONCATENATION"


def test_operators_that_cannot_be_are_named(g: Builder) -> None:
    x = g.input(1, 8)
    y = g.op("REVERSE_SEQUENCE", g.op("RELU", x), g.const(np.int32([5])), shape=(1, 8), seq_dim=1, name="wave")
    g.output(g.op("COMPLEX_ABS", y, name="steps"))
    with pytest.raises(NotIntegerError) as caught:
        quantized(g)
    assert [(b.index, b.kind, b.output) for b in caught.value.blockers] == [
        (1, "REVERSE_SEQUENCE", "wave"),
        (2, "COMPLEX_ABS", "steps"),
    ]
    assert all(b.cause and f"--keep-float {b.index}" in b.way_out for b in caught.value.blockers)


def test_index_of_a_blocker_is_the_file_s_own(g: Builder) -> None:
    """Folding operators before it does not shift the index that is reported."""
    x = g.input(1, 4, 4, 2)
    y = g.op("ADD", g.op("MUL", g.conv(x), g.random(4)), g.random(4))
    g.output(g.op("REVERSE_SEQUENCE", y, g.const(np.int32([2])), shape=y.shape, seq_dim=1))
    with pytest.raises(NotIntegerError) as caught:
        quantized(g)
    assert caught.value.blockers[0].index == 3


def test_low_accuracy_writes_nothing_and_names_operators(g: Builder) -> None:
    network(g)
    with pytest.raises(AccuracyError, match="most accuracy is lost at: op") as caught:
        quantized(g, min_sqnr=90)
    assert caught.value.exit_code == 1


def test_few_samples_are_said_to_serve_both_ends(g: Builder) -> None:
    network(g)
    report = quantized(g, 4).report
    assert not report.certificate.held_back
    assert "4 samples, too few to hold some back" in report.warnings[0]


def test_synthetic_is_stamped(g: Builder) -> None:
    network(g)
    result = pipeline.quantize(g.bytes(), synthetic=True)
    assert result.report.certificate.uncalibrated
    assert "fullint_uncalibrated" in [n for n, _ in read_bytes(result.model).metadata]


def test_already_integer_is_copied(g: Builder) -> None:
    network(g)
    first = quantized(g)
    again = fullint.quantize(first.model)
    assert again.report.status == "already-integer"
    assert again.model == first.model


def test_options_without_effect_are_said_to_have_none(g: Builder) -> None:
    network(g)
    first = quantized(g)
    again = fullint.quantize(first.model, io="uint8")
    assert any("io: no effect" in w for w in again.report.warnings)
    with pytest.raises(UsageError, match="nothing to plan"):
        fullint.plan(first.model)


def test_constant_samples_are_warned_of(g: Builder) -> None:
    network(g)
    report = fullint.quantize(g.bytes(), np.zeros((12, 8, 8, 3), np.float32)).report
    assert any('input "x" is 0 in every sample' in f.text for f in report.sample_findings)


def weak_output(g: Builder, offset: float) -> None:
    """A difference of two near-equal values beside an output that is fine."""
    x = g.input(1, 64)
    y = g.op("MUL", g.op("SUB", g.op("ADD", x, g.const(offset)), g.const(offset)), g.const(5.0), name="weak")
    g.output(y, g.op("LOGISTIC", x, name="fine"))


def test_a_lost_output_is_refused_whatever_the_mean(g: Builder) -> None:
    weak_output(g, 1000.0)
    with pytest.raises(AccuracyError, match='"weak"'):
        quantized(g)


def test_a_weak_output_is_warned_of_whatever_the_mean(g: Builder) -> None:
    weak_output(g, 250.0)
    report = quantized(g).report
    assert report.certificate.sqnr_db > 15
    assert any('"weak"' in w for w in report.warnings)


@pytest.mark.parametrize("io", ["int8", "uint8", "float32"])
def test_constant_outputs_and_inputs_that_are_outputs(g: Builder, io: str) -> None:
    x = g.input(1, 8, name="x")
    c = g.const(np.arange(8, dtype=np.float32), name="c")
    g.output(c, x, g.op("ADD", x, c))
    result = quantized(g, io=io)
    model = read_bytes(result.model)
    assert [t.name for t in model.main.outputs[:2]] == ["c", "x"]
    assert all(o.sqnr_db > 30 for o in result.report.certificate.outputs)


def test_held_back_samples_must_keep_the_float_model_finite(g: Builder) -> None:
    x = g.input(1, 4)
    g.output(g.op("LOG", g.op("ABS", x), name="log"))
    samples = np.random.default_rng(0).uniform(1, 2, (20, 4)).astype(np.float32)
    samples[np.random.default_rng(7).permutation(20)[0]] = 0  # one of those that seed 7 holds back
    with pytest.raises(SamplesError, match='output "log" of the float model is NaN or infinite'):
        fullint.quantize(g.bytes(), samples, seed=7)


def test_integer_outputs_are_judged_too(g: Builder) -> None:
    """A comparison of two nearly equal values is said to be uncertain."""
    x = g.input(1, 64)
    g.output(g.op("LESS", g.op("MUL", x, g.const(1.001)), x))
    assert any("equal the float model's" in w for w in quantized(g).report.warnings)


def test_model_must_be_a_path_or_bytes(g: Builder) -> None:
    network(g)
    with pytest.raises(UsageError, match="path or bytes"):
        fullint.quantize(5, synthetic=True)
    assert fullint.quantize(bytearray(g.bytes()), synthetic=True, num_samples=2).model


def test_broken_integer_model_is_not_copied(g: Builder) -> None:
    network(g)
    model = read_bytes(quantized(g).model)
    bias = model.main.ops[0].inputs[2]
    bias.quant = Quant.of(bias.quant.scale * 2)
    with pytest.raises(VerificationError, match="s_in \\* s_w"):
        fullint.quantize(write_model(model))


def half(g: Builder) -> bytes:
    """int8 CONV_2D -> DEQUANTIZE -> float CONV_2D -> QUANTIZE -> int8 CONV_2D, as a converter leaves it."""
    network(g)
    model = read_bytes(quantized(g).model)
    convs = [i for i, op in enumerate(model.main.ops) if op.kind == "CONV_2D"]
    i = convs[1]
    op = model.main.ops[i]
    x, w, b = op.inputs
    from fullint.model.ir import constant
    from fullint.model.numerics import dequantize

    real_b = (b.array * b.quant.scale).astype(np.float32)
    inner, outer = Tensor("f_in", x.shape, "float32"), Tensor("f_out", op.outputs[0].shape, "float32")
    fw = constant("fw", dequantize(w.array, Quant(w.quant.scale, w.quant.zero_point, 0)))
    island = [
        Op("DEQUANTIZE", [x], [inner], {}, "DequantizeOptions", version=2),
        Op("CONV_2D", [inner, fw, constant("fb", real_b)], [outer], op.options, op.options_type),
        Op("QUANTIZE", [outer], op.outputs, {}, "QuantizeOptions"),
    ]
    model.main.ops[i : i + 1] = island
    model.main.sync_tensors()
    return write_model(model)


def test_half_quantized_model_is_finished(g: Builder) -> None:
    """The float island becomes integer with the parameters the file has around it; the rest stays as it was."""
    data = half(g)
    samples = [{"x": s["x"]} for s in samples_like(read_bytes(g.bytes()), 12)]
    result = fullint.quantize(data, samples)
    before, after = read_bytes(data), read_bytes(result.model)
    assert result.report.conv_2d.int8_weights_int32_bias == 3
    assert "DEQUANTIZE" not in kinds(result.model)
    island = next(op for op in before.main.ops if op.kind == "QUANTIZE")
    conv = [op for op in after.main.ops if op.kind == "CONV_2D"][1]
    assert conv.outputs[0].quant.same_as(island.outputs[0].quant)
    assert result.report.certificate.sqnr_db > 25


def test_models_without_signature_work(g: Builder) -> None:
    network(g)
    assert read_bytes(g.bytes()).signatures == []
    assert quantized(g).report.float_operators == 0


def test_dynamic_batch(g: Builder) -> None:
    x = g.input(-1, 8)
    y = g.dense(x, 4)
    y.shape_signature = (-1, 4)
    g.output(y)
    data = g.bytes()
    result = fullint.quantize(data, np.random.default_rng(0).normal(size=(40, 8)), batch=4)
    model = read_bytes(result.model)
    assert model.main.inputs[0].shape == (4, 8)
    assert model.main.outputs[0].shape == (4, 4)
    network(g2 := Builder())
    with pytest.raises(UsageError, match="is not dynamic, but fixed at"):
        fullint.quantize(g2.bytes(), synthetic=True, batch=2)


def test_other_dynamic_dimensions_are_refused(g: Builder) -> None:
    x = g.input(1, -1, 8)
    g.output(g.op("RELU", x))
    with pytest.raises(UsageError, match="dynamic dimensions other than the batch"):
        fullint.quantize(g.bytes(), synthetic=True)


def test_nan_inside_names_sample_and_tensor(g: Builder) -> None:
    x = g.input(1, 4)
    g.output(g.op("EXP", x, name="explodes"))
    samples = np.zeros((12, 4), np.float32)
    samples[7] = 1000
    with pytest.raises(SamplesError, match='sample 7 drives tensor "explodes"'):
        fullint.quantize(g.bytes(), samples)


@pytest.mark.parametrize(
    "options",
    [
        {"io": "int4"},
        {"activations": "float32"},
        {"target": "toaster"},
        {"shape": "1,x"},
        {"batch": 0},
        {"threads": 0},
        {"layout": "CHWN"},
        {"std": 0},
        {"batch": "x"},
        {"min_sqnr": float("nan")},
        {"min_sqnr": None},
        {"num_samples": 1.5},
    ],
)
def test_options_are_checked(g: Builder, options: dict[str, object]) -> None:
    network(g)
    with pytest.raises(UsageError):
        fullint.quantize(g.bytes(), synthetic=True, **options)
    with pytest.raises(UsageError, match="no representative samples"):
        fullint.quantize(g.bytes())


def test_crash_of_the_runtime_is_an_exception(g: Builder) -> None:
    """A model that ends the interpreter's process ends nothing here."""
    x = g.input(1, 4)
    g.output(g.op("GATHER", g.op("RELU", x), g.const(np.int32([10_000_000])), shape=(1, 1), axis=1))
    with pytest.raises(RuntimeFailure):
        fullint.quantize(g.bytes(), synthetic=True)


def test_report_is_json(g: Builder) -> None:
    network(g)
    body = json.loads(quantized(g).report.to_json())
    for key in ("schema_version", "operators", "float_operators", "operator_counts", "conv_2d", "cuts", "requantizes", "sizes"):
        assert key in body
    assert set(body["conv_2d"]) == {"total", "int8_weights_int32_bias"}
    assert {"read", "prepare", "calibrate", "assign", "rewrite", "certify"} <= set(body["seconds"])
    assert body["peak_memory_bytes"] > 10_000_000


def test_versions_and_runtime_are_stamped(g: Builder) -> None:
    network(g)
    model = read_bytes(quantized(g).model)
    stamped = {op.kind: op.version for op in model.main.ops}
    assert stamped == {
        "CONV_2D": 3,
        "DEPTHWISE_CONV_2D": 3,
        "FULLY_CONNECTED": 4,
        "TRANSPOSE_CONV": 4,
        "ADD": 2,
        "CONCATENATION": 2,
        "MAX_POOL_2D": 2,
        "RESHAPE": 1,
        "SOFTMAX": 2,
        "LOGISTIC": 2,
    } | {k: v for k, v in stamped.items() if k == "QUANTIZE"}
    text = dict(model.metadata)["min_runtime_version"].data.tobytes()
    assert text == b"2.13.0".ljust(16, b"\0")


def test_plan_decides_without_writing(g: Builder) -> None:
    network(g)
    data = g.bytes()
    decided = fullint.plan(data, samples_like(read_bytes(data), 12))
    assert str(decided.assignment).count("scale") >= 8
    with pytest.raises(TypeError, match="per_tensr"):
        fullint.plan(data, synthetic=True, per_tensr=True)
    with pytest.raises(TypeError, match="per_tensr"):
        fullint.quantize(data, synthetic=True, per_tensr=True)


def test_signatures_name_the_tensors_that_a_user_feeds(g: Builder) -> None:
    """With float inputs and outputs those outside, not the integer ones behind them."""
    g.output(g.dense(g.input(1, 8), 4))
    given = g.model()
    given.signatures.append(Signature("serve", given.main, [("x", given.main.inputs[0])], [("y", given.main.outputs[0])]))
    data = write_model(given)
    model = read_bytes(pipeline.quantize(data, samples_like(given, 12), io="float32").model)
    [s] = model.signatures
    assert [t for _, t in s.inputs] == model.main.inputs
    assert [t for _, t in s.outputs] == model.main.outputs
    assert all(t.dtype == "float32" for t in (*model.main.inputs, *model.main.outputs))


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_constants_that_are_not_finite_are_refused_by_name(g: Builder, value: float) -> None:
    limit = g.const(np.float32([1, 2, value, 4]))
    limit.name = "limit"
    g.output(g.op("MINIMUM", g.input(1, 4), limit))
    with pytest.raises(NotIntegerError, match='"limit"') as e:
        quantized(g)
    assert "NaN or infinity" in e.value.blockers[0].cause


@pytest.mark.parametrize("entries", [1, 2])
def test_certify_fast_runs_xnnpack_alone_and_says_so(g: Builder, entries: int) -> None:
    """The same bytes, and the same figures; the slow kernel sets are said not to have run."""
    network(g)
    data = two_entries() if entries == 2 else g.bytes()
    full, fast = (fullint.quantize(data, synthetic=True, min_sqnr=-100.0, certify=how) for how in ("full", "fast"))
    assert fast.model == full.model
    one, other = full.report.certificate, fast.report.certificate
    assert (one.sqnr_db, one.samples, one.outputs) == (other.sqnr_db, other.samples, other.outputs)
    assert [k.status for k in other.kernel_sets] == ["ran", "skipped", "skipped"]
    for k in other.kernel_sets[1:]:
        assert k.samples == 0 and k.sqnr_db is None and "--certify fast" in k.facts[-1]
    assert re.search(r"reference +skipped: not run, as asked", str(fast.report))


def test_certify_is_full_or_fast(g: Builder) -> None:
    with pytest.raises(UsageError, match='certify must be full or fast, not "none"'):
        fullint.quantize(g.bytes(), synthetic=True, certify="none")
