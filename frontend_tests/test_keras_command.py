"""`fullint quantize` on Keras files and SavedModels, converted in the environment of `fullint setup keras`."""

from pathlib import Path

import numpy as np
import pytest
from commands import HERE, ends, fullint, quantize

from fullint.model.numerics import dequantize
from fullint.model.numerics import quantize as rounded
from fullint.model.tflite import read_bytes
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import WorkerProcess, model_file

INPUTS = {("zeta", (1, 16, 16, 3)), ("alpha", (1, 16, 16, 3))}


@pytest.mark.parametrize("name", ["two.keras", "two.h5", "two_saved"])
def test_every_form_of_a_keras_model(keras_files: Path, name: str) -> None:
    report, data = quantize(name, keras_files, "-c", "two.npz")
    assert report["conversion"]["framework"] == "keras"
    inputs, outputs = ends(data)
    assert set(inputs) == INPUTS
    if name != "two_saved":
        assert inputs == [("zeta", (1, 16, 16, 3)), ("alpha", (1, 16, 16, 3))]
        assert outputs == [("scores", (1, 4)), ("odds", (1, 2))]
    near_keras(data, keras_files)


def near_keras(data: bytes, folder: Path) -> None:
    """The integer model beside Keras itself, inputs by name."""
    main = read_bytes(data).main
    with (
        np.load(folder / "two.npz") as x,
        np.load(folder / "two_expected.npz") as y,
        model_file(data) as path,
        WorkerProcess() as box,
    ):
        box.call(Open(path, "xnnpack", 1))
        for i in range(8):
            made = box.call(Run([rounded(x[t.name][i : i + 1], t.quant) for t in main.inputs]))
            real = [dequantize(a, t.quant) for a, t in zip(made, main.outputs, strict=True)]
            by_size = {a.shape[-1]: a for a in real}
            assert np.abs(by_size[4] - y["scores"][i : i + 1]).max() < 0.05
            assert np.abs(by_size[2] - y["odds"][i : i + 1]).max() < 0.02


def test_a_function_of_a_python_file(keras_files: Path) -> None:
    _, data = quantize(f"{HERE / 'keras_networks.py'}:two_of_each", keras_files, "-c", "two.npz")
    assert ends(data)[0] == [("zeta", (1, 16, 16, 3)), ("alpha", (1, 16, 16, 3))]


def test_convert_and_what_follows(keras_files: Path) -> None:
    facts = fullint("convert", "two.keras", "-o", "two.tflite", "--force", folder=keras_files)
    assert facts["schema_version"] == 1 and facts["sqnr_db"] > 90 and facts["versions"]["tensorflow"]
    again = fullint("quantize", "two.tflite", "-c", "two.npz", "-o", "again.tflite", "--force", folder=keras_files)
    assert again["float_operators"] == 0 and again["conversion"] is None


def test_a_file_that_is_none(keras_files: Path) -> None:
    (keras_files / "bad.keras").write_bytes(b"junk")
    failed = fullint("convert", "bad.keras", "-o", "x.tflite", folder=keras_files, status=2)
    assert failed["error"] == "ConversionError" and "not a Keras file" in failed["message"]
    assert not (keras_files / "x.tflite").exists()
