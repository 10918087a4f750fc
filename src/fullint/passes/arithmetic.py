"""Operators without a correct int8 kernel, rewritten with operators that compute exactly the same.

SUB(0, x)         =>   NEG(x)
NEG(x)            =>   MUL(x, -1)
SQUARE(x)         =>   MUL(x, x)
ADD_N(a, b, c)    =>   ADD(ADD(a, b), c)
POW(x, 2)         =>   MUL(x, x)               POW(x, 1/2), POW(x, -1/2)  =>  SQRT(x), RSQRT(x)
SUM(x, axes)      =>   MUL(MEAN(x, axes), N)   N = product of the reduced dimensions
POW(a, b)         =>   EXP(MUL(b, LOG(a)))     b computed at run time, a > 0
CAST(bool -> f32) =>   SELECT_V2(b, 1, 0)
L2_POOL_2D(x)     =>   SQRT(AVERAGE_POOL_2D(MUL(x, x)))
"""

from __future__ import annotations

import numpy as np

from fullint.model.ir import Op, Uses, constant, twin
from fullint.ops.make import make_op
from fullint.passes.div import lower_bound
from fullint.passes.engine import No, Rewrite


def neg_as_mul(op: Op, uses: Uses) -> Rewrite | No | None:
    """NEG as MUL by -1: the int8 kernel of NEG ignores scales; that of MUL is correct on every kernel set."""
    if op.kind != "NEG" or not op.outputs[0].is_float:
        return None
    minus = constant(f"{op.outputs[0].name}/minus_one", np.float32(-1))
    return Rewrite((op,), (make_op("MUL", [op.inputs[0], minus], op.outputs),), "NEG written as MUL by -1")


def zero_minus_as_neg(op: Op, uses: Uses) -> Rewrite | No | None:
    """SUB from a constant of zeros as NEG: the scale then follows x, and need not go together with that of a zero.

    In a normalization behind another one the mean is a few rounding errors, of a scale that no sum with a constant allows.
    """
    zero, x = op.input(0), op.input(1)
    if op.kind != "SUB" or zero is None or x is None or not op.outputs[0].is_float or x.is_constant:
        return None
    if zero.buffer is None or zero.dtype != "float32" or not zero.size or zero.array.any():
        return None
    if x.shape == op.outputs[0].shape and not op.options.get("fused_activation_function"):
        return Rewrite((op,), (make_op("NEG", [x], op.outputs),), "SUB from 0 is NEG")
    minus = constant(f"{op.outputs[0].name}/minus_one", np.full(zero.shape, -1, np.float32))
    fused = {"fused_activation_function": op.options.get("fused_activation_function", 0)}
    return Rewrite((op,), (make_op("MUL", [x, minus], op.outputs, **fused),), "SUB from 0 written as MUL by -1")


def square_as_mul(op: Op, uses: Uses) -> Rewrite | No | None:
    """SQUARE as MUL: SQUARE has no int8 kernel."""
    if op.kind != "SQUARE" or not op.outputs[0].is_float or _reads_variable(op, uses):
        return None
    return Rewrite((op,), (make_op("MUL", [op.inputs[0], op.inputs[0]], op.outputs),), "SQUARE written as MUL of x by x")


def _reads_variable(op: Op, uses: Uses) -> bool:
    """Whether the input comes from a READ_VARIABLE: XNNPACK crashes on MUL(x, x) of it, so SQUARE becomes a look-up."""
    x = op.inputs[0]
    before = uses.producer.get(x) if x is not None else None
    return before is not None and before.kind == "READ_VARIABLE"


def pow_as_itself(op: Op, uses: Uses) -> Rewrite | No | None:
    """POW with exponent 2, 0.5 or -0.5 is another operator; other constant exponents become a look-up later."""
    x, e = op.input(0), op.input(1)
    if op.kind != "POW" or x is None or e is None or not op.outputs[0].is_float:
        return None
    if x.buffer is not None and e.buffer is None:
        return _power_of_constant(op)
    if e.buffer is None:
        return _run_time_power(op, uses)
    values = np.unique(e.array)
    if values.size != 1 or x.shape != op.outputs[0].shape:
        return None
    kinds = {2.0: ("MUL", [x, x]), 0.5: ("SQRT", [x]), -0.5: ("RSQRT", [x])}
    if float(values[0]) not in kinds or (values[0] == 2 and _reads_variable(op, uses)):
        return None
    kind, inputs = kinds[float(values[0])]
    return Rewrite((op,), (make_op(kind, inputs, op.outputs),), f"POW of {values[0]:g} is {kind}")


def _power_of_constant(op: Op) -> Rewrite | No | None:
    """POW(c, x): with a scalar c a function of x, left to a look-up; with a vector, EXP(x log c)."""
    base, x, out = op.inputs[0], op.inputs[1], op.outputs[0]
    assert base is not None and x is not None
    if np.unique(base.array).size == 1 and x.shape == out.shape:
        return None
    if not (base.array > 0).all():
        return No("its base is not positive, and its exponent is computed at run time")
    product = twin(out, f"{out.name}/product")
    log = constant(f"{out.name}/log", np.log(base.array).astype(np.float32))
    return Rewrite((op,), (make_op("MUL", [x, log], [product]), make_op("EXP", [product], [out])), "POW written as EXP(x log c)")


def _run_time_power(op: Op, uses: Uses) -> Rewrite | No:
    a, b, out = op.inputs[0], op.inputs[1], op.outputs[0]
    assert a is not None and b is not None
    if lower_bound(a, uses) <= 0:
        return No("its base may be negative, and its exponent is computed at run time")
    log, product = twin(a, f"{out.name}/log"), twin(out, f"{out.name}/product")
    new = (make_op("LOG", [a], [log]), make_op("MUL", [b, log], [product]), make_op("EXP", [product], [out]))
    return Rewrite((op,), new, "POW written with LOG and EXP: its base is positive")


def add_n_as_adds(op: Op, uses: Uses) -> Rewrite | No | None:
    """ADD_N as a chain of ADD: ADD_N has no int8 kernel."""
    if op.kind != "ADD_N" or not op.outputs[0].is_float:
        return None
    out, total = op.outputs[0], op.inputs[0]
    ops = []
    for i, term in enumerate(op.inputs[1:]):
        target = out if i == len(op.inputs) - 2 else twin(out, f"{out.name}/sum{i}")
        ops.append(make_op("ADD", [total, term], [target]))
        total = target
    return Rewrite((op,), tuple(ops), f"ADD_N written as {len(ops)} ADD")


def cast_of_bool(op: Op, uses: Uses) -> Rewrite | No | None:
    """CAST of a boolean to float as a SELECT_V2 of 1 and 0."""
    x = op.input(0)
    if op.kind != "CAST" or x is None or x.dtype != "bool" or op.outputs[0].dtype != "float32":
        return None
    name = op.outputs[0].name
    one, zero = constant(f"{name}/one", np.float32(1)), constant(f"{name}/zero", np.float32(0))
    return Rewrite(
        (op,), (make_op("SELECT_V2", [x, one, zero], op.outputs),), "CAST of a boolean written as SELECT_V2 of 1 and 0"
    )


def sum_as_mean(op: Op, uses: Uses) -> Rewrite | No | None:
    """SUM as MEAN times the count: the reference int8 kernel of SUM is wrong; MEAN is correct on every kernel set."""
    x, axes = op.input(0), op.input(1)
    if op.kind != "SUM" or x is None or axes is None or not op.outputs[0].is_float:
        return None
    if axes.buffer is None or not x.shape:
        return No("its axes are computed at run time, or its input is a scalar")
    count = int(np.prod([x.shape[int(a)] for a in np.unique(axes.array.reshape(-1) % max(len(x.shape), 1))]))
    out = op.outputs[0]
    mean = twin(out, f"{out.name}/mean")
    factor = constant(f"{out.name}/count", np.float32(count))
    new = (
        make_op("MEAN", op.inputs, [mean], keep_dims=op.options.get("keep_dims", False)),
        make_op("MUL", [mean, factor], [out]),
    )
    return Rewrite((op,), new, f"SUM written as MEAN times {count}")


def l2_pool_as_average(op: Op, uses: Uses) -> Rewrite | No | None:
    """L2_POOL_2D as the root of an average of squares: it has no int8 kernel."""
    x = op.input(0)
    if op.kind != "L2_POOL_2D" or x is None or not op.outputs[0].is_float:
        return None
    out = op.outputs[0]
    square, mean = twin(x, f"{out.name}/square"), twin(out, f"{out.name}/mean")
    options = {**op.options}
    fused = options.pop("fused_activation_function", 0)
    new = [make_op("MUL", [x, x], [square]), make_op("AVERAGE_POOL_2D", [square], [mean], **options)]
    if fused == 3:  # the root is never negative: RELU has no effect, RELU6 clips at 6
        root = twin(out, f"{out.name}/root")
        new += [make_op("SQRT", [mean], [root]), make_op("RELU6", [root], [out])]
    else:
        new.append(make_op("SQRT", [mean], [out]))
    return Rewrite((op,), tuple(new), "L2_POOL_2D written as the root of an average of squares")
