"""Front ends: convert models of Keras, TensorFlow, PyTorch and ONNX to float `.tflite` with each framework's own converter."""

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
