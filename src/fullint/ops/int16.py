"""The int16 column of the op table: operators whose kernels support int16 activations (zero point 0).

The number is the operator version that int16 requires, or 1 if it requires no more than int8 does; the higher of the two is
written. Weights stay int8; a bias is int64. An operator that is not listed computes in int8 between two QUANTIZE, or becomes
a look-up with 65536 entries. (Source: LiteRT, converter/tools/versioning/op_version.cc and each kernel; the op table's test
runs all of them.)
"""

from __future__ import annotations

INT16: dict[str, int] = {
    "CONV_2D": 4,
    "DEPTHWISE_CONV_2D": 5,
    "FULLY_CONNECTED": 7,
    "TRANSPOSE_CONV": 3,
    "BATCH_MATMUL": 3,
    "ADD": 3,
    "SUB": 5,
    "MUL": 4,
    "MAXIMUM": 4,
    "MINIMUM": 4,
    "LESS": 3,
    "LESS_EQUAL": 1,
    "GREATER": 1,
    "GREATER_EQUAL": 3,
    "EQUAL": 5,
    "NOT_EQUAL": 4,
    "SELECT": 1,
    "SELECT_V2": 1,
    "RELU": 3,
    "RELU6": 3,
    "LEAKY_RELU": 2,
    "GELU": 1,
    "EXP": 1,
    "SQRT": 2,
    "RSQRT": 3,
    "LOG": 1,
    "ABS": 3,
    "LOGISTIC": 3,
    "TANH": 3,
    "SOFTMAX": 3,
    "LOOKUP": 1,
    "CAST": 1,
    **dict.fromkeys("RESHAPE SQUEEZE EXPAND_DIMS STRIDED_SLICE SPLIT_V MIRROR_PAD TILE REVERSE_V2".split(), 1),
    "TRANSPOSE": 5,
    "SLICE": 4,
    "GATHER": 4,
    "GATHER_ND": 3,
    "CONCATENATION": 3,
    "PACK": 3,
    "UNPACK": 4,
    "SPLIT": 4,
    "PAD": 3,
    "PADV2": 3,
    "BROADCAST_TO": 3,
    "SPACE_TO_BATCH_ND": 4,
    "BATCH_TO_SPACE_ND": 4,
    "DYNAMIC_UPDATE_SLICE": 4,
    "MAX_POOL_2D": 3,
    "AVERAGE_POOL_2D": 3,
    "RESIZE_NEAREST_NEIGHBOR": 4,
    "RESIZE_BILINEAR": 4,
    "REDUCE_MAX": 3,
    "REDUCE_MIN": 3,
    "TOPK_V2": 3,
    "SHAPE": 1,
    "RANK": 1,
    "MEAN": 3,
    **dict.fromkeys("WHILE IF READ_VARIABLE ASSIGN_VARIABLE".split(), 1),
}
"""LOG and RSQRT lose about 7 of 16 bits where they are steep, since their kernels' tables have 512 entries. They are used
where int8 is too coarse (mixed precision); with `--activations int16` they become look-ups instead."""
