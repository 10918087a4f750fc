"""How long LiteRT's kernels take with int8 and with int16 activations: what 16 bits cost before anything is run.

    us = a + n b,  n multiply-accumulates where there are some, else elements of the largest activation

Measured by `benchmarks/kernel_times.py`, a few kinds set like their neighbours, on one thread of an x86-64 CPU with AVX-512:
XNNPACK for int8; for int16, which XNNPACK does not take, LiteRT's own kernels. A convolution takes a hundred times as long, a sum
thirteen times, a SOFTMAX three times. QUANTIZE and ADD lie between activations that fit into the first cache (3.3 and 1.8 ns) and
those that do not (5.5 and 2.4).
Other CPUs are faster or slower; ratios between kernels of one library differ less. A target may have a factor of its own
(`targets.Target.int16_factor`); TFLM is priced as LiteRT.
"""

from __future__ import annotations

from dataclasses import dataclass

from fullint.model.ir import Model, Op
from fullint.ops.macs import macs
from fullint.ops.traits import traits_of


@dataclass(frozen=True)
class Linear:
    """Microseconds of a run, and nanoseconds of each multiply-accumulate or element."""

    us: float
    ns: float

    def of(self, n: int) -> float:
        """Microseconds for a number of them."""
        return self.us + self.ns * n / 1000


@dataclass(frozen=True)
class KernelTime:
    """One operator's kernels."""

    int8: Linear
    int16: Linear


def _row(us8: float, ns8: float, us16: float, ns16: float) -> KernelTime:
    return KernelTime(Linear(us8, ns8), Linear(us16, ns16))


KERNEL_TIMES: dict[str, KernelTime] = {
    "CONV_2D": _row(0.25, 0.005, 2.0, 0.58),
    "DEPTHWISE_CONV_2D": _row(0.89, 0.063, 5.5, 2.12),
    "TRANSPOSE_CONV": _row(0.25, 0.005, 2.0, 0.58),
    "FULLY_CONNECTED": _row(0.15, 0.007, 0.3, 0.58),
    "BATCH_MATMUL": _row(0.3, 0.3, 0.3, 0.75),
    "ADD": _row(0.15, 0.149, 0.3, 2.0),
    "SUB": _row(0.15, 0.142, 0.3, 4.51),
    "MUL": _row(0.15, 0.191, 0.25, 3.86),
    "SQUARED_DIFFERENCE": _row(0.3, 8.0, 0.3, 8.0),
    "MAXIMUM": _row(0.15, 0.033, 0.16, 0.081),
    "MINIMUM": _row(0.15, 0.033, 0.16, 0.081),
    "MEAN": _row(0.2, 0.002, 0.3, 7.56),
    "SUM": _row(0.2, 0.002, 0.3, 7.56),
    "SOFTMAX": _row(0.2, 2.5, 0.3, 7.2),
    "LEAKY_RELU": _row(0.15, 0.035, 0.3, 4.22),
    "LOGISTIC": _row(0.15, 0.052, 0.27, 2.15),
    "TANH": _row(0.15, 0.058, 0.3, 2.18),
    "GELU": _row(0.2, 0.34, 0.28, 1.29),
    "RSQRT": _row(0.3, 60.6, 0.3, 2.2),
    "LOOKUP": _row(0.9, 3.8, 0.9, 3.4),
    "GATHER": _row(0.3, 3.33, 0.3, 2.89),
    "CAST": _row(0.3, 0.071, 0.3, 0.08),
    "QUANTIZE": _row(0.2, 0.1, 0.3, 3.7),
    "MAX_POOL_2D": _row(0.2, 0.186, 0.3, 10.9),
    "AVERAGE_POOL_2D": _row(0.2, 0.186, 0.3, 10.9),
    "CONCATENATION": _row(0.2, 0.018, 0.4, 0.048),
    "RESHAPE": _row(0.1, 0.014, 0.2, 0.01),
}
CHANNELS = 8
"""Input channels that XNNPACK's int8 convolutions read at a time."""
_MOVES = _row(0.15, 0.023, 0.3, 0.37)
_OTHERS = _row(0.3, 0.2, 0.3, 4.0)
"""Kinds that were not measured: as a TRANSPOSE, or as a product."""


def units(op: Op) -> int:
    """Multiply-accumulates; of an operator without, the elements of its largest activation."""
    return macs(op) or max((t.size for t in op.values() if not t.is_constant), default=0)


def _with_padding(op: Op) -> int:
    """Units that XNNPACK's convolutions compute: it fills up input channels to `CHANNELS`."""
    w = op.input(1)
    if op.kind != "CONV_2D" or w is None or len(w.shape) != 4 or not w.shape[3]:
        return units(op)
    return units(op) * -(-w.shape[3] // CHANNELS) * CHANNELS // w.shape[3]


def kernel_us(op: Op, dtype: str) -> float:
    """Microseconds of one run of an operator with activations of a type."""
    row = KERNEL_TIMES.get(op.kind) or (_MOVES if traits_of(op.kind).moves else _OTHERS)
    return row.int16.of(units(op)) if dtype == "int16" else row.int8.of(_with_padding(op))


def is_wide(op: Op) -> bool:
    """Whether an operator reads or writes int16 activations."""
    return any(t.dtype == "int16" for t in op.values() if not t.is_constant)


def operator_us(op: Op) -> float:
    """Microseconds of one run of an operator of an integer model."""
    return kernel_us(op, "int16" if is_wide(op) else "int8")


def model_us(model: Model, int16_factor: float = 0.0) -> float:
    """Microseconds of one run of an integer model's main graph; the bodies of loops count once.

    Args:
        model: all integer.
        int16_factor: how many times as long the target's operators take in int16; 0: as long as LiteRT's kernels do.
    """
    total = 0.0
    for op in model.main.ops:
        total += kernel_us(op, "int8") * int16_factor if int16_factor and is_wide(op) else operator_us(op)
    return total
