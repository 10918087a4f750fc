"""Which operators LiteRT's XNNPACK delegate accepts, with the options of the Python wheel (signed and unsigned 8-bit, variables).

Source of every row: LiteRT, tflite/delegates/xnnpack/xnnpack_delegate.cc, the Visit…Node function named in the row (as of
August 2026). The delegate checks operators one at a time. Constants expanded by a DEQUANTIZE or DENSIFY count as constants;
that operator is accepted if all its readers are.
"""

from __future__ import annotations

from fullint.delegates.conditions import (
    OUT,
    Count,
    Custom,
    Never,
    Option,
    Present,
    Rank,
    Ratio,
    SameParameters,
    SameType,
    Static,
    Types,
    Values,
    Weights,
    When,
    ZeroPoint,
    is_float,
    normal,
    quantized,
    ratio,
)
from fullint.delegates.table import AcceptanceTable, Row
from fullint.delegates.taken import verdicts
from fullint.delegates.target import DelegateTarget, TargetAnswer
from fullint.model.ir import Model, Op, Tensor
from fullint.ops.make import ACTIVATIONS

MOST_DIMS = 6
_CLAMPS = tuple(ACTIVATIONS[a] for a in ("NONE", "RELU", "RELU6", "RELU_N1_TO_1"))
_FUSED = Option("fused_activation_function", _CLAMPS, "its fused activation is not RELU, RELU6 or RELU_N1_TO_1")


def _floats(*positions: int) -> Types:
    return Types(positions, is_float, "float32 or float16")


def _either(*positions: int) -> Types:
    return Types(positions, lambda t: is_float(t) or quantized(t, "int8", "uint8"), "float, or int8 or uint8 with one scale")


def _signed(*positions: int) -> Types:
    return Types(positions, lambda t: is_float(t) or quantized(t, "int8"), "float, or int8 with one scale")


def _quantized(*positions: int) -> Types:
    return Types(positions, lambda t: quantized(t, "int8", "uint8"), "int8 or uint8 with one scale")


def _int32(*positions: int) -> Types:
    return Types(positions, lambda t: t.dtype == "int32", "int32")


def _filter(position: int) -> Types:
    def fits(t: Tensor) -> bool:
        return is_float(t) or quantized(t, "uint8") or (t.dtype == "int8" and t.quant is not None and t.quant.scale.size > 0)

    return Types((position,), fits, "float, or int8 or uint8 with scales")


def _bias(position: int) -> Types:
    def fits(t: Tensor) -> bool:
        return is_float(t) or (t.dtype == "int32" and t.quant is not None and t.quant.scale.size > 0 and t.quant.axis == 0)

    return Types((position,), fits, "float, or int32 with scales along axis 0")


def _dynamic(op: Op) -> bool:
    """Whether the operator has float activations and int8 or int4 weights, so that activations are quantized at run time."""
    x, w = op.input(0), op.input(1)
    return x is not None and w is not None and is_float(x) and w.dtype in ("int8", "int4")


def _symmetric(op: Op) -> str | None:
    w = op.input(1)
    if w is not None and w.dtype == "int8" and w.quant is not None and w.quant.per_channel and w.quant.zero_point.any():
        return f'its weights "{w.name}" have zero points other than 0'
    return None


def _pool(op: Op) -> str | None:
    o = op.options
    if o["stride_w"] > o["filter_width"] or o["stride_h"] > o["filter_height"]:
        return "its stride is larger than its window"
    if o["filter_width"] == o["filter_height"] == 1 and max(o["stride_w"], o["stride_h"]) > 1:
        return "its window is 1 x 1 with a stride above 1"
    return None


def _leaky(op: Op) -> str | None:
    alpha, positive = float(op.options.get("alpha", 0.0)), ratio(op, 0)
    if not normal(alpha):
        return f"alpha is {alpha:g}"
    if positive is None:
        return None
    negative = positive * alpha
    if not 1 / 256 <= positive <= 128 or negative < -127.99609375 or negative > 128 or abs(negative) < 1 / 256:
        return f"the scale of its input is {positive:.4g} times the output's, {negative:.4g} times with alpha: not supported"
    return None


def _quantize(op: Op) -> str | None:
    x, y = op.input(0), op.outputs[0]
    if x is None or is_float(x):
        return None
    if x.dtype != y.dtype:
        return f"it converts from {x.dtype} to {y.dtype}, which is not supported"
    value = ratio(op, 0)
    return None if value is not None and 1 / 256 <= value <= 128 else f"input scale / output scale is {value}, not 1/256 to 128"


def _reshape(op: Op) -> str | None:
    t = op.input(1)
    shape = t.array.reshape(-1).tolist() if t is not None and t.buffer is not None else op.options.get("new_shape")
    return "its shape is [-1]" if shape is not None and list(shape) == [-1] else None


def _new_axis(op: Op) -> str | None:
    axis = int(op.options.get("axis", 0))
    return None if all(t is None or axis < len(t.shape) for t in op.inputs) else "its axis is not a dimension of its inputs"


def _blocks(op: Op) -> str | None:
    x, size = op.input(0), int(op.options.get("block_size", 0))
    if size <= 1:
        return f"its block size is {size}"
    if op.kind == "SPACE_TO_DEPTH" and x is not None and (x.shape[1] % size or x.shape[2] % size):
        return "its height or width is not a multiple of the block size"
    return None


def _strides(op: Op) -> str | None:
    x = op.input(0)
    lengths = {t.shape for t in op.inputs[1:] if t is not None}
    if x is not None and lengths != {(len(x.shape),)}:
        return "begin, end and strides do not have one value per dimension"
    return None


def _half_bias(op: Op) -> str | None:
    w, b = op.input(1), op.input(2)
    if w is None or b is None or not is_float(w) or b.dtype == w.dtype or (w.dtype, b.dtype) == ("float16", "float32"):
        return None
    return f"its weights are {w.dtype}, its bias {b.dtype}"


def _one_value(op: Op) -> str | None:
    axes, x = op.input(1), op.input(0)
    if axes is None or axes.buffer is None or x is None:
        return None
    return "it has no axis to reduce" if axes.size == 0 or (not x.shape and axes.size == 1) else None


_UNARY_FLOAT = "ABS CEIL COS EXP FLOOR GELU HARD_SWISH LOG NEG RELU_N1_TO_1 RELU RELU6 ROUND RSQRT SIN SQRT SQUARE".split()
_ANY_RANK = Rank((0,), 0, MOST_DIMS)


def _unary(kind: str, *conditions: object) -> Row:
    return Row(kind, (Count((1, 1)), _ANY_RANK, *conditions), "VisitUnaryNode")  # type: ignore[arg-type]


def _binary(kind: str, *conditions: object) -> Row:
    ranks = Rank((0, 1), 0, MOST_DIMS)
    return Row(kind, (Count((2, 2)), ranks, *conditions), "VisitBinaryNode")  # type: ignore[arg-type]


def _conv(kind: str, axis: int, source: str) -> Row:
    mixed = When(lambda op: kind != "CONV_2D" or not _dynamic(op), (SameType((0, 1, OUT)),))
    return Row(
        kind,
        (
            Count((3, 3)),
            _either(0),
            Rank((0,), 4, 4),
            _filter(1),
            Weights(1, axis),
            Custom(_symmetric),
            Rank((1,), 4, 4),
            Static((1,)),
            Present(2, "bias"),
            _bias(2),
            Rank((2,), 1, 1),
            Static((2,)),
            Custom(_half_bias),
            _either(OUT),
            Rank((OUT,), 4, 4),
            SameType((0, OUT)),
            mixed,
            _FUSED,
        ),
        source,
    )


_AXES = (_int32(1), Rank((1,), 0, 1), Static((1,)), Custom(_one_value), _either(OUT))

TABLE = AcceptanceTable(
    "xnnpack",
    "LiteRT, tflite/delegates/xnnpack/xnnpack_delegate.cc",
    (
        *(_unary(kind, _floats(0, OUT)) for kind in _UNARY_FLOAT),
        _unary("DEQUANTIZE", _quantized(0), _floats(OUT)),
        _unary("ELU", _signed(0, OUT)),
        _unary("LOGISTIC", _either(0, OUT)),
        _unary("TANH", _either(0, OUT)),
        _unary("LEAKY_RELU", _either(0, OUT), Custom(_leaky)),
        _unary("QUANTIZE", _either(0, OUT), Custom(_quantize)),
        *(
            _binary(
                kind, _either(0, 1, OUT), SameType((0, 1, OUT)), Ratio((0,), 1 / 1024, 256), Ratio((1,), 1 / 1024, 256), _FUSED
            )
            for kind in ("ADD", "SUB")
        ),
        _binary("MUL", _either(0, 1, OUT), SameType((0, 1, OUT)), Ratio((0, 1), 1 / 65536, 256), _FUSED),
        _binary("DIV", _floats(0, 1, OUT), _FUSED),
        *(_binary(kind, _floats(0, 1, OUT)) for kind in ("MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE")),
        _binary("PRELU", _floats(0, 1, OUT), Static((1,))),
        _conv("CONV_2D", 0, "VisitConv2DNode"),
        _conv("DEPTHWISE_CONV_2D", 3, "VisitDepthwiseConv2DNode"),
        Row(
            "FULLY_CONNECTED",
            (
                Custom(lambda op: "version 8, sparse weights" if op.version == 8 else None),
                Option("weights_format", (0,), "its weights are shuffled"),
                Count((2, 3)),
                _either(0),
                Rank((1,), 2, 2),
                Types((1,), lambda t: t.dtype in ("float32", "float16", "int8", "uint8", "int4"), "float, int8, uint8 or int4"),
                Weights(1, 0),
                Static((1,)),
                _bias(2),
                Static((2,)),
                Custom(_half_bias),
                _either(OUT),
                SameType((0, OUT)),
                When(lambda op: not _dynamic(op) and not _int4(op), (SameType((0, 1)), ZeroPoint(1, ("int8",)))),
                _FUSED,
            ),
            "VisitFullyConnectedNode",
        ),
        Row(
            "TRANSPOSE_CONV",
            (
                Count((3, 4)),
                _int32(0),
                Rank((0,), 1, 1),
                Static((0,)),
                Rank((1,), 4, 4),
                Static((1,)),
                _either(2),
                Rank((2,), 4, 4),
                _filter(1),
                Weights(1, 0),
                Custom(_symmetric),
                _bias(3),
                Rank((3,), 1, 1),
                Static((3,)),
                _either(OUT),
                Rank((OUT,), 4, 4),
                _FUSED,
            ),
            "VisitTransposeConvNode",
        ),
        Row(
            "BATCH_MATMUL",
            (
                _either(0),
                _filter(1),
                Custom(lambda op: _matmul_axis(op)),
                When(lambda op: not _dynamic(op), (ZeroPoint(1, ("int8",)), SameType((0, 1)))),
                _either(OUT),
                Rank((0, 1), 2, MOST_DIMS),
            ),
            "VisitBatchMatMulNode",
        ),
        Row(
            "CONCATENATION",
            (
                Count((2, 5)),
                _either(OUT),
                Custom(_new_axis),
                SameParameters((OUT, 0, 1, 2, 3, 4), ("uint8",)),
                _either(0, 1, 2, 3, 4),
            ),
            "VisitConcatenationNode",
        ),
        Row("AVERAGE_POOL_2D", (Count((1, 1)), _floats(0, OUT), Custom(_pool), _FUSED), "VisitAveragePool2DNode"),
        Row("MAX_POOL_2D", (Count((1, 1)), _either(0, OUT), Custom(_pool), _FUSED), "VisitMaxPool2DNode"),
        *(
            Row(kind, (Count((2, 2)), _either(0), *_AXES), "VisitReduceNode")
            for kind in ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN")
        ),
        Row(
            "PAD",
            (
                Count((2, 2)),
                _either(0),
                Rank((0, OUT), 1, MOST_DIMS),
                _int32(1),
                Rank((1,), 2, 2),
                Static((1,)),
                _either(OUT),
                Values(1, lambda v: v >= 0, "negative padding is not supported"),
            ),
            "VisitPadNode",
        ),
        Row(
            "RESHAPE",
            (
                Count((1, 2)),
                _either(0, OUT),
                Rank((0, OUT), 0, MOST_DIMS),
                SameParameters((0, OUT)),
                _int32(1),
                Rank((1,), 1, 1),
                Static((1,)),
                Custom(_reshape),
            ),
            "VisitReshapeNode",
        ),
        Row(
            "RESIZE_BILINEAR",
            (Count((2, 2)), _either(0, OUT), Rank((0, OUT), 4, 4), _int32(1), Rank((1,), 1, 1), Static((1,))),
            "VisitResizeBilinearNode",
        ),
        Row(
            "SLICE",
            (
                Types((1, 2), lambda t: t.dtype in ("int32", "int64"), "int32 or int64"),
                Static((1, 2)),
                _either(0, OUT),
                Values(2, lambda v: v > 0, "all sizes must be above 0"),
            ),
            "VisitSliceNode",
        ),
        Row("SOFTMAX", (Option("beta", (1.0,)), Count((1, 1)), _floats(0, OUT)), "VisitSoftmaxNode"),
        Row("SPACE_TO_DEPTH", (Count((1, 1)), _either(0, OUT), Custom(_blocks)), "VisitSpaceToDepthNode"),
        Row("DEPTH_TO_SPACE", (Count((1, 1)), _either(0, OUT), Custom(_blocks)), "VisitDepthToSpaceNode"),
        Row("SPLIT", (Count((2, 2), (2, 4)), _int32(0), Static((0,)), _either(1, OUT)), "VisitSplitNode"),
        Row("TRANSPOSE", (Count((2, 2)), _either(0), Rank((0,), 1, MOST_DIMS), Static((1,))), "VisitTransposeNode"),
        Row(
            "STRIDED_SLICE",
            (
                Option("ellipsis_mask", (0,)),
                Option("new_axis_mask", (0,)),
                Option("shrink_axis_mask", (0,)),
                _int32(1, 2, 3),
                Static((1, 2, 3)),
                Values(3, lambda v: v == 1, "strides other than 1 are not supported"),
                Custom(_strides),
                _either(0, OUT),
            ),
            "VisitStridedSliceNode",
        ),
        Row("EXPAND_DIMS", (Never("EXPAND_DIMS is disabled in the delegate"),), "VisitExpandDimsNode"),
        Row("READ_VARIABLE", (Rank((OUT,), 1, MOST_DIMS), _either(OUT)), "VisitReadVariableNode"),
        Row("ASSIGN_VARIABLE", (_either(1),), "VisitAssignVariableNode"),
        Row(
            "STABLEHLO_COMPOSITE",
            (Custom(lambda op: _attention(op)), Types((0, 1, 2, 3, OUT), lambda t: t.dtype == "float32", "float32")),
            "VisitScaledDotAttentionCompositeNode",
        ),
    ),
)


def _int4(op: Op) -> bool:
    x, w = op.input(0), op.input(1)
    return x is not None and w is not None and x.dtype == "int8" and w.dtype == "int4"


def _matmul_axis(op: Op) -> str | None:
    b = op.input(1)
    axis = -2 if op.options.get("adj_y") else -1
    return Weights(1, axis).no(op, ()) if b is not None else None


def _attention(op: Op) -> str | None:
    name = op.extra[1].get("name") if op.extra else None
    text = name.decode(errors="backslashreplace") if isinstance(name, bytes) else str(name)
    return None if text == "odml.scaled_dot_product_attention" else f"the composite {text} is not supported"


def _answer(model: Model, detail: str) -> TargetAnswer:
    return TargetAnswer("xnnpack", TABLE.source, verdicts(model.main, TABLE, expands=True))


TARGET = DelegateTarget("xnnpack", _answer, node="TfLiteXNNPackDelegate")
