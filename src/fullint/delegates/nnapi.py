"""Which operators LiteRT's NNAPI delegate accepts, by API level, for an accelerator that computes on integers.

Source of every row: LiteRT, tflite/delegates/nnapi/nnapi_delegate.cc, NNAPIDelegateKernel::Validate, the case of that
operator. Levels: 27 is NNAPI 1.0, 28 is 1.1, 29 is 1.2, 30 is 1.3, 31 is feature level 5; feature levels 6 and up are
1000006 and up.

The delegate itself accepts float operators too, and then asks the driver. Benchmark logs show that an accelerator selected
by name rejects operators with a float operand: google-edgetpu left float CONV_2D, with the QUANTIZE and DEQUANTIZE around
it, to the CPU. `always` expresses this; `integer_only=False` stands for no selected accelerator.
"""

from __future__ import annotations

from fullint.delegates.conditions import (
    OUT,
    Condition,
    Custom,
    Never,
    Option,
    Present,
    Rank,
    SameType,
    Static,
    Types,
    Values,
    Version,
    When,
)
from fullint.delegates.table import AcceptanceTable, Row
from fullint.delegates.taken import verdicts
from fullint.delegates.target import DelegateTarget, TargetAnswer
from fullint.errors import UsageError
from fullint.model.ir import Model, Op, Tensor
from fullint.ops.make import ACTIVATIONS

API_LEVELS = (27, 28, 29, 30, 31, 1000006, 1000007, 1000008)
DEFAULT_LEVEL = 30
ACCELERATORS = ("google-edgetpu",)
"""Accelerators whose behaviour is known from logs."""
FEATURE_6, FEATURE_7 = 1000006, 1000007
_SOURCE = "LiteRT, tflite/delegates/nnapi/nnapi_delegate.cc, NNAPIDelegateKernel::Validate"
_PLAIN = Option("fused_activation_function", (ACTIVATIONS["NONE"],), "it has a fused activation")
_Q8 = ("uint8", "int8")


def _of(*dtypes: str, at: int = 0) -> Types:
    return Types((at,), lambda t: t.dtype in dtypes, " or ".join(dtypes))


_FLOAT_Q8 = _of("float32", *_Q8)
_FLOAT_Q8_INT = _of("float32", *_Q8, "int32")
_FLOAT = _of("float32")


def table(level: int, *, integer_only: bool = True) -> AcceptanceTable:
    """The table of one API level.

    Args:
        level: one of API_LEVELS.
        integer_only: whether to reject float operands, as an accelerator selected by name does.
    """
    rows = (*_arithmetic(level), *_weighted(level), *_shapes(level), *_rest(level))
    always: tuple[Condition, ...] = (Custom(_no_float),) if integer_only else ()
    return AcceptanceTable(f"nnapi:{level}", _SOURCE, rows, always)


def _no_float(op: Op) -> str | None:
    floats = [t for t in op.values() if t.is_float]
    return f'"{floats[0].name}" is {floats[0].dtype}; the accelerator supports integers only' if floats else None


def _since(level: int, least: int) -> tuple[Condition, ...]:
    return (Never(f"it needs API level {least}"),) if level < least else ()


def _row(kind: str, *conditions: Condition | tuple[Condition, ...]) -> Row:
    flat: list[Condition] = []
    for c in conditions:
        flat += c if isinstance(c, tuple) else (c,)
    return Row(kind, tuple(flat), f"case kTfLiteBuiltin{''.join(w.capitalize() for w in kind.split('_'))}")


def _arithmetic(level: int) -> tuple[Row, ...]:
    small = Rank((0, 1), 0, 4)
    either = (_FLOAT_Q8_INT, When(lambda op: _dtype(op) == "int32", (_PLAIN,))) if level >= 30 else (_FLOAT_Q8,)
    sub = ("float32",) + (_Q8 if level >= 29 else ()) + (("int32",) if level >= 30 else ())
    squared = ("float32", *_Q8, "int32") if level >= 30 else ("float32", "uint8") if level >= 29 else ("float32",)
    return (
        _row("ADD", Version(2), either, small),
        _row("MUL", Version(3), either, small),
        _row("SUB", _since(level, 28), Version(3), _of(*sub), small),
        _row("DIV", _since(level, 28), Version(1), _FLOAT, small),
        _row("SQUARED_DIFFERENCE", _since(level, 28), Version(2), _of(*squared), small),
        *(_row(k, _since(level, 29), Version(3), _FLOAT_Q8_INT) for k in ("MAXIMUM", "MINIMUM")),
        *(_row(k, Version(2), _FLOAT_Q8) for k in ("RELU", "RELU_N1_TO_1", "RELU6", "LOGISTIC")),
        _row("TANH", Version(2), _FLOAT_Q8 if level >= 29 else _FLOAT),
        _row("HARD_SWISH", _FLOAT_Q8),
        *(_row(k, _since(level, 29), Version(1), _FLOAT_Q8) for k in ("LEAKY_RELU", "PRELU")),
        _row("ELU", _since(level, 30), Version(1), _FLOAT),
        *(_row(k, _since(level, 29), Version(1), _FLOAT) for k in ("ABS", "EXP", "LOG", "POW", "SIN", "COS", "SQRT")),
        _row("RSQRT", _since(level, 29), Version(2), _FLOAT_Q8 if level >= FEATURE_7 else _FLOAT),
        _row("NEG", _since(level, 29), Version(2), _of("float32", "int32")),
        _row("FLOOR", Version(1)),
        *(
            _row(k, _since(level, 29), Version(2), _of("float32", *_Q8, "bool", "int32"))
            for k in ("LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL", "EQUAL", "NOT_EQUAL")
        ),
        *(_row(k, _since(level, 29), Version(1), _of("bool")) for k in ("LOGICAL_OR", "LOGICAL_AND", "LOGICAL_NOT")),
        _row("SELECT", _since(level, 29), Version(2), _of("float32", "int32", *_Q8, at=1), Custom(_select_shapes)),
    )


def _weighted(level: int) -> tuple[Row, ...]:
    old: tuple[Condition, ...] = ()
    if level < 29:
        old = (_of("float32", "uint8"), Custom(_old_scales), Custom(_one_scale))
    undilated = (Option("dilation_w_factor", (1,)), Option("dilation_h_factor", (1,))) if level < 29 else ()
    grouped = (Custom(_grouped),) if level < 29 else ()
    wide = Types((OUT,), lambda t: t.dtype != "int16", "any type but int16")
    kept = (Option("keep_num_dims", (False, 0), "keep_num_dims needs API level 30"),) if level < 30 else ()
    return (
        _row("CONV_2D", Version(5), old, Present(2, "bias"), undilated, grouped),
        _row("DEPTHWISE_CONV_2D", Version(3), old, undilated),
        _row("FULLY_CONNECTED", Version(5), wide, old, kept),
        _row("TRANSPOSE_CONV", _since(level, 29), Version(4), Static((0, 1))),
        _row(
            "BATCH_MATMUL",
            _since(level, FEATURE_6),
            Version(2),
            _of("float32", "int32", "int8"),
            SameType((0, 1)),
            Rank((0,), 2, 4),
            Custom(_broadcast),
        ),
        _row("UNIDIRECTIONAL_SEQUENCE_LSTM", _since(level, 29), Version(2), Custom(_hybrid)),
        _row("SVDF", _since(level, 28), Version(1), _of("float32", at=1)),
        _row("LSTM", _since(level, 28), Version(3), _of("float32", "uint8", at=2)),
    )


def _shapes(level: int) -> tuple[Row, ...]:
    plain_resize = (Option("align_corners", (False, 0)), Option("half_pixel_centers", (False, 0))) if level <= 29 else ()
    mean = _of("float32", *_Q8, "int16") if level >= 29 else _FLOAT
    pack = _of("int32", "float32", *_Q8) if level >= FEATURE_6 else _of("float32", "int8")
    last = Custom(_last_axis)
    return (
        _row(
            "RESHAPE",
            Version(1),
            _FLOAT_Q8_INT if level >= FEATURE_6 else _FLOAT_Q8,
            Rank((0, OUT), 0, 4),
            Static((1,)),
        ),
        _row("RESIZE_BILINEAR", Version(3), Rank((0,), 4, 4), _FLOAT_Q8 if level >= 29 else _FLOAT, Static((1,)), plain_resize),
        _row("RESIZE_NEAREST_NEIGHBOR", _since(level, 29), Version(3), _FLOAT_Q8, Static((1,)), plain_resize),
        _row("SQUEEZE", _since(level, 28), Version(1)),
        _row("EXPAND_DIMS", _since(level, 29), Version(1), _FLOAT_Q8_INT, _of("int32", at=1), Static((1,))),
        _row("CONCATENATION", Version(2), _PLAIN, Rank((0,), 0, 4), _FLOAT_Q8),
        *(
            _row(k, _since(level, 28 if k == "PAD" else 29), Version(2), _FLOAT_Q8 if level >= 29 else _FLOAT)
            for k in ("PAD", "PADV2")
        ),
        _row("SPACE_TO_BATCH_ND", _since(level, 28), Version(2)),
        _row("BATCH_TO_SPACE_ND", _since(level, 28), Version(2), Static((2,)), Values(2, lambda v: v == 0, "it crops")),
        _row("STRIDED_SLICE", _since(level, 28), Version(2), _FLOAT_Q8),
        _row("SLICE", _since(level, 29), Version(2), _FLOAT_Q8_INT, _of("int32", at=1), _of("int32", at=2)),
        _row("TRANSPOSE", _since(level, 28), Version(2), Static((1,))),
        _row("SPACE_TO_DEPTH", Version(2), _FLOAT_Q8),
        _row("DEPTH_TO_SPACE", _FLOAT_Q8),
        _row("MEAN", _since(level, 28), Version(2), mean, Rank((OUT,), 1, 8), Rank((0,), 0, 4)),
        *(_row(k, _since(level, 29), Version(2), _FLOAT_Q8, Rank((0,), 1, 8)) for k in ("REDUCE_MAX", "REDUCE_MIN")),
        *(_row(k, _since(level, 29), Version(1), _FLOAT, Rank((OUT,), 1, 8)) for k in ("SUM", "REDUCE_PROD")),
        _row(
            "SPLIT",
            _since(level, 29),
            Version(3),
            _of("float32", "uint8", "int32", *(("int8",) if level >= 30 else ()), at=1),
            Static((0,)),
        ),
        _row("SPLIT_V", _since(level, 30), Version(2), _FLOAT_Q8_INT, Static((1, 2))),
        _row("PACK", _since(level, 30), Version(2), pack, last),
        _row("UNPACK", _since(level, 30), Version(2), _FLOAT_Q8, Rank((0,), 2, 4), last),
        _row("TILE", _since(level, 29), Version(1), _FLOAT_Q8_INT, _of("int32", at=1)),
        _row("GATHER", _since(level, 29), Version(2), _FLOAT_Q8_INT, _of("int32", at=1), Rank((1,), 1, 8)),
        _row("TOPK_V2", _since(level, 29), Version(2), _FLOAT_Q8_INT, Static((1,))),
        _row("MIRROR_PAD", _since(level, FEATURE_7), Version(2), _FLOAT_Q8_INT),
        _row("REVERSE_V2", _since(level, FEATURE_7), Version(3), _FLOAT_Q8_INT),
    )


def _rest(level: int) -> tuple[Row, ...]:
    signed = level >= 30
    symmetric = (When(lambda op: _dtype(op) == "int8", (Custom(_zero_point),)),) if level == 29 else ()
    return (
        _row("AVERAGE_POOL_2D", Version(2), _FLOAT_Q8),
        _row("MAX_POOL_2D", Version(2), _FLOAT_Q8),
        _row("L2_POOL_2D", Version(1), _FLOAT),
        _row("L2_NORMALIZATION", Version(2), _PLAIN, _FLOAT_Q8 if level >= 29 else _FLOAT),
        _row("LOCAL_RESPONSE_NORMALIZATION", Version(1)),
        _row("SOFTMAX", Version(2, exact=True), _FLOAT_Q8, _of("float32", *_Q8, at=OUT), Rank((0,), 0, 4)),
        _row("LOG_SOFTMAX", _since(level, 29), Version(1), _FLOAT),
        *(_row(k, _since(level, 29), Version(2), _FLOAT_Q8_INT, _of("int32", at=OUT)) for k in ("ARG_MAX", "ARG_MIN")),
        _row("CAST", _since(level, 29), Version(1), _FLOAT_Q8_INT if signed else _of("float32", "int32", "uint8")),
        _row("DEQUANTIZE", Version(2), _of(*_Q8) if level >= 29 else _of("uint8"), symmetric),
        _row(
            "QUANTIZE",
            _since(level, 29),
            Version(2),
            _of("float32", *_Q8, "int16"),
            _of(*_Q8, at=OUT) if signed else _of("uint8", at=OUT),
        ),
        _row("EMBEDDING_LOOKUP", Version(1), _of("float32", at=1)),
    )


def _dtype(op: Op) -> str:
    t = op.input(0)
    return t.dtype if t is not None else ""


def _old_scales(op: Op) -> str | None:
    x, w, y = op.input(0), op.input(1), op.outputs[0]
    quants = [t.quant for t in (x, w, y) if t is not None and t.quant is not None and t.quant.scale.size and not t.is_float]
    if len(quants) < 3 or float(quants[0].scale[0]) * float(quants[1].scale[0]) < float(quants[2].scale[0]):
        return None
    return "input scale * weight scale is not below the output scale, as API levels below 29 require"


def _one_scale(op: Op) -> str | None:
    w = op.input(1)
    many = w is not None and w.quant is not None and w.quant.per_channel and op.kind == "CONV_2D"
    return "its weights are per-channel, which needs API level 29" if many else None


def _grouped(op: Op) -> str | None:
    x, w = op.input(0), op.input(1)
    return "it is a grouped convolution" if x is not None and w is not None and x.shape[-1:] != w.shape[-1:] else None


def _select_shapes(op: Op) -> str | None:
    a, b = op.input(0), op.input(1)
    return "its condition and values differ in shape" if a is not None and b is not None and a.shape != b.shape else None


def _broadcast(op: Op) -> str | None:
    a, b = op.input(0), op.input(1)
    return "it broadcasts" if a is not None and b is not None and a.shape[:-2] != b.shape[:-2] else None


def _hybrid(op: Op) -> str | None:
    x, w = op.input(0), op.input(2)
    return "it has float data with integer weights" if _mixed(x, w) else None


def _mixed(x: Tensor | None, w: Tensor | None) -> bool:
    return x is not None and w is not None and x.is_float and not w.is_float


def _last_axis(op: Op) -> str | None:
    x, axis = op.input(0), int(op.options.get("axis", 0))
    rank = len(x.shape) if x is not None else 0
    last = rank if op.kind == "PACK" else rank - 1
    return "its axis is the last dimension" if axis in (-1, last) else None


def _zero_point(op: Op) -> str | None:
    x = op.input(0)
    bad = x is not None and x.quant is not None and x.quant.zero_point.any()
    return "its input has a zero point other than 0; at API level 29 int8 must be symmetric" if bad else None


def _level(text: str) -> int:
    if not text:
        return DEFAULT_LEVEL
    if not text.isdecimal() or int(text) not in API_LEVELS:
        raise UsageError(f'nnapi:LEVEL must be one of {", ".join(map(str, API_LEVELS))}, not "{text}"')
    return int(text)


def _answer(model: Model, detail: str) -> TargetAnswer:
    rows = table(_level(detail))
    return TargetAnswer(rows.name, rows.source, verdicts(model.main, rows))


TARGET = DelegateTarget("nnapi", _answer, "LEVEL", "TfLiteNnapiDelegate")
