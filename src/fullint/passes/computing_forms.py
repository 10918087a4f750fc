"""Operators that compute, written with those that a target has.

RELU6(x)                       =>   MINIMUM(RELU(x), 6)
HARD_SWISH(x)                  =>   MUL(x, MUL(RELU6(ADD(x, 3)), 1/6))
POW(x, 3)                      =>   MUL(MUL(x, x), x)
REDUCE_PROD(x)                 =>   SPLIT(x), MUL of the parts in pairs
LOG_SOFTMAX(x)                 =>   d = x - REDUCE_MAX(x), d - LOG(SUM(EXP(d)))
L2_NORMALIZATION(x)            =>   MUL(x, RSQRT(ADD(SUM(MUL(x, x)), eps)))
MEAN([n, h, w, c], over c)     =>   RESHAPE [n, h w, 1, c] -> MEAN -> RESHAPE
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from fullint.model.ir import Op, Tensor, constant, twin
from fullint.ops.make import ACTIVATIONS, make_op, make_reshape
from fullint.passes.engine import Rewrite

MOST_FACTORS = 16
"""Of a product that is written out."""
OVER_DEPTH = " over depth"
"""Behind the name of a reduction whose kernel takes the last axis only where the others are one."""
_TINY = 1e-6
"""Least sum of squares of L2_NORMALIZATION (LiteRT, kernels/internal/reference/l2normalization.h)."""


def _relu6(op: Op) -> Rewrite | None:
    x, out = op.input(0), op.outputs[0]
    if x is None:
        return None
    above = twin(out, f"{out.name}/above")
    six = constant(f"{out.name}/six", np.float32(6))
    new = (make_op("RELU", [x], [above]), make_op("MINIMUM", [above, six], [out]))
    return Rewrite((op,), new, "the target's RELU6 changes no scale: written as RELU, MINIMUM")


def _hard_swish(op: Op) -> Rewrite | None:
    x, out = op.input(0), op.outputs[0]
    if x is None:
        return None
    part, gate = twin(out, f"{out.name}/relu6"), twin(out, f"{out.name}/gate")
    three, sixth = (constant(f"{out.name}/{n}", np.float32(v)) for n, v in (("three", 3), ("sixth", 1 / 6)))
    new = (
        make_op("ADD", [x, three], [part], fused_activation_function=ACTIVATIONS["RELU6"]),
        make_op("MUL", [part, sixth], [gate]),
        make_op("MUL", [x, gate], [out]),
    )
    return Rewrite((op,), new, "the target has no HARD_SWISH of this type: written as ADD with RELU6, MUL, MUL")


def _pow(op: Op) -> Rewrite | None:
    x, exponent, out = op.input(0), op.input(1), op.outputs[0]
    if x is None or exponent is None or exponent.buffer is None or exponent.array.size != 1 or x.buffer is not None:
        return None
    times = float(exponent.array.reshape(-1)[0])
    if times not in (2.0, 3.0, 4.0):
        return None
    square = out if times == 2 else twin(out, f"{out.name}/square")
    new = [make_op("MUL", [x, x], [square])]
    if square is not out:
        new.append(make_op("MUL", [square, x if times == 3 else square], [out]))
    return Rewrite((op,), tuple(new), f"the target has no POW: to the power of {times:g} written as MUL")


def _reduce_prod(op: Op) -> Rewrite | None:
    x, axes, out = op.input(0), op.input(1), op.outputs[0]
    if x is None or axes is None or axes.buffer is None or axes.array.size != 1 or -1 in x.shape:
        return None
    axis = int(axes.array.reshape(-1)[0]) % len(x.shape)
    count = x.shape[axis]
    if not 2 <= count <= MOST_FACTORS:
        return None
    shape = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
    parts = [Tensor(f"{out.name}/part{i}", shape, x.dtype) for i in range(count)]
    along = constant(f"{out.name}/axis", np.array(axis, np.int32))
    new = [make_op("SPLIT", [along, x], list(parts), num_splits=count)]
    while len(parts) > 1:  # in pairs: the fewest roundings one after the other
        products = [Tensor(f"{out.name}/product{len(parts)}_{i}", shape, x.dtype) for i in range(len(parts) // 2)]
        new += [make_op("MUL", [parts[2 * i], parts[2 * i + 1]], [p]) for i, p in enumerate(products)]
        parts = products + parts[2 * len(products) :]
    return Rewrite((op,), (*new, make_reshape(parts[0], out)), "the target has no REDUCE_PROD: written as MUL of the parts")


def _log_softmax(op: Op) -> Rewrite | None:
    x, out = op.input(0), op.outputs[0]
    if x is None or not x.shape:
        return None
    axis = constant(f"{out.name}/axis", np.array([len(x.shape) - 1], np.int32))
    shape = (*x.shape[:-1], 1)
    top, total, log = (Tensor(f"{out.name}/{name}", shape, x.dtype) for name in ("max", "sum", "log"))
    below, exp = twin(out, f"{out.name}/below"), twin(out, f"{out.name}/exp")
    new = (
        make_op("REDUCE_MAX", [x, axis], [top], keep_dims=True),
        make_op("SUB", [x, top], [below]),
        make_op("EXP", [below], [exp]),
        make_op("SUM", [exp, axis], [total], keep_dims=True),
        make_op("LOG", [total], [log]),
        make_op("SUB", [below, log], [out]),
    )
    return Rewrite((op,), new, "the target has no LOG_SOFTMAX: written with EXP, SUM and LOG")


def _l2_normalization(op: Op) -> Rewrite | None:
    x, out = op.input(0), op.outputs[0]
    if x is None or not x.shape or op.options.get("fused_activation_function"):
        return None
    axis = constant(f"{out.name}/axis", np.array([len(x.shape) - 1], np.int32))
    tiny = constant(f"{out.name}/tiny", np.float32(_TINY))
    shape = (*x.shape[:-1], 1)
    total, above, root = (Tensor(f"{out.name}/{name}", shape, x.dtype) for name in ("sum", "above", "rsqrt"))
    square = twin(out, f"{out.name}/square")
    new = (
        make_op("MUL", [x, x], [square]),
        make_op("SUM", [square, axis], [total], keep_dims=True),
        make_op("ADD", [total, tiny], [above]),
        make_op("RSQRT", [above], [root]),
        make_op("MUL", [x, root], [out]),
    )
    return Rewrite((op,), new, "the target has no L2_NORMALIZATION: written as MUL, SUM, RSQRT, MUL")


def _over_depth(op: Op) -> Rewrite | None:
    x, axes, out = op.input(0), op.input(1), op.outputs[0]
    if x is None or axes is None or axes.buffer is None or len(x.shape) < 3 or -1 in x.shape:
        return None
    last = {int(a) % len(x.shape) for a in axes.array.reshape(-1)} == {len(x.shape) - 1}
    rows = int(np.prod(x.shape[:-1]))
    if not last or x.shape[-1] == 1 or x.shape[-3:-1].count(1) or x.shape[:-3].count(1) < len(x.shape) - 3:
        return None
    flat = Tensor(f"{out.name}/rows", (1, rows, 1, x.shape[-1]), x.dtype)
    reduced = Tensor(f"{out.name}/{op.kind.lower()}", (1, rows, 1, 1), x.dtype)
    axis = constant(f"{out.name}/depth", np.array([3], np.int32))
    new = (make_reshape(x, flat), make_op(op.kind, [flat, axis], [reduced], keep_dims=True), make_reshape(reduced, out))
    return Rewrite((op,), new, f"the target takes {op.kind}{OVER_DEPTH} of one column only: a RESHAPE on both sides")


COMPUTING_FORMS: Mapping[str, Callable[[Op], Rewrite | None]] = {
    "RELU6": _relu6,
    "HARD_SWISH": _hard_swish,
    "POW": _pow,
    "REDUCE_PROD": _reduce_prod,
    "LOG_SOFTMAX": _log_softmax,
    "L2_NORMALIZATION": _l2_normalization,
    f"MEAN{OVER_DEPTH}": _over_depth,
}
"""Operators that compute, or one of their forms, written with others."""
