"""What TensorFlow Lite Micro runs: by itself where its wheel is installed, else by a table.

One operator that is missing, and the model does not run at all.

Source of the table: tflite-micro, micro_mutable_op_resolver.h (the Add… functions), and the types that its kernels take where
they differ from LiteRT's, seen by running the examples of the op table on the wheel; a test does so again.
"""

from __future__ import annotations

from fullint.delegates import tflm_software
from fullint.delegates.conditions import Condition, Custom
from fullint.delegates.table import AcceptanceTable, Row
from fullint.delegates.taken import verdicts
from fullint.delegates.target import DelegateTarget, Software, TargetAnswer
from fullint.model.ir import Model, Op

_SOURCE = "tflite-micro, tensorflow/lite/micro/micro_mutable_op_resolver.h"
KNOWN = (
    "ABS ADD ADD_N ARG_MAX ARG_MIN ASSIGN_VARIABLE AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND BROADCAST_ARGS BROADCAST_TO"
    " CALL_ONCE CAST CEIL CONCATENATION CONV_2D COS CUMSUM DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE DIV"
    " DYNAMIC_UPDATE_SLICE ELU EMBEDDING_LOOKUP EQUAL EXP EXPAND_DIMS FILL FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER"
    " GATHER_ND GREATER GREATER_EQUAL HARD_SWISH IF L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LESS LESS_EQUAL LOG LOGICAL_AND"
    " LOGICAL_NOT LOGICAL_OR LOGISTIC LOG_SOFTMAX MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL PACK PAD PADV2"
    " PRELU QUANTIZE READ_VARIABLE REDUCE_ALL REDUCE_MAX REDUCE_MIN RELU RELU6 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR"
    " REVERSE_V2 ROUND RSQRT SELECT_V2 SHAPE SIN SLICE SOFTMAX SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE"
    " SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM SVDF TANH TRANSPOSE TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK"
    " VAR_HANDLE WHILE ZEROS_LIKE"
).split()


def _hybrid(op: Op) -> str | None:
    x = next((t for t in op.inputs if t is not None and not t.is_constant), None)
    stored = [t for t in op.inputs if t is not None and t.is_constant and t.quant is not None and t.dtype in ("int8", "uint8")]
    if x is not None and x.is_float and stored and op.kind != "DEQUANTIZE":
        return "it has float data with integer weights; hybrid operators are not supported"
    return None


def _sparse(op: Op) -> str | None:
    return "it has sparse weights" if any(t is not None and t.sparsity is not None for t in op.inputs) else None


_BOTH, _WIDE = frozenset({"int8", "int16"}), frozenset({"int16"})
LACKS = {
    **dict.fromkeys(
        "EXP LOG SQRT SIN COS GELU SELECT TILE RELU_0_TO_1 RELU_N1_TO_1 RELU6 REDUCE_PROD TOPK_V2 RANK".split(), _BOTH
    ),
    **dict.fromkeys("BATCH_TO_SPACE_ND SPACE_TO_BATCH_ND GATHER_ND EQUAL NOT_EQUAL LESS LESS_EQUAL GREATER_EQUAL".split(), _WIDE),
    **dict.fromkeys("MIRROR_PAD REDUCE_MAX REDUCE_MIN RESIZE_BILINEAR".split(), _WIDE),
    **dict.fromkeys(("ARG_MAX", "ARG_MIN"), frozenset({"int64"})),
    "ONE_HOT": frozenset({"int8"}),
    "SELECT_V2": frozenset({"int32"}),
    "SUM": frozenset({"int8"}),
    "GATHER": frozenset({"int16", "int32", "bool"}),
}
"""Operator -> types of activations that its kernel does not take, or computes something else for."""


def _type(op: Op) -> str | None:
    x = op.input(0)
    if x is None or x.dtype not in LACKS.get(op.kind, ()):
        return None
    return "its kernel adds codes" if op.kind == "SUM" else f"its kernel does not take {x.dtype}"


def _result_type(op: Op) -> str | None:
    dtype = op.outputs[0].dtype
    return f"its kernel has no {dtype} results" if dtype in LACKS[op.kind] else None


def _relu6(op: Op) -> str | None:
    x, y = op.input(0), op.outputs[0]
    same = x is not None and x.quant is not None and x.quant.same_as(y.quant)
    return None if same or y.quant is None else "its kernel changes no scale, and the output has another than the input"


_ALWAYS: tuple[Condition, ...] = (Custom(_hybrid), Custom(_sparse))
_OWN: dict[str, tuple[Condition, ...]] = {
    **{kind: (Custom(_type),) for kind in KNOWN if kind in LACKS},
    **{kind: (Custom(_result_type),) for kind in ("ARG_MAX", "ARG_MIN", "SELECT_V2")},
    "RELU6": (Custom(_relu6),),
}
TABLE = AcceptanceTable("tflm", _SOURCE, tuple(Row(kind, _OWN.get(kind, ()), f"Add… for {kind}") for kind in KNOWN), _ALWAYS)


def _answer(model: Model, detail: str) -> TargetAnswer:
    by_table = verdicts(model.main, TABLE)
    if not tflm_software.installed():
        return TargetAnswer("tflm", TABLE.source, by_table)
    refused = tflm_software.verdicts(model)
    wrong = {op: why for op, why in by_table.items() if why is not None and op.kind in ("SUM", "RELU6")}
    return TargetAnswer("tflm", tflm_software.source(), {op: why or wrong.get(op) for op, why in refused.items()}, own=True)


TARGET = DelegateTarget(
    "tflm",
    _answer,
    software=Software("tflm", tflm_software.PACKAGE, "Apache-2.0", tflm_software.installed),
    run=tflm_software.run,
    whole=True,
    lacks=LACKS,
)
