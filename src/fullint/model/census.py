"""Counts over a model: operators by type, float operators, convolutions with int8 weights."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from fullint.model.ir import Model, Op


@dataclass(frozen=True)
class ConvCount:
    """The number of CONV_2D, and of those with int8 weights and an int32 (or int64) bias."""

    total: int
    int8_weights_int32_bias: int


def operator_counts(model: Model) -> dict[str, int]:
    """Operator type -> number of operators, most frequent first."""
    counts = Counter(op.kind for _, op in model.ops())
    return dict(sorted(counts.items(), key=lambda kv: (-kv[1], kv[0])))


def is_float_op(op: Op) -> bool:
    """Whether an operator has a float input or output."""
    return any(t.is_float for t in op.values())


def count_float(model: Model) -> int:
    """The number of operators with a float input or output."""
    return sum(is_float_op(op) for _, op in model.ops())


def count_conv(model: Model) -> ConvCount:
    """Count CONV_2D, and those with int8 weights and an int32 bias (int64 with int16 activations)."""
    convs = [op for _, op in model.ops() if op.kind == "CONV_2D"]
    sound = sum(
        (w := op.input(1)) is not None and w.dtype == "int8" and (b := op.input(2)) is not None and b.dtype in ("int32", "int64")
        for op in convs
    )
    return ConvCount(len(convs), sound)
