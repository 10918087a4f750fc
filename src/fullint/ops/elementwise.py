"""Rows of element-wise operators with an int8 kernel. Functions without one become look-ups and are listed in `traits`."""

from __future__ import annotations

from collections.abc import Sequence

from fullint.model.ir import Op
from fullint.ops.base import KERNEL_SETS, Fault, Fixed, Observed, OpRow, Raw, Role, Same, above_ratio, rank, scale_below, static

_CLAMPS = ("RELU", "RELU6", "RELU_N1_TO_1")
_INTEGERS = ("int32", "int64", "int16", "int8", "uint8", "uint32", "bool")
_SUM, _SUM_INT16 = 2.0**19, 2.0**14
"""2 * s_in / (2^20 * s_out) must be below 1, in ADD's int16 kernel 2 * s_in / (2^15 * s_out): or the process is aborted."""
_NO_REF = {"reference": Fault("the reference kernels do not register it", absent=True)}


def _above_squares(scales: Sequence[float], wide: bool) -> float:
    """4 max(s_in)^2 / (2^14 s_out) must be below 1: the kernel aborts the process otherwise."""
    return 4 * max(scales) ** 2 / 2**14


def _wide_broadcast(op: Op) -> bool:
    a, b = op.input(0), op.input(1)
    return a is not None and b is not None and a.shape != b.shape and max(len(a.shape), len(b.shape)) > 4


def _mul_version(op: Op) -> int:
    a, b, out = op.input(0), op.input(1), op.outputs[0]
    if a is None or b is None or not (a.quant and b.quant and out.quant):
        return 2
    product = float(a.quant.scale[0]) * float(b.quant.scale[0]) / float(out.quant.scale[0])
    return 3 if product >= 1 else 2


def _binary(kind: str, version: object, source: str, because: str = "", steps: int = 1, **more: object) -> OpRow:
    return OpRow(
        kind,
        (Role.OWN, Role.OWN),
        (Observed(),),
        version,  # type: ignore[arg-type]
        source,
        because,
        fuses=_CLAMPS,
        steps=steps,
        **more,  # type: ignore[arg-type]
    )


def _comparison(kind: str) -> OpRow:
    return OpRow(
        kind,
        (Role.SAME, Role.SAME),
        (Raw(),),
        2,
        "kernels/comparisons.cc",
        "equal parameters on both sides make the comparison exact; the kernel requires scales below 1",
        limits=scale_below(1.0),
        int32=True,
    )


def _unary(kind: str, version: int, source: str, because: str = "", **more: object) -> OpRow:
    return OpRow(kind, (Role.OWN,), (Observed(),), version, source, because, **more)  # type: ignore[arg-type]


def _fixed(kind: str, scale: float, zero: int, source: str, **more: object) -> OpRow:
    because = f"the kernel requires output scale {scale:g} and zero point {zero}"
    return OpRow(kind, (Role.OWN,), (Fixed(scale, zero),), 2, source, because, **more)  # type: ignore[arg-type]


def _softmax_steps(op: Op) -> float:
    """What the scale of its input must exceed: beta * scale * 2^26 has to be more than 1; exp of smaller differences is 1.

    Source: kernels/internal/quantization_util.cc, PreprocessSoftmaxScaling, with 5 integer bits.
    """
    beta = float(op.options.get("beta", 1.0) or 1.0)
    return 2.0**-26 / beta if beta > 0 else 0.0


def _many_classes(op: Op) -> bool:
    x = op.input(0)
    return x is not None and bool(x.shape) and x.shape[-1] >= 512


ROWS = (
    _binary("ADD", 2, "kernels/add.cc", least_scale=above_ratio(_SUM, _SUM_INT16)),
    _binary("SUB", lambda op: 3 if _wide_broadcast(op) else 2, "kernels/sub.cc", least_scale=above_ratio(_SUM)),
    _binary("MUL", _mul_version, "kernels/mul.cc"),
    _binary(
        "DIV",
        lambda op: 2 if _wide_broadcast(op) else 1,
        "kernels/internal/reference/div.h",
        "written as a product: the kernel is wrong for small dividends, and a zero divisor is a run-time error",
        faults=dict.fromkeys(KERNEL_SETS, Fault("a small dividend is shifted by more than 31 bits and saturates")),
    ),
    OpRow(
        "SQUARED_DIFFERENCE",
        (Role.OWN, Role.OWN),
        (Observed(),),
        2,
        "kernels/squared_difference.cc",
        least_scale=_above_squares,
    ),
    *(
        OpRow(
            kind,
            (Role.SAME, Role.SAME),
            (Same(),),
            lambda op: 3 if _wide_broadcast(op) else 2,
            "kernels/maximum_minimum.cc",
            "the kernel compares integers: unequal scales are accepted and silently wrong",
        )
        for kind in ("MAXIMUM", "MINIMUM")
    ),
    *(_comparison(k) for k in ("LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL", "EQUAL", "NOT_EQUAL")),
    OpRow(
        "SELECT",
        (Role.RAW, Role.SAME, Role.SAME),
        (Same(),),
        lambda op: 3 if max(rank(op, i) for i in range(3)) == 5 else 1,
        "kernels/select.cc",
    ),
    OpRow(
        "ONE_HOT",
        (Role.RAW, Role.RAW, Role.SAME, Role.SAME),
        (Same(),),
        1,
        "kernels/one_hot.cc",
        "on and off value share the output's parameters",
        refuses=static(2, 3),
    ),
    OpRow("SELECT_V2", (Role.RAW, Role.SAME, Role.SAME), (Same(),), 1, "kernels/select.cc"),
    _unary("RELU", 2, "kernels/activations.cc"),
    _unary("RELU6", 2, "kernels/activations.cc"),
    _unary("RELU_N1_TO_1", 1, "kernels/activations.cc"),
    _unary("RELU_0_TO_1", 1, "kernels/activations.cc"),
    _unary("LEAKY_RELU", 1, "kernels/activations.cc"),
    OpRow("PRELU", (Role.OWN, Role.OWN), (Observed(),), 1, "kernels/activations.cc", "alpha is a constant with its own scale"),
    _unary(
        "HARD_SWISH",
        1,
        "kernels/activations.cc",
        "rejected where the input's scale is 128 times the output's",
        steps=2,
        least_scale=above_ratio(128.0),
    ),
    _unary("GELU", 2, "kernels/activations.cc"),
    _unary("ELU", 1, "kernels/activations.cc", faults=_NO_REF),
    _unary("EXP", 2, "kernels/exp.cc"),
    _unary("LOG", 2, "kernels/elementwise.cc"),
    _unary("SQRT", 2, "kernels/elementwise.cc"),
    _unary("RSQRT", 2, "kernels/elementwise.cc", "a value below the zero point is a run-time error", steps=2),
    _unary("ABS", 2, "kernels/elementwise.cc"),
    _fixed("LOGISTIC", 1 / 256, -128, "kernels/activations.cc", saturates=7.0, int16_saturates=11.1),
    _fixed("TANH", 1 / 128, 0, "kernels/activations.cc", saturates=4.0, int16_saturates=5.9),
    _fixed(
        "SOFTMAX",
        1 / 256,
        -128,
        "kernels/activations.cc",
        converts_types=True,  # int8 input with int16 output is also supported
        least_input=_softmax_steps,
        faults={
            "reference": Fault(
                "the reference kernel aborts the process where the sum of exp(x - max) reaches about 512",
                when=_many_classes,
            )
        },
    ),
    _fixed("LOG_SOFTMAX", 16 / 256, 127, "kernels/activations.cc", least_input=_softmax_steps),
    OpRow(
        "LOOKUP",
        (Role.OWN,),
        (Observed(),),
        1,
        "kernels/cast.cc, kernels/add.cc, kernels/gather.cc",
        "not a TFLite operator: any function of one tensor, written as CAST to int32, ADD 128, GATHER from a table of 256",
    ),
    OpRow(
        "CAST",
        (Role.RAW,),
        (Observed(),),
        1,
        "kernels/quantize.cc",
        "of plain integers to float: becomes int32 with scale 1, then a QUANTIZE to int8, which saturates",
        converts_types=True,
        refuses=lambda op: (
            None if (x := op.input(0)) is not None and x.dtype in _INTEGERS else "its input is not an integer type"
        ),
    ),
    _fixed("L2_NORMALIZATION", 1 / 128, 0, "kernels/l2norm.cc", fuses=()),
)
