"""ONNX networks of the tests; `python onnx_networks.py FOLDER` writes them."""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def convolution(path: Path, shape: list, name: str = "image", channels: int = 3) -> None:
    """One convolution of the kernel's size 3, padded, and a RELU."""
    rng = np.random.default_rng(0)
    weights = {"w": rng.normal(0, 0.3, (channels, channels, 3, 3)), "b": rng.normal(0, 0.1, channels)}
    nodes = [helper.make_node("Conv", [name, "w", "b"], ["c"], pads=[1, 1, 1, 1]), helper.make_node("Relu", ["c"], ["out"])]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in (name, "out")]
    initial = [numpy_helper.from_array(v.astype(np.float32), n) for n, v in weights.items()]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], initial)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def main(folder: Path) -> None:
    convolution(folder / "square.onnx", [1, 4, 4, 4], channels=4)
    convolution(folder / "odd.onnx", [1, 3, 8, 8], name="in put/0:1")
    convolution(folder / "open.onnx", ["batch", 3, "height", "width"])
    convolution(folder / "batch4.onnx", ["batch", 3, 8, 8])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
