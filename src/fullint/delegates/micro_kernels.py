"""Optimized kernels of microcontrollers, as tables: which operators of an integer model they compute.

TensorFlow Lite Micro replaces its reference kernels by those of Arm's CMSIS-NN (Cortex-M) or Espressif's ESP-NN (ESP32). An
operator, a type or a form that they do not have runs in the reference kernel, at a fraction of the speed, without a word.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fullint.delegates.conditions import Condition, Custom
from fullint.delegates.table import AcceptanceTable, Row
from fullint.model.ir import Model, Op
from fullint.ops.macs import macs


@dataclass(frozen=True)
class SlowOperator:
    """An operator that an optimized library does not compute, or not in its fastest kernel.

    Attributes:
        index, kind, output: of the operator.
        why: the reason.
    """

    index: int
    kind: str
    output: str
    why: str


@dataclass(frozen=True)
class OptimizedKernels:
    """What an optimized library computes of a model.

    Attributes:
        library: its name.
        source: of the table.
        operators: the number of operators that run in its fastest kernels.
        macs_share: their share of the multiply-accumulates.
        slow: the other operators.
    """

    library: str
    source: str
    operators: int
    macs_share: float
    slow: tuple[SlowOperator, ...]


def _activations(*dtypes: str) -> Condition:
    def no(op: Op) -> str | None:
        x = next((t for t in op.inputs if t is not None and not t.is_constant), None)
        wrong = x is not None and x.dtype not in dtypes
        return f"it has {x.dtype} activations; supported: {', '.join(dtypes)}" if wrong and x is not None else None

    return Custom(no)


def _one_shape(op: Op) -> str | None:
    a, b = op.inputs[:2]
    same = a is not None and b is not None and a.shape == b.shape
    return None if same else "its operands have different shapes: it runs in the reference kernel"


def _no_dilation(op: Op) -> str | None:
    factors = [int(op.options.get(f"dilation_{side}_factor") or 1) for side in "wh"]
    return None if factors == [1, 1] else "it is dilated: it runs in the reference kernel"


def _one_filter(op: Op) -> str | None:
    """What arm_depthwise_conv_wrapper_s8 asks for its fast kernels."""
    x, y = op.inputs[0], op.outputs[0]
    assert x is not None
    if y.shape[-1] != x.shape[-1]:
        return f"it has {y.shape[-1] // max(x.shape[-1], 1)} filters per channel: the fast kernels take one"
    if x.shape[0] != 1:
        return f"it has a batch of {x.shape[0]}: the fast kernels take one"
    return "it is dilated: the fast kernels take no dilation" if _no_dilation(op) else None


def _wide_depthwise(op: Op) -> str | None:
    x = op.inputs[0]
    plain = x is not None and x.dtype == "int16"
    return "TensorFlow Lite Micro calls the plain kernel for int16, not the fast one" if plain else None


def _small_strides(op: Op) -> str | None:
    """What arm_transpose_conv_wrapper_s8 asks to compute it as a convolution."""
    x = op.inputs[2]
    if max(int(op.options.get(f"stride_{side}") or 1) for side in "wh") > 2:
        return "its stride is above 2: it is not computed as a convolution"
    few = x is not None and x.shape[-1] <= 16
    return f"it has {x.shape[-1]} channels: it is computed as a convolution from 17" if few and x is not None else None


def _multiple(number: int, what: str) -> Callable[[Op], str | None]:
    def no(op: Op) -> str | None:
        x = op.inputs[0]
        depth = x.shape[-1] if x is not None else 0
        return f"it has {depth} channels: {what} takes multiples of {number}" if depth % number else None

    return no


_8, _16 = _activations("int8"), _activations("int8", "int16")
_MICRO = "tflite-micro, micro/kernels/cmsis_nn"
CMSIS_NN = AcceptanceTable(
    "CMSIS-NN",
    f"{_MICRO}; CMSIS-NN, Source/ConvolutionFunctions",
    (
        Row("ADD", (_16, Custom(_one_shape)), f"{_MICRO}/add.cc"),
        Row("MUL", (_16, Custom(_one_shape)), f"{_MICRO}/mul.cc"),
        Row("AVERAGE_POOL_2D", (_16,), f"{_MICRO}/pooling.cc"),
        Row("MAX_POOL_2D", (_16,), f"{_MICRO}/pooling.cc"),
        Row("BATCH_MATMUL", (_16,), f"{_MICRO}/batch_matmul.cc"),
        Row("CONV_2D", (_16,), f"{_MICRO}/conv.cc"),
        Row("DEPTHWISE_CONV_2D", (_16, Custom(_wide_depthwise), Custom(_one_filter)), "arm_depthwise_conv_wrapper_s8.c"),
        Row("FULLY_CONNECTED", (_16,), f"{_MICRO}/fully_connected.cc"),
        Row("MAXIMUM", (_8,), f"{_MICRO}/maximum_minimum.cc"),
        Row("MINIMUM", (_8,), f"{_MICRO}/maximum_minimum.cc"),
        Row("PAD", (_8,), f"{_MICRO}/pad.cc"),
        Row("PADV2", (_8,), f"{_MICRO}/pad.cc"),
        Row("SOFTMAX", (_16,), f"{_MICRO}/softmax.cc"),
        Row("SVDF", (_8,), f"{_MICRO}/svdf.cc"),
        Row("TRANSPOSE", (_8,), f"{_MICRO}/transpose.cc"),
        Row("TRANSPOSE_CONV", (_8, Custom(_small_strides)), "arm_transpose_conv_wrapper_s8.c"),
        Row("UNIDIRECTIONAL_SEQUENCE_LSTM", (_16,), f"{_MICRO}/unidirectional_sequence_lstm.cc"),
    ),
)
_ESP = "esp-tflite-micro, micro/kernels/esp_nn"
ESP_NN = AcceptanceTable(
    "ESP-NN",
    f"{_ESP}; ESP-NN, src/convolution (the ESP32-S3's depthwise kernel)",
    (
        Row("ADD", (_8, Custom(_one_shape)), f"{_ESP}/add.cc"),
        Row("MUL", (_8, Custom(_one_shape)), f"{_ESP}/mul.cc"),
        Row("AVERAGE_POOL_2D", (_8, Custom(_multiple(4, "the ESP32-S3's pool"))), f"{_ESP}/pooling.cc"),
        Row("MAX_POOL_2D", (_8, Custom(_multiple(4, "the ESP32-S3's pool"))), f"{_ESP}/pooling.cc"),
        Row("CONV_2D", (_8, Custom(_no_dilation)), f"{_ESP}/conv.cc"),
        Row("DEPTHWISE_CONV_2D", (_8, Custom(_no_dilation)), f"{_ESP}/depthwise_conv.cc"),
        Row("FULLY_CONNECTED", (_8,), f"{_ESP}/fully_connected.cc"),
        Row("SOFTMAX", (_8,), f"{_ESP}/softmax.cc"),
    ),
)
LIBRARIES = (CMSIS_NN, ESP_NN)


def optimized(model: Model) -> tuple[OptimizedKernels, ...]:
    """What each library computes of a model's main graph."""
    return tuple(_by(table, model) for table in LIBRARIES)


def _by(table: AcceptanceTable, model: Model) -> OptimizedKernels:
    ops = model.main.ops
    said = {op: _short(table, op) for op in ops}
    total = sum(macs(op) for op in ops) or 1
    return OptimizedKernels(
        table.name,
        table.source,
        sum(why is None for why in said.values()),
        round(sum(macs(op) for op, why in said.items() if why is None) / total, 6),
        tuple(SlowOperator(i, op.kind, op.output_name, why) for i, (op, why) in enumerate(said.items()) if why is not None),
    )


def _short(table: AcceptanceTable, op: Op) -> str | None:
    return table.no(op) if op.kind in table.by_kind else f"{table.name} has no kernel for it"
