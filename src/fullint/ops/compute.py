"""Rows of the operators with weights, and BATCH_MATMUL."""

from __future__ import annotations

from fullint.model.ir import Op
from fullint.ops.base import Observed, OpRow, Role, above_product, static
from fullint.ops.taps import conv_taps, dense_taps, transpose_conv_taps

_ABOVE_PRODUCT = above_product(256.0)
_CLAMPS = ("RELU", "RELU6", "RELU_N1_TO_1")


def _conv_version(op: Op) -> int:
    x, w = op.input(0), op.input(1)
    grouped = x is not None and w is not None and len(x.shape) == 4 and len(w.shape) == 4 and x.shape[3] != w.shape[3]
    return 6 if grouped else 3


def _dense_version(op: Op) -> int:
    if op.input(2) is None:
        return 6
    return 5 if op.options.get("keep_num_dims") else 4


def _transpose_conv_version(op: Op) -> int:
    if op.options.get("fused_activation_function"):
        return 4
    return 3 if op.input(3) is not None else 2


def _dense_refuses(op: Op) -> str | None:
    if op.options.get("weights_format"):
        return "its weights are shuffled (weights_format SHUFFLED4x16INT8)"
    return static(2)(op)


ROWS = (
    OpRow(
        "CONV_2D",
        (Role.OWN, Role.WEIGHT, Role.BIAS),
        (Observed(),),
        _conv_version,
        "kernels/conv.cc",
        "the kernel does not check the bias scale, which must be s_in * s_w",
        axis=0,
        weight=1,
        bias=2,
        demands_bias=True,
        fuses=_CLAMPS,
        least_scale=_ABOVE_PRODUCT,
        taps=conv_taps,
        refuses=static(2),
    ),
    OpRow(
        "DEPTHWISE_CONV_2D",
        (Role.OWN, Role.WEIGHT, Role.BIAS),
        (Observed(),),
        3,
        "kernels/depthwise_conv.cc",
        "output channels run along the last dimension of the weights",
        axis=3,
        weight=1,
        bias=2,
        demands_bias=True,
        depthwise=True,
        fuses=_CLAMPS,
        least_scale=_ABOVE_PRODUCT,
        taps=conv_taps,
        refuses=static(2),
    ),
    OpRow(
        "FULLY_CONNECTED",
        (Role.OWN, Role.WEIGHT, Role.BIAS),
        (Observed(),),
        _dense_version,
        "kernels/fully_connected.cc",
        "per-channel weights; TensorFlow Lite Micro may need --dense-per-tensor",
        more_outputs=True,  # shuffled weights
        axis=0,
        weight=1,
        bias=2,
        fuses=_CLAMPS,
        least_scale=_ABOVE_PRODUCT,
        taps=dense_taps,
        refuses=_dense_refuses,
    ),
    OpRow(
        "TRANSPOSE_CONV",
        (Role.RAW, Role.WEIGHT, Role.OWN, Role.BIAS),
        (Observed(),),
        _transpose_conv_version,
        "kernels/transpose_conv.cc",
        "inputs are (output shape, weights, data, bias)",
        axis=0,
        weight=1,
        bias=3,
        data=2,
        fuses=_CLAMPS,
        least_scale=_ABOVE_PRODUCT,
        taps=transpose_conv_taps,
        refuses=static(3),
    ),
    OpRow(
        "BATCH_MATMUL",
        (Role.OWN, Role.OWN),
        (Observed(),),
        2,
        "kernels/batch_matmul.cc",
        "both operands may be activations",
    ),
)
