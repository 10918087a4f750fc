"""Convert ONNX models to float `.tflite` with onnx2tf; ONNX Runtime computes the expected outputs.

onnx2tf moves the channels of images to the end by heuristics that fit most networks but not all. So each attempt does it in
another way, and the caller uses the first with correct results. Version 2 writes the file itself, version 1 through TensorFlow:

        version 2                                      version 1
    0   constants folded, inputs keep their shape      inputs keep their shape
    1   constants folded, images NHWC                  the same, constants folded
    2   images NHWC                                    constants folded, images NHWC

Folding is by ONNX Runtime: onnx2tf mishandles computed shapes.

    python onnx_float.py REQUEST.json
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

_PLAIN = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.]*")
"""Names that TensorFlow accepts as a scope."""
UNCONVERTIBLE = {
    "DynamicQuantizeLSTM": "a recurrent operator whose weights are quantized already, which no converter takes: export the "
    "float model",
}
"""Operators and why."""
NUMPY = {1: "float32", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "float64", 2: "uint8", 3: "int8"}
"""onnx.TensorProto.DataType -> NumPy type."""


def shapes_of(model: Any, asked: Mapping[str, Any]) -> dict[str, tuple[list[int], str]]:
    """Input name -> (shape, type), with the requested size for a dynamic batch.

    Raises:
        Refused: another dimension is dynamic.
    """
    from worker_protocol import Refused, shape_of

    constants = {t.name for t in model.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in constants]
    found = {}
    for i in inputs:
        kind = i.type.tensor_type
        sizes = [d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in kind.shape.dim]
        fixed = shape_of(asked["shapes"], i.name, len(inputs) == 1) or [
            asked["batch"] if k == 0 and n is None else n for k, n in enumerate(sizes)
        ]
        if None in fixed:
            raise Refused(f'input "{i.name}" has dynamic dimensions {sizes}: give its shape (--shape, shape=)')
        found[i.name] = ([int(n) for n in fixed], NUMPY[kind.elem_type])
    return found


def closed(model: Any, shapes: Mapping[str, tuple[list[int], str]], folder: Path) -> tuple[str, dict[str, str]]:
    """Save the model with fixed shapes and plain input and output names; returns (path, original name -> plain name)."""
    import onnx

    inputs, outputs = list(shapes), [o.name for o in model.graph.output]
    for value in model.graph.input:
        if value.name in shapes:
            for dim, size in zip(value.type.tensor_type.shape.dim, shapes[value.name][0], strict=True):
                dim.dim_value = size
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    plain = {
        n: n if _PLAIN.fullmatch(n) else f"{what}_{i}"
        for what, group in (("in", inputs), ("out", outputs))
        for i, n in enumerate(group)
    }
    for k, node in enumerate(model.graph.node):
        if not _PLAIN.fullmatch(node.name):
            node.name = f"node_{k}"
        for names in (node.input, node.output):
            for i, n in enumerate(names):
                names[i] = plain.get(n, n)
    for value in (*model.graph.input, *model.graph.output):
        value.name = plain.get(value.name, value.name)
    path = folder / "closed.onnx"
    large = model.ByteSize() > 2**30
    onnx.save(onnx.shape_inference.infer_shapes(model) if not large else model, path, save_as_external_data=large)
    return str(path), plain


def folded(path: str, folder: Path) -> str:
    """Save the model with its constants folded, since onnx2tf mishandles computed shapes; returns the path.

    ONNX Runtime folds more than onnxscript, but cannot save some networks whose branches it has folded away: those are
    folded by onnxscript first.
    """
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folder / "folded.onnx")
    try:
        onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except onnxruntime.capi.onnxruntime_pybind11_state.Fail:
        from onnxscript import optimizer

        before = str(folder / "optimized.onnx")
        onnx.save(optimizer.optimize(onnx.load(path)), before)
        onnxruntime.InferenceSession(before, options, providers=["CPUExecutionProvider"])
    return str(folder / "folded.onnx")


def without_network() -> None:
    """Replace the test images that onnx2tf downloads for a check of its own by random ones."""
    import numpy as np
    import onnx2tf.onnx2tf as main_module
    from onnx2tf.utils import common_functions

    def pictures() -> Any:
        return np.random.default_rng(0).random((20, 128, 128, 3), np.float32)

    for module in (common_functions, main_module):
        if hasattr(module, "download_test_image_data"):
            module.download_test_image_data = pictures


def main() -> None:
    """Convert the model that REQUEST.json names."""
    import numpy as np
    import onnx
    import onnx2tf
    import onnxruntime
    import worker_protocol

    asked = worker_protocol.request()
    folder, attempt = Path(asked["folder"]), asked["attempt"]
    try:
        model = onnx.load(asked["model"])
        onnx.checker.check_model(model, full_check=False)
    except Exception as e:
        raise worker_protocol.Refused(f"not a valid ONNX model: {str(e).strip().splitlines()[0]}") from e
    for node in model.graph.node:
        if node.op_type in UNCONVERTIBLE:
            raise worker_protocol.Refused(f'{node.op_type} "{node.output[0]}" is {UNCONVERTIBLE[node.op_type]}')
    shapes = shapes_of(model, asked)
    sample = dict(
        zip(shapes, worker_protocol.drawn(list(shapes.values()), list(shapes), worker_protocol.given(folder)), strict=True)
    )
    try:
        session = onnxruntime.InferenceSession(asked["model"], providers=["CPUExecutionProvider"])
        names = [o.name for o in session.get_outputs()]
        expected = [np.asarray(v) for v in session.run(None, sample)]
    except Exception as e:
        raise RuntimeError(f"ONNX Runtime itself fails on it: {worker_protocol.sentence(e)}") from e
    path, plain = closed(model, shapes, folder)
    direct = int(version("onnx2tf").split(".")[0]) >= 2
    if not direct:
        without_network()
    keeps, folds = (attempt == 0, attempt < 2) if direct else (attempt < 2, attempt > 0)
    onnx2tf.convert(
        input_onnx_file_path=folded(path, folder) if folds else path,
        output_folder_path=str(folder / "made"),
        keep_shape_absolutely_input_names=[plain[n] for n in shapes] if keeps else None,
        output_signaturedefs=True,
        copy_onnx_input_output_names_to_tflite=True,
        verbosity="error",
    )
    made = next((folder / "made").glob("*_float32.tflite"))
    made.rename(folder / "0.tflite")
    versions = {n: version(n) for n in ("onnx2tf", "onnx", *([] if direct else ["tensorflow"]))}
    worker_protocol.write(
        folder, ([(n, plain[n]) for n in shapes], [(n, plain[n]) for n in names]), (list(sample.values()), expected), versions
    )


if __name__ == "__main__":
    from worker_protocol import answered

    answered(main)
