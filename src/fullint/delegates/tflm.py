"""Which operators TensorFlow Lite Micro registers. If one operator of a model is missing, the model does not run at all.

Source: tflite-micro, micro_mutable_op_resolver.h (the Add… functions), and type checks of its kernels where they differ
from LiteRT's: no operator with float data and integer weights (hybrid), no sparse weights.
"""

from __future__ import annotations

from fullint.delegates.conditions import Condition, Custom
from fullint.delegates.table import AcceptanceTable, Row
from fullint.delegates.taken import verdicts
from fullint.delegates.target import DelegateTarget, TargetAnswer
from fullint.model.ir import Model, Op

_SOURCE = "tflite-micro, tensorflow/lite/micro/micro_mutable_op_resolver.h"
KNOWN = (
    "ABS ADD ADD_N ARG_MAX ARG_MIN ASSIGN_VARIABLE AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND BROADCAST_ARGS BROADCAST_TO"
    " CALL_ONCE CAST CEIL CONCATENATION CONV_2D COS CUMSUM DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE DIV"
    " DYNAMIC_UPDATE_SLICE ELU EMBEDDING_LOOKUP EQUAL EXP EXPAND_DIMS FILL FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER"
    " GATHER_ND GREATER GREATER_EQUAL HARD_SWISH IF L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LESS LESS_EQUAL LOG LOGICAL_AND"
    " LOGICAL_NOT LOGICAL_OR LOGISTIC LOG_SOFTMAX MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL PACK PAD PADV2"
    " PRELU QUANTIZE READ_VARIABLE REDUCE_MAX REDUCE_MIN RELU RELU6 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2"
    " ROUND RSQRT SELECT SELECT_V2 SHAPE SIN SLICE SOFTMAX SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE"
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


_ALWAYS: tuple[Condition, ...] = (Custom(_hybrid), Custom(_sparse))
TABLE = AcceptanceTable("tflm", _SOURCE, tuple(Row(kind, (), f"Add… for {kind}") for kind in KNOWN), _ALWAYS)


def _answer(model: Model, detail: str) -> TargetAnswer:
    return TargetAnswer("tflm", TABLE.source, verdicts(model.main, TABLE))


TARGET = DelegateTarget("tflm", _answer)
