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


def quantized(path: Path) -> None:
    """A convolution between QuantizeLinear and DequantizeLinear, as ONNX Runtime's quantizer writes it."""
    rng = np.random.default_rng(0)
    given = {
        "x_scale": np.float32(0.02),
        "x_zero": np.int8(-5),
        "w": rng.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8),
        "w_scale": np.float32([0.004, 0.005, 0.006, 0.007]),
        "w_zero": np.zeros(4, np.int8),
        "b": rng.normal(0, 0.1, 4).astype(np.float32),
        "y_scale": np.float32(0.03),
        "y_zero": np.int8(-128),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "x_scale", "x_zero"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "x_scale", "x_zero"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "w_scale", "w_zero"], ["wd"], axis=0),
        helper.make_node("Conv", ["xd", "wd", "b"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("QuantizeLinear", ["r", "y_scale", "y_zero"], ["rq"]),
        helper.make_node("DequantizeLinear", ["rq", "y_scale", "y_zero"], ["y"]),
    ]
    written(path, nodes, ({"x": [1, 3, 8, 10]}, {"y": [1, 4, 8, 10]}), given)


def handed_on(path: Path) -> None:
    """An input that is an output as well, under another name."""
    nodes = [helper.make_node("Mul", ["x", "mask"], ["y"]), helper.make_node("Identity", ["mask"], ["mask_out"])]
    written(path, nodes, ({"x": [1, 6], "mask": [1, 6]}, {"y": [1, 6], "mask_out": [1, 6]}), {})


def unconvertible(path: Path) -> None:
    """An operator that ONNX Runtime's quantizer puts in the place of LSTM."""
    node = helper.make_node("DynamicQuantizeLSTM", ["x"], ["y"], domain="com.microsoft", hidden_size=4)
    written(path, [node], ({"x": [1, 2, 3]}, {"y": [1, 1, 2, 4]}), {})


def branching(path: Path, by: str) -> None:
    """A branch: by a size of the input, as scripted networks of PyTorch have them, or by a value that comes at run time."""
    rng = np.random.default_rng(0)
    weights = numpy_helper.from_array(rng.normal(0, 0.3, (8, 8)).astype(np.float32))
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    dense = [helper.make_node("Constant", [], ["w"], value=weights), helper.make_node("MatMul", ["h", "w"], ["out"])]
    branches = {
        "then_branch": helper.make_graph(dense, "dense", [], [out]),
        "else_branch": helper.make_graph([helper.make_node("Identity", ["h"], ["out"])], "same", [], [out]),
    }
    how = {
        "size": [
            helper.make_node("Shape", ["x"], ["sizes"]),
            helper.make_node("Gather", ["sizes", "one"], ["size"]),
            helper.make_node("Equal", ["size", "eight"], ["is"]),
        ],
        "value": [
            helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
            helper.make_node("Greater", ["sum", "zero"], ["is"]),
        ],
    }[by]
    nodes = [helper.make_node("Tanh", ["x"], ["h"]), *how, helper.make_node("If", ["is"], ["y"], **branches)]
    given = {"one": np.array(1, np.int64), "eight": np.array(8, np.int64), "zero": np.array(0, np.float32)}
    written(path, nodes, ({"x": ["batch", 8]}, {"y": ["batch", 8]}), given)


def written(path: Path, nodes: list, ends: tuple[dict, dict], given: dict) -> None:
    inputs, outputs = ([helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in e.items()] for e in ends)
    graph = helper.make_graph(
        nodes, "net", inputs, outputs, [numpy_helper.from_array(np.asarray(v), n) for n, v in given.items()]
    )
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=sets, ir_version=9), path)


def main(folder: Path) -> None:
    convolution(folder / "square.onnx", [1, 4, 4, 4], channels=4)
    convolution(folder / "odd.onnx", [1, 3, 8, 8], name="in put/0:1")
    convolution(folder / "open.onnx", ["batch", 3, "height", "width"])
    convolution(folder / "batch4.onnx", ["batch", 3, 8, 8])
    quantized(folder / "quantized.onnx")
    handed_on(folder / "handed_on.onnx")
    unconvertible(folder / "unconvertible.onnx")
    branching(folder / "by_size.onnx", "size")
    branching(folder / "by_value.onnx", "value")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
