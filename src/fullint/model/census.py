"""What a model is made of, counted: operators by kind, float ones, convolutions with int8 weights."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from fullint.model.ir import Model, Op


@dataclass(frozen=True)
class ConvCount:
    """How many CONV_2D there are, and how many have int8 weights and an int32 bias."""

    total: int
    int8_weights_int32_bias: int


def operator_counts(model: Model) -> dict[str, int]:
    """Operators by kind, the commonest first."""
    counts = Counter(op.kind for _, op in model.ops())
    return dict(sorted(counts.items(), key=lambda kv: (-kv[1], kv[0])))


def is_float_op(op: Op) -> bool:
    """Whether an operator touches a float operand."""
    return any(t.is_float for t in op.values())


def count_float(model: Model) -> int:
    """Operators that touch a float operand."""
    return sum(is_float_op(op) for _, op in model.ops())


def count_conv(model: Model) -> ConvCount:
    """CONV_2D, and those with int8 weights and int32 bias (int64 beside int16 activations)."""
    convs = [op for _, op in model.ops() if op.kind == "CONV_2D"]
    sound = sum(
        (w := op.input(1)) is not None and w.dtype == "int8" and (b := op.input(2)) is not None and b.dtype in ("int32", "int64")
        for op in convs
    )
    return ConvCount(len(convs), sound)
