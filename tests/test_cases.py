"""Small inputs of the corpus that were once answered wrongly, each with what is right.

Tests of the same kinds on models of our own: test_parts, test_padding, test_damage, test_stale_metadata, test_repair.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import CORPUS, kinds

import fullint
from fullint import demo
from fullint.errors import AccuracyError, NotIntegerError, SamplesError, UsageError
from fullint.model.tflite import read_bytes, read_model
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import WorkerProcess, model_file
from fullint.verification.kernel_outputs import integer_inputs, real

pytestmark = pytest.mark.skipif(not CORPUS, reason="no corpus")
CASES = Path(str(CORPUS), "cases")
DEMO = Path(demo.__file__).with_name("digits.tflite")


def arrays(*place: str) -> np.ndarray:
    with np.load(CASES.joinpath(*place)) as found:
        return found["x"]


def outputs(data: bytes, samples: np.ndarray, kernels: str = "xnnpack") -> list[list[np.ndarray]]:
    model = read_bytes(data)
    with model_file(data) as path, WorkerProcess() as worker:
        worker.call(Open(path, kernels, 1))
        found = [worker.call(Run(integer_inputs(model, [x.reshape(model.main.inputs[0].shape)]))) for x in samples]
    return [[real(v, t) for v, t in zip(values, model.main.outputs, strict=True)] for values in found]


def test_detector_one_output() -> None:
    """The CONCATENATION is named first; taken apart, scores and ids are kept, judged as sets."""
    folder = CASES / "detector_one_output"
    with pytest.raises(AccuracyError) as caught:
        fullint.quantize(folder / "float.tflite", folder / "samples.npz", threads=1)
    said = str(caught.value)
    assert 'op 28 CONCATENATION "PartitionedCall:0"' in said
    assert "CAST" not in said
    assert "--split-outputs: " in said
    result = fullint.quantize(folder / "float.tflite", folder / "samples.npz", threads=1, split_outputs=True)
    tests = arrays("detector_one_output", "test.npz")
    boxes, scores, ids = zip(*outputs(result.model, tests), strict=True)
    [whole] = zip(*outputs((folder / "float.tflite").read_bytes(), tests), strict=True)
    reference = np.sort(np.concatenate(whole), axis=1)
    assert np.abs(np.sort(np.concatenate(scores), axis=1)[..., 0] - reference[..., 4]).max() < 2 / 256
    noise = np.sort(np.concatenate(ids), axis=1)[..., 0] - reference[..., 5]
    assert 10 * np.log10(np.square(reference[..., 5]).sum() / np.square(noise).sum()) > 12
    assert np.concatenate(boxes).shape == (20, 20, 4)
    audited = fullint.audit(folder / "stock_int8.tflite")
    assert "operand-wiped-out" in {f.rule for f in audited.findings if f.level != "note"}


def test_columns_of_unequal_size() -> None:
    folder = CASES / "columns_of_unequal_size"
    with pytest.raises(AccuracyError) as caught:
        fullint.quantize(folder / "float.tflite", folder / "samples.npz", threads=1)
    assert caught.value.lost == ("StatefulPartitionedCall_1:0[..., 1]",)
    assert 'op 3 FULLY_CONNECTED "StatefulPartitionedCall_1:0"' in str(caught.value)
    kept = fullint.quantize(folder / "float.tflite", folder / "samples.npz", threads=1, int16=3)
    tests = arrays("columns_of_unequal_size", "test.npz")
    a = np.concatenate([o[0] for o in outputs((folder / "float.tflite").read_bytes(), tests)])[:, 1]
    b = np.concatenate([o[0] for o in outputs(kept.model, tests)])[:, 1]
    assert 10 * np.log10(np.square(a - a.mean()).sum() / np.square(a - b).sum()) > 15


@pytest.mark.parametrize(("name", "operator"), [("qat_uint8", "op 3 FULLY_CONNECTED"), ("float_fq", "op 13 QUANTIZE")])
def test_output_clipped(name: str, operator: str) -> None:
    folder = CASES / "output_clipped"
    report = fullint.audit(folder / f"{name}.tflite", samples=folder / "samples.npz")
    [found] = [f for f in report.findings if f.rule == "saturated-values" and f.kind == "OUTPUT"]
    assert 0.5 < found.evidence["high"] < 0.65
    assert f"since {operator}" in found.cause
    sound = fullint.audit(folder / "float_ref.tflite", samples=folder / "samples.npz")
    assert "saturated-values" not in {f.rule for f in sound.findings}


def test_requantize_clips() -> None:
    folder = CASES / "requantize_clips"
    [found] = fullint.audit(folder / "int8.tflite").findings
    assert (found.rule, found.level, found.index, found.evidence["cut"]) == ("requantize-clips", "error", 2, 0.75)
    repaired = fullint.repair(folder / "int8.tflite", folder / "samples.npz", unsafe_fixes=True)
    samples = arrays("requantize_clips", "samples.npz")
    a = np.concatenate([o[0] for o in outputs((folder / "float.tflite").read_bytes(), samples)])
    before, after = (
        np.concatenate([o[0] for o in outputs(d, samples)]) for d in ((folder / "int8.tflite").read_bytes(), repaired.model)
    )
    assert np.square(a - after).sum() < 0.05 * np.square(a - before).sum()


def test_stale_bias_scale() -> None:
    """A working network: the labels of CIFAR before, after, and if the fix is asked for."""
    given = (CASES / "stale_bias_scale" / "given.tflite").read_bytes()
    result = fullint.repair(given)
    assert [f.rule for f in result.report.unsafe] == ["bias-wrong-scale"]
    data = np.load(Path(str(CORPUS), "data", "cifar10_1000.npz"))
    images, labels = data["images"][:200].astype(np.float32), data["labels"][:200].reshape(-1)
    codes = [answers_of(d, images) for d in (given, result.model)]
    np.testing.assert_array_equal(codes[0], codes[1])
    assert np.mean(codes[1].argmax(1) == labels) > 0.8
    asked = fullint.repair(given, unsafe_fixes=True).report.result
    assert asked.certificate.sqnr_db < 5 < 100 < asked.corrected.sqnr_db


def answers_of(data: bytes, images: np.ndarray) -> np.ndarray:
    model = read_bytes(data)
    with model_file(data) as path, WorkerProcess() as worker:
        worker.call(Open(path, "xnnpack", 1))
        return np.concatenate([worker.call(Run(integer_inputs(model, [x[None]])))[0] for x in images])


def test_pool_without_parameters() -> None:
    folder = CASES / "pool_without_parameters"
    result = fullint.repair(folder / "no_params.tflite")
    assert kinds(result.model) == ["CONV_2D", "MAX_POOL_2D", "RESHAPE", "FULLY_CONNECTED"]
    samples = arrays("pool_without_parameters", "samples.npz")
    a = np.concatenate([o[0] for o in outputs((folder / "float.tflite").read_bytes(), samples)])
    b = np.concatenate([o[0] for o in outputs(result.model, samples)])
    assert 10 * np.log10(np.square(a).sum() / np.square(a - b).sum()) > 20


@pytest.mark.parametrize("io", ["auto", "float32", "int8"])
def test_two_conversions(io: str) -> None:
    result = fullint.repair(CASES / "two_conversions" / "int8.tflite", io=io)
    assert [k for k in kinds(result.model) if k != "DEQUANTIZE"] == ["CONV_2D", "CONV_2D"]


def test_minmax_without_scale() -> None:
    for name in ("weights_too", "activations"):
        result = fullint.quantize(
            CASES / "minmax_without_scale" / f"{name}.tflite", np.random.default_rng(0).random((20, 8, 8, 1))
        )
        assert result.report.float_operators == 0


def test_dynamic_range_weights() -> None:
    """One answer, and it works."""
    folder = CASES / "dynamic_range_weights"
    fixes = {f.fix for f in fullint.audit(folder / "dynamic.tflite").findings if f.rule in ("hybrid-weights", "not-quantized")}
    assert all(fix.startswith("fullint quantize MODEL -c SAMPLES") for fix in fixes)
    with pytest.raises(UsageError, match="float model whose weights are stored in fewer bits: give samples"):
        fullint.repair(folder / "dynamic.tflite")
    repaired = fullint.repair(folder / "dynamic.tflite", folder / "samples.npz")
    assert repaired.report.result.float_operators == 0
    assert repaired.report.result.certificate.sqnr_db > 25


def test_uint8_weights_of_a_hybrid_model() -> None:
    path = CASES / "zoo" / "unet_semanticsegmentation_frozen_person_quantized_08.tflite"
    images = np.load(Path(str(CORPUS), "data", "faces_24.npz"))["images"][:, 64:192, 64:192].astype(np.float32) / 255
    assert fullint.repair(path, images).report.result.certificate.sqnr_db > 9


def test_a_kept_detection_postprocess() -> None:
    path = CASES / "zoo" / "coral_ssd_mobilenet_v1_coco_quant_postprocess_head_layers.tflite"
    result = fullint.repair(path, keep_float="CUSTOM")
    [kept] = result.report.result.kept_float
    assert kept.kind == "TFLite_Detection_PostProcess"
    certificate = result.report.result.certificate
    assert [o.judged for o in certificate.outputs] == [False] * 4 + [True] * 2
    assert {k.status for k in certificate.kernel_sets} == {"ran"}
    assert all(t.dtype == "float32" for t in read_model(path).main.outputs)


# --- samples ---


def test_identical_samples() -> None:
    """A hundred copies of one image: 43.8 dB "held back" once, and 1.4 dB in truth."""
    folder = CASES / "identical_samples"
    report = fullint.quantize(folder / "float.tflite", folder / "same.npz").report
    assert [f.kind for f in report.sample_findings] == ["repeated-samples"]
    assert "all 100 samples are the same" in report.sample_findings[0].text
    assert not report.certificate.held_back
    with pytest.raises(SamplesError, match="all 100 samples are the same"):
        fullint.quantize(folder / "float.tflite", folder / "same.npz", strict_samples=True)


def test_outlier_samples() -> None:
    """Which samples, which tensor, what they cost; and the way out, followed on real test data."""
    folder = CASES / "outlier_samples"
    report = fullint.quantize(folder / "float.tflite", folder / "samples_outliers.npz").report
    [found] = report.sample_findings
    assert (found.kind, len(found.samples)) == ("outliers", 10)
    assert '"serving_default_x:0"' in found.text
    assert found.evidence["after_db"] > found.evidence["before_db"] + 6
    dropped = fullint.quantize(folder / "float.tflite", folder / "samples_outliers.npz", drop_outliers=True)
    assert dropped.report.samples["left_out"] == list(found.samples)
    tests = arrays("outlier_samples", "test.npz")
    [a], [b] = (zip(*outputs(d, tests), strict=True) for d in ((folder / "float.tflite").read_bytes(), dropped.model))
    assert 10 * np.log10(np.square(np.concatenate(a)).sum() / np.square(np.concatenate(a) - np.concatenate(b)).sum()) > 30
    clean = fullint.quantize(folder / "float.tflite", folder / "samples.npz").report
    assert clean.sample_findings == ()


def test_modulo() -> None:
    folder = CASES / "modulo"
    result = fullint.quantize(folder / "float.tflite", folder / "samples.npz")
    tests = arrays("modulo", "test.npz")
    a, b = (np.concatenate([o[0] for o in outputs(d, tests)]) for d in ((folder / "float.tflite").read_bytes(), result.model))
    np.testing.assert_array_equal(a, np.round(b))


def test_missing_input() -> None:
    folder = CASES / "missing_input"
    with pytest.raises(SamplesError, match=r'no samples for input "shape_info" \(float32 \[1, 4\]\); the arrays are "image"'):
        fullint.quantize(folder / "float.tflite", folder / "one.npz")


def test_variables_without_value() -> None:
    folder = CASES / "variables_without_value"
    for _ in range(2):
        with pytest.raises(NotIntegerError, match='nothing in the model gives the variable "conv2d_8/kernel" a value') as caught:
            fullint.quantize(folder / "model.tflite", folder / "samples.npz")
        assert {b.kind for b in caught.value.blockers} == {"READ_VARIABLE"}


def test_helper_import() -> None:
    report = fullint.quantize(DEMO, f"{CASES}/helper_import/rep.py:gen").report
    assert report.samples["total"] == 16


def test_image_cases(tmp_path: Path) -> None:
    report = fullint.quantize(DEMO, CASES / "images" / "png16").report
    assert report.inputs[0].high - report.inputs[0].low == pytest.approx(1, abs=0.1)
    assert report.normalization == {"mean": [0.0], "std": [255.0], "layout": "NHWC"}
    assert fullint.quantize(DEMO, CASES / "images" / "mixed").report.samples["total"] == 1
    with pytest.raises(SamplesError, match=r"a\.png: too many pixels to be a sample"):
        fullint.quantize(DEMO, CASES / "images" / "bomb")


def test_tiny_outputs_are_judged_on_enough_samples() -> None:
    name = "kazu_point_history_classifier"
    report = fullint.quantize(CASES / "zoo" / f"{name}.tflite", CASES / "zoo" / f"{name}.npz").report
    assert (report.certificate.samples, report.certificate.held_back) == (16, False)
    assert report.certificate.sqnr_db > 5
    assert report.certificate.outputs[0].steps > 2


@pytest.mark.parametrize("name", ["float_fq", "float_ref"])
def test_output_that_saturates_is_said_by_quantize(name: str) -> None:
    folder = CASES / "output_clipped"
    report = fullint.quantize(folder / f"{name}.tflite", folder / "samples.npz").report
    found = [f for f in report.sample_findings if f.kind == "output-saturates"]
    assert len(found) == (name == "float_fq")
    if found:
        assert found[0].evidence["high"] > 0.5
