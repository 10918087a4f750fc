"""TensorFlow operators that a converter left as Flex or custom operators, written with TFLite builtins.

    Flex Erf(x)                   =>   SIGN(x) (1 - polynomial(1 / (1 + 0.33 |x|)) EXP(-x^2))      later one look-up
    Flex Asin(x)                  =>   ATAN2(x, SQRT(1 - x^2))
    Flex AvgPool3D([N,D,H,W,C])   =>   AVERAGE_POOL_2D over [N D, H, W, C], then over [N, D, H' W', C]

LiteRT cannot run such a model at all, so this runs before calibration. The result is float arithmetic that equals
TensorFlow's to about 1e-6. Pooling over planes and over rows and columns can be done in two steps, with padding, since the
number of values in a window is the product of both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from fullint.model.ir import Op, Tensor, Uses, constant, twin
from fullint.ops.make import PADDING, make_op, make_reshape
from fullint.passes.engine import No, Rewrite

PREFIX = "Flex"
_ERF = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
"""Abramowitz and Stegun 7.1.26: error below 1.5e-7."""
_ERF_STEP = 0.3275911
_ERFINV_NEAR = (
    1.50140941, 0.246640727, -0.00417768164, -0.00125372503, 0.00021858087, -4.39150654e-06, -3.5233877e-06, 3.43273939e-07,
    2.81022636e-08,
)  # fmt: skip
_ERFINV_FAR = (
    2.83297682, 1.00167406, 0.00943887047, -0.0076224613, 0.00573950773, -0.00367342844, 0.00134934322, 0.000100950558,
    -0.000200214257,
)  # fmt: skip
"""M. Giles, Approximating the erfinv function: polynomials in w - 2.5 and sqrt(w) - 3, w = -log(1 - x^2)."""


def tensorflow_name(op: Op) -> str:
    """TensorFlow's name of a custom operator ("FlexErf" -> "Erf"), or "" for a TFLite builtin."""
    return (op.custom_code or "").removeprefix(PREFIX) if op.kind == "CUSTOM" else ""


class Formula:
    """Builds a chain of element-wise builtins with the shape of `out`."""

    def __init__(self, out: Tensor) -> None:
        self.out = out
        self.ops: list[Op] = []

    def do(self, kind: str, *inputs: Tensor | float, dtype: str = "float32") -> Tensor:
        """Append an operator and return its result; a float input becomes a constant."""
        given = [constant(f"{self.out.name}/{t:.4g}", np.float32(t)) if isinstance(t, float) else t for t in inputs]
        t = twin(self.out, f"{self.out.name}/{kind.lower()}{len(self.ops)}")
        t.dtype = dtype
        self.ops.append(make_op(kind, given, [t]))
        return t

    def polynomial(self, x: Tensor, factors: tuple[float, ...]) -> Tensor:
        """Evaluate a polynomial by Horner's rule; `factors` starts with the constant term."""
        value: Tensor | float = factors[-1]
        for f in reversed(factors[:-1]):
            value = self.do("ADD", self.do("MUL", x, value), f)
        assert isinstance(value, Tensor)
        return value


def _erf(f: Formula, x: Tensor) -> Tensor:
    t = f.do("DIV", f.do("ADD", f.do("MUL", x, 0.0), 1.0), f.do("ADD", f.do("MUL", f.do("ABS", x), _ERF_STEP), 1.0))
    tail = f.do("MUL", f.do("MUL", f.polynomial(t, _ERF), t), f.do("EXP", f.do("NEG", f.do("MUL", x, x))))
    return f.do("MUL", f.do("SIGN", x), f.do("SUB", 1.0, tail))


def _erfinv(f: Formula, x: Tensor) -> Tensor:
    w = f.do("NEG", f.do("LOG", f.do("SUB", 1.0, f.do("MUL", x, x))))
    near = f.polynomial(f.do("SUB", w, 2.5), _ERFINV_NEAR)
    far = f.polynomial(f.do("SUB", f.do("SQRT", w), 3.0), _ERFINV_FAR)
    return f.do("MUL", f.do("SELECT_V2", f.do("LESS", w, 5.0, dtype="bool"), near, far), x)


def _exponentials(f: Formula, x: Tensor, kind: str) -> Tensor:
    return f.do("MUL", f.do(kind, f.do("EXP", x), f.do("EXP", f.do("NEG", x))), 0.5)


def _leg(f: Formula, x: Tensor) -> Tensor:
    """sqrt(1 - x^2)."""
    return f.do("SQRT", f.do("MAXIMUM", f.do("SUB", 1.0, f.do("MUL", x, x)), 0.0))


def _asinh(f: Formula, x: Tensor) -> Tensor:
    root = f.do("SQRT", f.do("ADD", f.do("MUL", x, x), 1.0))
    return f.do("MUL", f.do("SIGN", x), f.do("LOG", f.do("ADD", f.do("ABS", x), root)))


def _acosh(f: Formula, x: Tensor) -> Tensor:
    return f.do("LOG", f.do("ADD", x, f.do("SQRT", f.do("SUB", f.do("MUL", x, x), 1.0))))


def _atanh(f: Formula, x: Tensor) -> Tensor:
    return f.do("MUL", f.do("LOG", f.do("DIV", f.do("ADD", x, 1.0), f.do("SUB", 1.0, x))), 0.5)


UNARY: dict[str, Callable[[Formula, Tensor], Tensor]] = {
    "Acos": lambda f, x: f.do("ATAN2", _leg(f, x), x),
    "Acosh": _acosh,
    "Asin": lambda f, x: f.do("ATAN2", x, _leg(f, x)),
    "Asinh": _asinh,
    "Atan": lambda f, x: f.do("ATAN2", x, f.do("ADD", f.do("MUL", x, 0.0), 1.0)),
    "Atanh": _atanh,
    "Cosh": lambda f, x: _exponentials(f, x, "ADD"),
    "Erf": _erf,
    "Erfc": lambda f, x: f.do("SUB", 1.0, _erf(f, x)),
    "Erfinv": _erfinv,
    "Expm1": lambda f, x: f.do("SUB", f.do("EXP", x), 1.0),
    "Log1p": lambda f, x: f.do("LOG", f.do("ADD", x, 1.0)),
    "Ndtri": lambda f, x: f.do("MUL", _erfinv(f, f.do("SUB", f.do("MUL", x, 2.0), 1.0)), math.sqrt(2.0)),
    "Sinh": lambda f, x: _exponentials(f, x, "SUB"),
    "Tan": lambda f, x: f.do("DIV", f.do("SIN", x), f.do("COS", x)),
}
"""TensorFlow's element-wise functions of one tensor that TFLite lacks."""


POOLS = {"AvgPool3D": "AVERAGE_POOL_2D", "MaxPool3D": "MAX_POOL_2D"}
FROM_TENSORFLOW = frozenset({*UNARY, *POOLS})
"""TensorFlow operators that can be written with builtins."""


def unary_as_builtins(op: Op, uses: Uses) -> Rewrite | No | None:
    """Rewrite a function of one tensor."""
    write, x = UNARY.get(tensorflow_name(op)), op.input(0)
    if write is None or x is None:
        return None
    if x.dtype != "float32" or len(op.outputs) != 1:
        return No(f"its input is {x.dtype}")
    out = op.outputs[0]
    shaped = replace(out, shape=x.shape, shape_signature=x.shape_signature)
    f = Formula(shaped)
    write(f, x)
    f.ops[-1].outputs = [out]
    return Rewrite((op,), tuple(f.ops), f"{tensorflow_name(op)} written with builtins", {out: shaped})


def pool_3d_as_2d(op: Op, uses: Uses) -> Rewrite | No | None:
    """Rewrite AvgPool3D and MaxPool3D as two 2D poolings."""
    name, x = tensorflow_name(op), op.input(0)
    if name not in POOLS or x is None:
        return None
    said = node_attributes(op)
    size: list[int] = said.get("ksize", [])
    stride: list[int] = said.get("strides", [])
    if len(x.shape) != 5 or len(size) != 5 or len(stride) != 5 or said.get("data_format", b"NDHWC") != b"NDHWC":
        return No("its attributes cannot be read, or its layout is not NDHWC")
    n, d, h, w, c = x.shape
    padding = said.get("padding", b"VALID").decode()
    out, ops = op.outputs[0], list[Op]()

    def length(given: int, axis: int) -> int:
        window = 1 if padding == "SAME" else size[axis]
        return -(-(given - window + 1) // stride[axis])

    def step(what: str, shape: tuple[int, ...]) -> Tensor:
        t = twin(out, f"{out.name}/{what}")
        t.shape, t.shape_signature = shape, None
        return t

    def pool(source: Tensor, target: Tensor, window: tuple[int, int], strides: tuple[int, int]) -> None:
        sizes = {"filter_height": window[0], "filter_width": window[1], "stride_h": strides[0], "stride_w": strides[1]}
        ops.append(make_op(POOLS[name], [source], [target], padding=PADDING[padding], **sizes))

    high, wide, deep = length(h, 2), length(w, 3), length(d, 1)
    planes, pooled = step("planes", (n * d, h, w, c)), step("pooled", (n * d, high, wide, c))
    flat, done = step("flat", (n, d, high * wide, c)), step("deep", (n, deep, high * wide, c))
    shaped = replace(out, shape=(n, deep, high, wide, c), shape_signature=None)
    ops.append(make_reshape(x, planes))
    pool(planes, pooled, (size[2], size[3]), (stride[2], stride[3]))
    ops.append(make_reshape(pooled, flat))
    pool(flat, done, (size[1], 1), (stride[1], 1))
    ops.append(make_reshape(done, shaped))
    ops[-1].outputs = [out]
    return Rewrite((op,), tuple(ops), f"{name} written as two {POOLS[name]}", {out: shaped})


def node_attributes(op: Op) -> dict[str, Any]:
    """Attributes of a Flex operator's NodeDef (tensorflow/core/framework/node_def.proto): integers, integer lists, bytes."""
    from flatbuffers import flexbuffers

    if op.custom_options is None:
        return {}
    try:
        node = bytes(flexbuffers.GetRoot(bytearray(op.custom_options.tobytes())).AsVector[1].AsStringBytes)
        entries = [dict(_fields(value)) for number, value in _fields(node) if number == 5]
        return {e[1].decode(): _attribute(e[2]) for e in entries}
    except Exception:  # damaged options count as missing
        return {}


def _attribute(data: bytes) -> Any:
    """The value of an AttrValue: bytes (field 2), an integer (3), a boolean (5), or a list of integers (1)."""
    for number, value in _fields(data):
        if number == 1:
            packed = [v for n, v in _fields(value) if n == 3]
            return [i for v in packed for i in (_numbers(v) if isinstance(v, bytes) else [v])]
        if number in (2, 3, 5):
            return value
    return None


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """(number, value) of each field of a protocol buffer message."""
    at = 0
    while at < len(data):
        tag, at = _number(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = _number(data, at)
            yield tag >> 3, value
        else:
            length, at = _number(data, at) if kind == 2 else (8 if kind == 1 else 4, at)
            yield tag >> 3, data[at : at + length]
            at += length


def _number(data: bytes, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = data[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return value, at


def _numbers(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _number(data, at)
        yield value
