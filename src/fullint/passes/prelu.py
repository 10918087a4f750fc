"""Recognise a PRELU that was written with several operators.

    SELECT(GREATER(x, 0), x, MUL(x, alpha))       =>    PRELU(x, alpha)
    SELECT(LESS(x, 0), MUL(x, alpha), x)          =>    PRELU(x, alpha)         LEAKY_RELU if alpha is a scalar

    ADD(RELU(x), MUL(alpha, NEG(RELU(NEG(x)))))   =>    PRELU(x, alpha)

Converters of PyTorch models write the first two forms, and a quantizer that does not support SELECT leaves the convolution
before them in float. Older Keras models use the third.
"""

from __future__ import annotations

import numpy as np

from fullint.model.ir import Op, Tensor, Uses, constant
from fullint.ops.make import make_op
from fullint.passes.engine import Rewrite, private


def prelu_as_itself(op: Op, uses: Uses) -> Rewrite | None:
    """Recognise the pattern at its SELECT."""
    if op.kind not in ("SELECT", "SELECT_V2") or len(op.inputs) != 3 or not op.outputs[0].is_float:
        return None
    condition, yes, no = op.inputs
    compare = uses.producer.get(condition) if condition is not None else None
    if compare is None or yes is None or no is None:
        return None
    if compare.kind in ("LESS", "LESS_EQUAL"):
        yes, no = no, yes
    elif compare.kind not in ("GREATER", "GREATER_EQUAL"):
        return None
    product = uses.producer.get(no)
    if product is None or product.kind != "MUL" or product.options.get("fused_activation_function"):
        return None
    alpha = next((t for t in product.inputs if t is not None and t.buffer is not None), None)
    same = compare.inputs[0] is yes and yes in product.inputs and yes.shape == op.outputs[0].shape
    if alpha is None or not same or not _zero(compare.inputs[1]) or len(yes.shape) < 2:
        return None
    slopes = _slopes(alpha, yes)
    if slopes is None:
        return None
    gone = private(op, [compare, product], uses)
    return _written(op, yes, slopes, gone, "GREATER, MUL, SELECT")


def _written(op: Op, x: Tensor, slopes: Tensor, gone: list[Op], parts: str) -> Rewrite:
    if (slopes.array == slopes.array.reshape(-1)[0]).all():
        leaky = make_op("LEAKY_RELU", [x], op.outputs, alpha=float(slopes.array.reshape(-1)[0]))
        return Rewrite((*gone, op), (leaky,), f"{parts} recognised as LEAKY_RELU")
    return Rewrite((*gone, op), (make_op("PRELU", [x, slopes], op.outputs),), f"{parts} recognised as PRELU")


def prelu_of_relus(op: Op, uses: Uses) -> Rewrite | None:
    """Recognise the pattern with two RELU at its ADD."""
    if op.kind != "ADD" or op.options.get("fused_activation_function") or not op.outputs[0].is_float:
        return None
    for one, other in (op.inputs, op.inputs[::-1]):
        relu = uses.producer.get(one) if one is not None else None
        product = uses.producer.get(other) if other is not None else None
        if relu is None or product is None or relu.kind != "RELU" or product.kind != "MUL":
            continue
        x = relu.inputs[0]
        alpha = next((t for t in product.inputs if t is not None and t.buffer is not None), None)
        below = next((t for t in product.inputs if t is not alpha), None)
        chain = _back(below, ("NEG", "RELU", "NEG"), uses)
        if x is None or alpha is None or len(chain) != 3 or chain[-1].inputs[0] is not x or len(x.shape) < 2:
            continue
        slopes = _slopes(alpha, x)
        if slopes is not None and not product.options.get("fused_activation_function"):
            gone = private(op, [product, *chain, relu], uses)
            return _written(op, x, slopes, gone, "two RELU, NEG, MUL, ADD")
    return None


def _back(t: Tensor | None, kinds: tuple[str, ...], uses: Uses) -> list[Op]:
    """The operators of these types that lead to a tensor, last one first; stops at the first that does not match."""
    found: list[Op] = []
    for kind in kinds:
        op = uses.producer.get(t) if t is not None else None
        if op is None or op.kind != kind:
            break
        found.append(op)
        t = op.inputs[0]
    return found


def _zero(t: Tensor | None) -> bool:
    return t is not None and t.buffer is not None and t.dtype == "float32" and not t.array.any()


def _slopes(alpha: Tensor, x: Tensor) -> Tensor | None:
    """The slopes in the rank of x without the batch, as the PRELU kernels require; None if they do not fit."""
    wanted = (1,) * (len(x.shape) - len(alpha.shape)) + alpha.shape
    if alpha.dtype != "float32" or len(wanted) != len(x.shape) or wanted[0] != 1:
        return None
    if any(a not in (1, n) for a, n in zip(wanted, x.shape, strict=True)):
        return None
    return constant(alpha.name, np.ascontiguousarray(alpha.array.reshape(wanted[1:])))
