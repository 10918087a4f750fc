"""Front ends: models of Keras, TensorFlow, PyTorch and ONNX as float `.tflite` files, by the tools that are kept for it."""

from fullint.frontends.conversion import Converted, convert, convert_with
from fullint.frontends.environments import Environment, find, setup
from fullint.frontends.formats import FRAMEWORKS, Framework, framework_of

__all__ = [
    "FRAMEWORKS",
    "Converted",
    "Environment",
    "Framework",
    "convert",
    "convert_with",
    "find",
    "framework_of",
    "setup",
]
