"""`fullint quantize` on ONNX models, converted in the environment of `fullint setup onnx`; PyTorch exports them."""

from pathlib import Path

import pytest
from commands import ends, fullint, made_by, quantize


@pytest.fixture(scope="module")
def onnx_files(torch_files: Path) -> Path:
    """Beside the samples; the exporters need onnx and onnxscript in PyTorch's environment."""
    return made_by("torch", torch_files, "torch_networks.py", "onnx")


@pytest.mark.parametrize("name", ["cnn", "cnn_legacy", "batch"])
def test_a_cnn(onnx_files: Path, name: str) -> None:
    """onnx2tf likes images channels last; inputs and outputs stay as they were, names too."""
    report, data = quantize(f"{name}.onnx", onnx_files, "-c", "cnn.npz")
    names = ("a", "b") if name == "batch" else ("logits", "features")
    assert ends(data) == ([("image", (1, 3, 32, 32))], [(names[0], (1, 10)), (names[1], (1, 32, 16, 16))])
    assert report["certificate"]["sqnr_db"] > 30


@pytest.mark.parametrize("name", ["encoder", "encoder_legacy"])
def test_a_transformer_encoder(onnx_files: Path, name: str) -> None:
    report, data = quantize(f"{name}.onnx", onnx_files, "-c", "encoder.npz")
    assert ends(data) == ([("tokens", (1, 16, 8))], [("scores", (1, 16, 4))])
    assert report["certificate"]["sqnr_db"] > 25
    if name == "encoder_legacy":
        assert report["conversion"]["attempt"] == 1  # shapes that are computed have to be folded first


@pytest.mark.parametrize(
    ("name", "words", "shape"),
    [
        ("square", (), (1, 4, 4, 4)),
        ("odd", (), (1, 3, 8, 8)),
        ("open", ("--shape", "1,3,8,10"), (1, 3, 8, 10)),
        ("batch4", ("--batch", "4"), (4, 3, 8, 8)),
    ],
)
def test_layouts_sizes_and_names(onnx_files: Path, name: str, words: tuple[str, ...], shape: tuple[int, ...]) -> None:
    """A picture as wide as it is deep, names that TensorFlow does not take, open sizes."""
    made_by("onnx", onnx_files, "onnx_networks.py")
    _, data = quantize(f"{name}.onnx", onnx_files, "--synthetic", *words)
    (found,), _ = ends(data)
    assert found == ("in put/0:1" if name == "odd" else "image", shape)


def test_open_sizes_are_asked_for(onnx_files: Path) -> None:
    made_by("onnx", onnx_files, "onnx_networks.py")
    failed = fullint("convert", "open.onnx", "-o", "x.tflite", folder=onnx_files, status=2)
    assert "give its shape (--shape" in failed["message"] and "Traceback" not in failed["message"]


def test_a_file_that_is_none(onnx_files: Path) -> None:
    (onnx_files / "bad.onnx").write_bytes(b"junk")
    failed = fullint("convert", "bad.onnx", "-o", "x.tflite", folder=onnx_files, status=2)
    assert failed["error"] == "ConversionError" and "not a valid ONNX model" in failed["message"]
