"""ONNX models as float `.tflite` files, by onnx2tf; what the model computes is asked of ONNX Runtime.

onnx2tf moves the channels of images to the end by rules of thumb, which fit most networks but not all. So each attempt
is another way of telling it the layout, and the caller takes the first whose numbers are right:

    0   inputs keep their shape
    1   the same, what is constant folded by ONNX Runtime first
    2   folded, and images NHWC, as onnx2tf likes it

    python onnx_float.py REQUEST.json
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

_PLAIN = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.]*")
"""Names that TensorFlow takes for a scope."""
NUMPY = {1: "float32", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "float64", 2: "uint8", 3: "int8"}
"""onnx.TensorProto.DataType."""


def shapes_of(model: Any, asked: Mapping[str, Any]) -> dict[str, tuple[list[int], str]]:
    """Shape and type of each input; an open batch gets the asked size.

    Raises:
        Refused: another dimension is open.
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
            raise Refused(f'input "{i.name}" has open dimensions {sizes}: give its shape (--shape, shape=)')
        found[i.name] = ([int(n) for n in fixed], NUMPY[kind.elem_type])
    return found


def closed(model: Any, shapes: Mapping[str, tuple[list[int], str]], folder: Path) -> tuple[str, dict[str, str]]:
    """A file of the model with fixed shapes and plain names at its ends, and those names by the user's."""
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
    for node in model.graph.node:
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
    """The model with its constants folded: shapes that are computed confuse onnx2tf."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folder / "folded.onnx")
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return str(folder / "folded.onnx")


def without_network() -> None:
    """onnx2tf fetches pictures for a check of its own where an input looks like one; any numbers do."""
    import numpy as np
    import onnx2tf.onnx2tf as main_module
    from onnx2tf.utils import common_functions

    def pictures() -> Any:
        return np.random.default_rng(0).random((20, 128, 128, 3), np.float32)

    for module in (common_functions, main_module):
        if hasattr(module, "download_test_image_data"):
            module.download_test_image_data = pictures


def main() -> None:
    """Do what REQUEST.json asks for."""
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
        raise worker_protocol.Refused(f"it is no ONNX model, or damaged: {str(e).strip().splitlines()[0]}") from e
    shapes = shapes_of(model, asked)
    sample = dict(zip(shapes, worker_protocol.drawn(list(shapes.values())), strict=True))
    session = onnxruntime.InferenceSession(asked["model"], providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    expected = [np.asarray(v) for v in session.run(None, sample)]
    path, plain = closed(model, shapes, folder)
    without_network()
    onnx2tf.convert(
        input_onnx_file_path=path if attempt == 0 else folded(path, folder),
        output_folder_path=str(folder / "made"),
        keep_shape_absolutely_input_names=None if attempt == 2 else [plain[n] for n in shapes],
        output_signaturedefs=True,
        copy_onnx_input_output_names_to_tflite=True,
        verbosity="error",
    )
    made = next((folder / "made").glob("*_float32.tflite"))
    made.rename(folder / "0.tflite")
    versions = {n: version(n) for n in ("onnx2tf", "onnx", "tensorflow")}
    worker_protocol.write(
        folder, ([(n, plain[n]) for n in shapes], [(n, plain[n]) for n in names]), (list(sample.values()), expected), versions
    )


if __name__ == "__main__":
    from worker_protocol import answered

    answered(main)
