"""`fullint quantize` on PyTorch models, converted in the environment of `fullint setup torch`."""

from pathlib import Path

import numpy as np
import pytest
from commands import HERE, ends, fullint, quantize

from fullint.model.tflite import read_bytes


def test_a_cnn(torch_files: Path) -> None:
    """Inputs and outputs stay channels first, as the user knows them."""
    report, data = quantize("cnn.pt2", torch_files, "-c", "cnn.npz")
    assert ends(data) == ([("image", (1, 3, 32, 32))], [("output_0", (1, 10)), ("output_1", (1, 32, 16, 16))])
    assert report["certificate"]["sqnr_db"] > 30
    assert report["conv_2d"] == {"total": 1, "int8_weights_int32_bias": 1}


def test_a_transformer_encoder(torch_files: Path) -> None:
    report, data = quantize("encoder.pt2", torch_files, "-c", "encoder.npz")
    assert ends(data) == ([("tokens", (1, 16, 8))], [("output_0", (1, 16, 4))])
    assert report["certificate"]["sqnr_db"] > 25


def test_a_function_of_a_python_file(torch_files: Path) -> None:
    _, data = quantize(f"{HERE / 'torch_networks.py'}:cnn", torch_files, "-c", "cnn.npz")
    assert ends(data)[0] == [("image", (1, 3, 32, 32))]


def test_an_open_batch_is_fixed(torch_files: Path) -> None:
    _, data = quantize("batch.pt2", torch_files, "-c", "cnn.npz")
    assert ends(data)[0] == [("image", (1, 3, 32, 32))]


@pytest.mark.parametrize("form", ["pairs", "folded"])
def test_parameters_of_pt2e_are_honoured(torch_files: Path, form: str) -> None:
    """The grids that PT2E gave weights, inputs and outputs are those of the result."""
    report, data = quantize(f"pt2e_{form}.pt2", torch_files, "-c", "cnn.npz")
    float_file = fullint("convert", f"pt2e_{form}.pt2", "-o", f"{form}.tflite", "--force", folder=torch_files)
    assert float_file["sqnr_db"] > 60
    given = read_bytes((torch_files / f"{form}.tflite").read_bytes()).main
    main = read_bytes(data).main
    codes = [t.quant for op in given.ops if op.kind == "QUANTIZE" for t in op.outputs]
    scales = {float(q.scale[0]) for q in codes if q.scale.size == 1}
    assert len(scales) == 5
    kept = {float(t.quant.scale[0]) for t in main.tensors if t.quant is not None and t.dtype == "int8" and not t.is_constant}
    assert {round(s, 9) for s in scales} <= {round(s, 9) for s in kept}
    weights = {q.scale.tobytes() for q in codes if q.scale.size > 1}
    assert len(weights) == 3
    ours = {
        op.inputs[1].quant.scale.tobytes() for op in main.ops if op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
    }
    assert all(
        any(np.allclose(np.frombuffer(w, np.float32), np.frombuffer(o, np.float32)) for o in ours if len(o) == len(w))
        for w in weights
    )
    assert any(c["rule"] == "honour" for c in report["changes"])
    assert report["certificate"]["sqnr_db"] > 30


def test_a_module_alone_is_refused(torch_files: Path) -> None:
    failed = fullint("convert", f"{HERE / 'torch_networks.py'}:alone", "-o", "x.tflite", folder=torch_files, status=2)
    assert "return (module, (example_input, ...))" in failed["message"]


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "vit_small"])
def test_networks_of_torchvision(tmp_path: Path, name: str) -> None:
    """torchvision is there, also where its compiled operators are for another PyTorch; attention and GELU are recognised."""
    rng = np.random.default_rng(0)
    np.save(tmp_path / "noise.npy", rng.normal(size=(8, 3, 224, 224)).astype(np.float32))
    report, _ = quantize(f"{HERE / 'torchvision_networks.py'}:{name}", tmp_path, "-c", "noise.npy", "--effort", "fast")
    assert report["certificate"]["sqnr_db"] > 10
