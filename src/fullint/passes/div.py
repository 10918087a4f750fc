"""DIV written as a product: the int8 DIV kernel is wrong for small dividends.

    a / c           =>   a * (1/c)                        c constant
    a / b           =>   a * DIV(1, b)                    DIV(1, b), a function of b, becomes a look-up
    for targets without look-ups:
    a / b           =>   a * exp(-log(b))                 b provably positive
    a / b           =>   (a * b) * exp(-log(b * b))       otherwise

Why: LiteRT's kernel shifts the quotient right by recip_shift + headroom - output_shift bits. For a dividend of a few
steps, this exceeds 31, the shift wraps, and -0.03 / 2 gives -11.9, on every kernel set
(kernels/internal/reference/div.h; the op table's test shows it). LOG and EXP are table look-ups in int8, correct over the
whole range.
"""

from __future__ import annotations

import numpy as np

from fullint.model.ir import Op, Tensor, Uses, constant, twin
from fullint.ops.make import make_op
from fullint.passes.engine import No, Rewrite

_NOT_NEGATIVE = frozenset("EXP ABS SQRT RSQRT LOGISTIC SOFTMAX RELU RELU6 SQUARE SQUARED_DIFFERENCE".split())
_POSITIVE = frozenset("EXP LOGISTIC RSQRT".split())
_DEPTH = 12


def div_as_product(op: Op, uses: Uses) -> Rewrite | No | None:
    """Rewrite a float DIV as a product with 1 / b."""
    a, b = op.input(0), op.input(1)
    if op.kind != "DIV" or a is None or b is None or not op.outputs[0].is_float:
        return None
    out, fused = op.outputs[0], op.options.get("fused_activation_function", 0)
    if b.buffer is not None and b.dtype == "float32":
        with np.errstate(divide="ignore"):
            inverse = (1 / b.array.astype(np.float64)).astype(np.float32)
        if not np.isfinite(inverse).all():
            return No("it divides by a constant zero")
        factor = constant(f"{b.name}/inverse", inverse)
        new = make_op("MUL", [a, factor], [out], fused_activation_function=fused)
        return Rewrite((op,), (new,), "DIV by a constant written as MUL")
    if a.buffer is not None and a.size == 1 and float(a.array.reshape(-1)[0]) == 1 and b.shape == out.shape:
        return None
    one, share = constant(f"{out.name}/one", np.float32(1)), twin(b, f"{out.name}/inverse")
    ops = (make_op("DIV", [one, b], [share]), make_op("MUL", [a, share], [out], fused_activation_function=fused))
    return Rewrite((op,), ops, "DIV written as MUL with 1 / b: the int8 DIV kernel is wrong for small dividends")


def inverse_as_exp(op: Op, uses: Uses) -> Rewrite | No | None:
    """Rewrite DIV(1, b) with LOG and EXP, for targets without look-ups."""
    a, b = op.input(0), op.input(1)
    if op.kind != "DIV" or a is None or b is None or b.buffer is not None or not op.outputs[0].is_float:
        return None
    out, fused = op.outputs[0], op.options.get("fused_activation_function", 0)
    ops: list[Op] = []
    if lower_bound(b, uses) > 0:
        inverse_of, left = b, a
    else:
        inverse_of, left = twin(b, f"{out.name}/square"), twin(out, f"{out.name}/product")
        ops += [make_op("MUL", [b, b], [inverse_of]), make_op("MUL", [a, b], [left])]
    log, minus, inverse_t = (twin(b, f"{out.name}/{n}") for n in ("log", "minus_log", "exp"))
    minus_one = constant(f"{out.name}/minus_one", np.float32(-1))
    ops += [
        make_op("LOG", [inverse_of], [log]),
        make_op("MUL", [log, minus_one], [minus]),
        make_op("EXP", [minus], [inverse_t]),
        make_op("MUL", [left, inverse_t], [out], fused_activation_function=fused),
    ]
    return Rewrite((op,), tuple(ops), "DIV written with LOG and EXP: its int8 kernel is wrong for small dividends")


def lower_bound(t: Tensor, uses: Uses, depth: int = _DEPTH) -> float:
    """A lower bound on the values of `t`, derived from the graph; 0.0 means not negative, -inf unknown."""
    if t.buffer is not None:
        return float(t.array.min(initial=np.inf)) if t.dtype == "float32" else -np.inf
    op = uses.producer.get(t)
    if op is None or depth == 0:
        return -np.inf
    bounds = [lower_bound(x, uses, depth - 1) for x in op.inputs if x is not None and x.is_float]
    match op.kind:
        case "ADD":
            total = sum(bounds)
        case "MAXIMUM":
            total = max(bounds)
        case "MUL" if op.inputs[0] is op.inputs[1] or min(bounds) >= 0:
            total = 0.0 if op.inputs[0] is op.inputs[1] else bounds[0] * bounds[1]
        case "SUM" | "MEAN" | "REDUCE_MAX" | "REDUCE_MIN" | "RESHAPE" | "SQRT":
            total = np.finfo(np.float32).tiny if bounds[0] > 0 else min(bounds[0], 0.0) if bounds[0] < 0 else 0.0
        case _:
            total = -np.inf
    if op.kind in _POSITIVE:
        total = max(total, float(np.finfo(np.float32).tiny))
    elif op.kind in _NOT_NEGATIVE or op.options.get("fused_activation_function") in (1, 3):
        total = max(total, 0.0)
    return total
