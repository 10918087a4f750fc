"""Files of Keras 2, SavedModels, and networks trained with quantization."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from commands import ends, fullint, made_by

from fullint.frontends import conversion
from fullint.frontends.environments import find
from fullint.frontends.formats import FRAMEWORKS
from fullint.model.numerics import dequantize
from fullint.model.numerics import quantize as rounded
from fullint.model.tflite import read_bytes
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import WorkerProcess, model_file

FILES = (
    "old_layers.h5",
    "old_layers.keras",
    "old_layers_saved",
    "functions_as_layers.h5",
    "several_ends.keras",
    "several_ends_saved",
    "recurrent_saved",
    "separable.h5",
)
RUNS = 2


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made by a script in the environment of the command."""
    return made_by("keras", tmp_path_factory.mktemp("keras_2"), "keras_2_networks.py")


@pytest.mark.parametrize("name", FILES)
def test_files_of_keras_2(files: Path, name: str) -> None:
    facts = fullint("convert", name, "-o", "float.tflite", "--force", folder=files)
    assert facts["sqnr_db"] > 90
    outputs = [n for n, _ in ends((files / "float.tflite").read_bytes())[1]]
    assert name != "several_ends.keras" or outputs == ["zeta", "alpha", "mid"]
    assert not name.startswith("old_layers") or outputs == ["scores"]


@pytest.mark.parametrize("form", [".h5", ".keras"])
def test_code_in_a_file_is_not_run(files: Path, form: str) -> None:
    failed = fullint("convert", f"code{form}", "-o", "x.tflite", folder=files, status=2)
    assert "Python code in it, which is not run" in failed["message"] and "Traceback" not in failed["message"]


def test_a_saved_model_has_one_order(files: Path) -> None:
    """That of TensorFlow's converter, in every process."""
    script = """
import json, sys
sys.path.insert(0, sys.argv[1])
import tensorflow as tf
from tensorflow_float import SERVING, convert, of_saved_model
names = [n for n, _ in convert(of_saved_model(sys.argv[2])).checks[SERVING].outputs]
data = tf.lite.TFLiteConverter.from_saved_model(sys.argv[2]).convert()
from tensorflow.lite.python import schema_py_generated as schema
graph = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0)).subgraphs[0]
sizes = [int(graph.tensors[i].shape[-1]) for i in graph.outputs]
print(json.dumps([names, sizes]))
"""
    python = find(FRAMEWORKS["keras"]).python
    command = [python, "-c", script, str(conversion.WORKERS), str(files / "several_ends_saved")]
    found = []
    for _ in range(RUNS):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
    size = {"zeta": 3, "alpha": 2, "mid": 5}
    assert all(f == found[0] for f in found)
    assert [size[n] for n in found[0][0]] == found[0][1]


@pytest.mark.parametrize(("name", "samples"), [("residual", True), ("residual", False), ("tutorial", True)])
def test_what_was_trained_with_quantization_is_as_near_as_tensorflows(files: Path, name: str, samples: bool) -> None:
    given = ["-c", f"{name}_samples.npz"] if samples else []
    report = fullint("quantize", f"{name}.h5", *given, "-o", "out.tflite", "--force", folder=files)
    assert report["float_operators"] == 0
    with np.load(files / f"{name}.npz") as x:
        pictures = x["arr_0"]
    answers = np.load(files / f"{name}_answers.npy")
    theirs = sqnr((files / f"{name}_by_tensorflow.tflite").read_bytes(), pictures, answers)
    ours = sqnr((files / "out.tflite").read_bytes(), pictures, answers)
    print(f"\n{name}: {ours:.1f} dB, TensorFlow {theirs:.1f} dB")
    assert ours > theirs - 0.5


def sqnr(data: bytes, pictures: np.ndarray, answers: np.ndarray) -> float:
    """Of a model whose input and output may be quantized, in dB."""
    main = read_bytes(data).main
    x, y = main.inputs[0], main.outputs[0]
    noise = 0.0
    with model_file(data) as path, WorkerProcess() as worker:
        worker.call(Open(path, "xnnpack", 1))
        for picture, answer in zip(pictures, answers, strict=True):
            given = picture[None] if x.is_float else rounded(picture[None], x.quant, x.dtype)
            (made,) = worker.call(Run([given]))
            real = made if y.is_float else dequantize(made, y.quant)
            noise += float(np.square(real[0] - answer).sum())
    return 10 * float(np.log10(np.square(answers).sum() / max(noise, 1e-9)))
