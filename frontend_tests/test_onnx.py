"""`fullint quantize` on ONNX models, converted in the environment of `fullint setup onnx`; PyTorch exports them."""

from pathlib import Path

import numpy as np
import pytest
from commands import ends, fullint, made_by, quantize

from fullint.model.tflite import read_bytes


@pytest.fixture(scope="module")
def small_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made with onnx alone."""
    return made_by("onnx", tmp_path_factory.mktemp("onnx"), "onnx_networks.py")


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


@pytest.mark.parametrize(
    ("name", "words", "shape"),
    [
        ("square", (), (1, 4, 4, 4)),
        ("odd", (), (1, 3, 8, 8)),
        ("open", ("--shape", "1,3,8,10"), (1, 3, 8, 10)),
        ("batch4", ("--batch", "4"), (4, 3, 8, 8)),
    ],
)
def test_layouts_sizes_and_names(small_files: Path, name: str, words: tuple[str, ...], shape: tuple[int, ...]) -> None:
    """A picture as wide as it is deep, names that TensorFlow does not take, open sizes."""
    _, data = quantize(f"{name}.onnx", small_files, "--synthetic", *words)
    (found,), _ = ends(data)
    assert found == ("in put/0:1" if name == "odd" else "image", shape)


def test_open_sizes_are_asked_for(small_files: Path) -> None:
    failed = fullint("convert", "open.onnx", "-o", "x.tflite", folder=small_files, status=2)
    assert "give its shape (--shape" in failed["message"] and "Traceback" not in failed["message"]


def test_a_network_that_was_quantized_keeps_its_scales(small_files: Path) -> None:
    """No samples are needed, since every value has them."""
    report, data = quantize("quantized.onnx", small_files)
    main = read_bytes(data).main
    assert [(round(float(t.quant.scale[0]), 6), int(t.quant.zero_point[0])) for t in (*main.inputs, *main.outputs)] == [
        (0.02, -5),
        (0.03, -128),
    ]
    (conv,) = [op for op in main.ops if op.kind == "CONV_2D"]
    assert np.allclose(conv.inputs[1].quant.scale, [0.004, 0.005, 0.006, 0.007])
    assert report["certificate"]["sqnr_db"] > 40


def test_an_input_that_is_an_output_keeps_its_name(small_files: Path) -> None:
    fullint("convert", "handed_on.onnx", "-o", "float.tflite", "--force", folder=small_files)
    data = (small_files / "float.tflite").read_bytes()
    assert [n for n, _ in ends(data)[0]] == ["x", "mask"]
    assert [n for n, _ in read_bytes(data).signatures[0].outputs] == ["y", "mask_out"]


def test_what_cannot_be_converted_is_named(small_files: Path) -> None:
    failed = fullint("convert", "unconvertible.onnx", "-o", "x.tflite", folder=small_files, status=2)
    assert 'DynamicQuantizeLSTM "y"' in failed["message"]


def test_a_branch_by_sizes_is_decided(small_files: Path) -> None:
    """ONNX Runtime cannot save such a network when it has folded the branch."""
    report, _ = quantize("by_size.onnx", small_files, "--synthetic")
    assert report["certificate"]["sqnr_db"] > 30 and report["operators"] == 2


def test_a_branch_by_values_is_refused(small_files: Path) -> None:
    """onnx2tf leaves it to an operator that nothing computes, without a word."""
    failed = fullint("convert", "by_value.onnx", "-o", "x.tflite", folder=small_files, status=2)
    assert 'If "y" has no counterpart in TFLite' in failed["message"] and "export the network without it" in failed["message"]


def test_a_second_quantize_converts_nothing(small_files: Path) -> None:
    first, _ = quantize("square.onnx", small_files, "--synthetic", "--batch", "1")
    again, _ = quantize("square.onnx", small_files, "--synthetic", "--batch", "1")
    assert again["conversion"]["kept"] and again["seconds"]["convert"] < 2
    assert first["certificate"]["sqnr_db"] == again["certificate"]["sqnr_db"]


def test_a_file_that_is_none(small_files: Path) -> None:
    (small_files / "bad.onnx").write_bytes(b"junk")
    failed = fullint("convert", "bad.onnx", "-o", "x.tflite", folder=small_files, status=2)
    assert failed["error"] == "ConversionError" and "not a valid ONNX model" in failed["message"]
