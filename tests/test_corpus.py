"""Real models, where the corpus is there: all integer, on every kernel set, near to float."""

import os
from pathlib import Path

import numpy as np
import pytest
from conftest import CORPUS, assert_audit_is_content

from fullint import quantize
from fullint.model.ir import Model
from fullint.model.tflite import read_model
from fullint.ops.builder import samples_like
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import WorkerProcess, model_file
from fullint.verification.kernel_outputs import integer_inputs, real
from fullint.verification.metrics import Score, mean_sqnr

pytestmark = pytest.mark.skipif(not CORPUS, reason="FULLINT_CORPUS is not set")

MODELS = """mlperf_pretrainedResnet mlperf_vww_96_float mlperf_ad01_fp32 mlperf_kws_ref_model_float32
    tinymaix_mnist_resnet_f t2o_mobilenet_v1_0_25_128 mp_iris_landmark portrait_slim_reshape mp_palm_detection_lite
    mp_face_detection_short_range pinto_segm_lite_v681_opt portrait_prisma-net_fp16 tflm_hello_world_float
    aeq_conv_fc_mnist issue57758_like_float""".split()


def samples_of(path: Path, count: int = 40) -> list[dict[str, np.ndarray]]:
    """Faces for the network that looks for people, random numbers for the others."""
    model = read_model(path)
    for t in model.main.inputs:
        t.shape = tuple(max(n, 1) for n in t.shape)
    if path.stem.startswith("portrait_prisma"):
        images = np.load(Path(str(CORPUS), "data", "faces_24.npz"))["images"].astype(np.float32) / 255
        return [{model.main.inputs[0].name: i} for i in images]
    found = samples_like(model, count, seed=7)
    if path.stem.startswith("mlperf_ad01"):  # spectra in dB; to smaller numbers it always answers the same
        return [{name: 20 * x - 20 for name, x in sample.items()} for sample in found]
    return found


def singles() -> list[Path]:
    return sorted(Path(CORPUS, "singles").glob("*.tflite")) if CORPUS else []


@pytest.mark.parametrize("per_tensor", [False, True], ids=["channel", "tensor"])
@pytest.mark.parametrize("path", [Path(str(CORPUS), "models", f"{n}.tflite") for n in MODELS], ids=lambda p: p.stem)
def test_real_models(path: Path, per_tensor: bool) -> None:
    result = quantize(path, samples_of(path), per_tensor=per_tensor)
    report = result.report
    assert_audit_is_content(result.model)
    assert report.float_operators == 0
    assert report.conv_2d.total == report.conv_2d.int8_weights_int32_bias
    for k in report.certificate.kernel_sets:
        assert k.status == "ran" or k.facts


@pytest.mark.parametrize("path", singles(), ids=lambda p: p.stem)
def test_one_feature_models(path: Path) -> None:
    """All integer, run on the kernel sets, with int8 and with int16 activations."""
    for options in ({}, {"per_tensor": True}, {"activations": "int16"}):
        result = quantize(path, samples_of(path), **options)
        report = result.report
        assert_audit_is_content(result.model)
        assert report.float_operators == 0
        assert all(k.status == "ran" or k.facts for k in report.certificate.kernel_sets)


NAMED = {
    "kwt_non_stream": 20,
    "litert_torchaudio_conformer": 10,
    "aeq_sdpa_composite": 20,
    "litertsmp_silentface": 20,
    "oww_hey_jarvis_v0_1": 200,
    "tflm_trained_lstm": 40,
    "litert_recommendation_rnn_i10o100": 20,
    "tfls_movie_review": 20,
    "dtln_model_1": 20,
    "mtcnn_pnet": 3,
    "mtcnn_rnet": 20,
    "cartoon_whitebox_cartoon_gan_int8": 10,
    "lyra_soundstream_encoder": 30,
}
"""Networks with attention, recurrence, state, control flow, norms in parts, or float left in them; how many samples each gets."""


@pytest.mark.parametrize("name", NAMED)
def test_networks_that_others_leave_in_float(name: str) -> None:
    """All integer, with at least 15 dB, or all that the steps of a fixed output allow."""
    path = Path(str(CORPUS), "models", f"{name}.tflite")
    result = quantize(path, samples_of(path, NAMED[name]))
    report = result.report
    assert_audit_is_content(result.model)
    assert report.float_operators == 0
    floats = [o for o in report.certificate.outputs if o.sqnr_db is not None]
    assert all(o.sqnr_db >= 15 or (o.limit_db is not None and o.sqnr_db >= o.limit_db - 1.5) for o in floats)
    assert all(k.status == "ran" or k.facts for k in report.certificate.kernel_sets)


PEERS = {
    "mlperf_pretrainedResnet": (24.1, 21.5),
    "mlperf_kws_ref_model_float32": (27.1, 26.5),
    "tinymaix_mnist_resnet_f": (37.8, 36.5),
    "aeq_conv_fc_mnist": (39.6, 38.9),
}
"""The better of TensorFlow 2.21's and ai-edge-quantizer 0.10's SQNR in dB, per channel and per tensor, on the same samples."""


def labelled(name: str) -> tuple[np.ndarray, np.ndarray]:
    folder = Path(str(CORPUS), "data")
    if "Resnet" in name:
        z = np.load(folder / "cifar10_1000.npz")
        return z["images"].astype(np.float32), z["labels"]
    if "kws" in name:
        z = np.load(folder / "kws_mfcc_1000.npz")
        return z["x"].astype(np.float32), z["labels"]
    z = np.load(folder / "mnist_2000.npz")
    return z["images"].astype(np.float32)[..., None] / 255, z["labels"]


def outputs(model: Model, data: bytes, images: np.ndarray) -> list[np.ndarray]:
    shape = tuple(max(n, 1) for n in model.main.inputs[0].shape)
    with model_file(data) as path, WorkerProcess() as box:
        box.call(Open(path, "xnnpack", 1))
        found = [box.call(Run(integer_inputs(model, [i.reshape(shape)])))[0] for i in images]
    return [real(y, model.main.outputs[0]) for y in found]


@pytest.mark.parametrize("name", PEERS)
def test_accuracy_is_at_least_the_peers(name: str) -> None:
    """200 samples calibrate, the rest test: SQNR, and label accuracy within half a point of float's."""
    path = Path(str(CORPUS), "models", f"{name}.tflite")
    images, labels = labelled(name)
    images, labels = (images[:1000], labels[:1000]) if os.environ.get("CI") else (images, labels)
    shape = read_model(path).main.inputs[0].shape
    images = images.reshape(len(images), *shape[1:])
    reference = outputs(read_model(path), path.read_bytes(), images[200:])
    truth = np.array([r.argmax() for r in reference]) == labels[200:]
    for per_tensor, floor in zip((False, True), PEERS[name], strict=True):
        figures = []
        for seed in range(3):  # which of the 200 calibrate, and which are held back
            result = quantize(path, images[:200], per_tensor=per_tensor, seed=seed)
            got = outputs(read_model(result.model), result.model, images[200:])
            score = Score()
            for r, y in zip(reference, got, strict=True):
                score.add(r, y)
            figures.append(mean_sqnr([score]))
            hits = np.array([y.argmax() for y in got]) == labels[200:]
            assert hits.mean() >= truth.mean() - 0.005
        assert np.mean(figures) >= floor, figures
