"""Which operators TensorFlow Lite's GPU delegate takes, by its source: a table, since it runs on a phone.

Every tensor has at most four axes, and is float, or 8-bit where quantized models are allowed (they are by default): the delegate
then computes in float. Of the partitions it takes the largest alone, unless it is told otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping

from fullint.delegates.conditions import Condition, Custom, Static
from fullint.delegates.partitioner import subsets
from fullint.delegates.table import AcceptanceTable, Row
from fullint.delegates.taken import verdicts
from fullint.delegates.target import DelegateTarget, TargetAnswer
from fullint.errors import UsageError
from fullint.model.ir import Graph, Model, Op, Tensor

_SOURCE = "LiteRT, tflite/delegates/gpu/common/model_builder.cc and tools/versioning/gpu_compatibility.cc"
FLOAT_ONLY = "float"
"""What follows the colon where quantized models are not allowed."""
MOST_RANK = 4
_ANY = (
    "ABS ADD ADD_N BATCH_MATMUL CAST COS DEPTH_TO_SPACE DIV ELU EQUAL EXP FLOOR FLOOR_DIV FLOOR_MOD GELU GREATER GREATER_EQUAL"
    " HARD_SWISH LEAKY_RELU LESS LESS_EQUAL LOG LOGICAL_AND LOGISTIC MAXIMUM MINIMUM MUL NEG NOT_EQUAL PACK POW RELU_0_TO_1"
    " RELU_N1_TO_1 RSQRT SELECT SIGN SIN SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE SUB TANH UNPACK"
).split()
_VERSIONS = {
    "AVERAGE_POOL_2D": 2,
    "CONCATENATION": 2,
    "CONV_2D": 6,
    "CUMSUM": 1,
    "DENSIFY": 1,
    "DEPTHWISE_CONV_2D": 6,
    "DEQUANTIZE": 3,
    "FULLY_CONNECTED": 9,
    "GATHER": 1,
    "LSTM": 4,
    "MAX_POOL_2D": 2,
    "ONE_HOT": 1,
    "PAD": 2,
    "PRELU": 1,
    "QUANTIZE": 2,
    "RELU": 2,
    "RELU6": 2,
    "RESHAPE": 1,
    "RESIZE_BILINEAR": 3,
    "RESIZE_NEAREST_NEIGHBOR": 3,
    "SELECT_V2": 1,
    "SLICE": 2,
    "SOFTMAX": 2,
    "SPACE_TO_DEPTH": 2,
    "STRIDED_SLICE": 4,
    "TRANSPOSE_CONV": 3,
    "TRANSPOSE": 4,
}
"""The newest version of an operator that its parser takes, where it has a limit."""
_WITH_CONSTANTS = {
    "FULLY_CONNECTED": (1,),
    "MEAN": (1,),
    "MIRROR_PAD": (1,),
    "PAD": (1,),
    "PADV2": (1,),
    "REDUCE_MAX": (1,),
    "REDUCE_MIN": (1,),
    "REDUCE_PROD": (1,),
    "SUM": (1,),
    "SLICE": (1, 2),
    "TILE": (1,),
    "TRANSPOSE": (1,),
}
"""Operands that have to be constants."""
_BOOL_OUT = frozenset("EQUAL NOT_EQUAL LESS LESS_EQUAL GREATER GREATER_EQUAL LOGICAL_AND".split())
_MORE_IN = {"CAST": ("bool", "int32"), "ONE_HOT": ("int32",), "GATHER": ("int32",), "LOGICAL_AND": ("bool",)}
_MORE_IN |= dict.fromkeys(("SELECT", "SELECT_V2"), ("bool",))
_FOLLOWS = "it is not in the largest partition, and the delegate takes one by default"


def _types(quantized: bool) -> Condition:
    allowed = ("float32", "float16", *(("int8", "uint8") if quantized else ()))

    def no(op: Op) -> str | None:
        outs = (*allowed, *(("bool",) if op.kind in _BOOL_OUT else ()), *(("bool", "int32") if op.kind == "CAST" else ()))
        ins = (*allowed, *_MORE_IN.get(op.kind, ()))
        return _of(op.inputs, ins) or _of(op.outputs, outs)

    return Custom(no)


def _of(tensors: list[Tensor | None] | list[Tensor], allowed: tuple[str, ...]) -> str | None:
    for t in tensors:
        if t is not None and len(t.shape) > MOST_RANK:
            return f'"{t.name}" has {len(t.shape)} axes; supported: up to {MOST_RANK}'
        if t is not None and not t.is_constant and t.dtype not in allowed:
            return f'"{t.name}" is {t.dtype}; supported: {", ".join(allowed)}'
    return None


def _version(op: Op) -> str | None:
    newest = _VERSIONS.get(op.kind)
    return f"its version {op.version} is newer than {newest}, the last it knows" if newest and op.version > newest else None


def table(quantized: bool) -> AcceptanceTable:
    """What the delegate takes, with or without 8-bit models."""
    kinds = dict.fromkeys((*_ANY, *_VERSIONS, *_WITH_CONSTANTS))
    rows = tuple(
        Row(k, (Static(_WITH_CONSTANTS[k]),) if k in _WITH_CONSTANTS else (), "NewOperationParser, CheckGpuDelegateCompatibility")
        for k in kinds
    )
    return AcceptanceTable("gpu", _SOURCE, rows, (Custom(_version), _types(quantized)))


def _answer(model: Model, detail: str) -> TargetAnswer:
    if detail not in ("", FLOAT_ONLY):
        raise UsageError(f'gpu:{FLOAT_ONLY} means without quantized models; there is no "gpu:{detail}"')
    alone = verdicts(model.main, table(quantized=not detail))
    name = f"gpu:{detail}" if detail else "gpu"
    return TargetAnswer(name, _SOURCE, _largest(model.main, alone), once=_largest, alone=alone)


def _largest(graph: Graph, verdict: Mapping[Op, str | None]) -> dict[Op, str | None]:
    """Reject what is not in the largest partition."""
    pieces = [s for s in subsets(graph, [op for op, why in verdict.items() if why is None]) if s.taken]
    largest = set(max(pieces, key=lambda s: len(s.ops)).ops) if pieces else set()
    return {op: why if why is not None or op in largest else _FOLLOWS for op, why in verdict.items()}


TARGET = DelegateTarget("gpu", _answer, FLOAT_ONLY, node="TfLiteGpuDelegateV2")
