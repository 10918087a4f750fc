"""Operators that cannot be integer, each with its cause and a way out."""

from __future__ import annotations

import numpy as np

from fullint.assignment import Assignment
from fullint.errors import Blocker
from fullint.ir import Model, Op
from fullint.ops import NO_INT8_KERNEL, ROWS, Role

SCALE_MIN, SCALE_MAX = 1e-36, 1e36
"""Beyond these a scale is no normal float32 number, or its products are not."""


def blockers(model: Model) -> list[Blocker]:
    """Every operator that cannot be integer, with its cause; empty when all can."""
    return [b for number, op in model.ops() if (b := _blocker(number, op))]


def _blocker(number: int, op: Op) -> Blocker | None:
    if op.keep_float or not any(t.is_float for t in op.values()) or op.kind in ("QUANTIZE", "DEQUANTIZE"):
        return None

    def block(cause: str, way_out: str) -> Blocker:
        return Blocker(number, op.origin, op.custom_code or op.kind, op.outputs[0].name if op.outputs else "", cause, way_out)

    if op.kind == "CUSTOM":
        return block("a custom operator has no integer kernel fullint knows", "cut it off, before or behind the network")
    row = ROWS.get(op.kind)
    if row is None:
        return block(_no_row(op.kind), "replace it by operators of docs/ops.md, or cut it off")
    if why := row.refuses(op):
        return block(why, "make that operand a constant, or write the operator with ones that take two activations")
    for t in op.values():
        if t.is_float and t.dtype != "float32":
            return block(f'"{t.name}" is {t.dtype}, which has no int8 form here', "export the model with float32 activations")
        if t.buffer is not None and t.dtype == "float32" and not np.isfinite(t.array).all():
            return block(f'its constant "{t.name}" holds values that are not finite', "replace them by large finite numbers")
        if t.is_variable and row.derive is None:
            return block(f'"{t.name}" is state kept between runs', "feed the state in and out instead")
    for i, x in enumerate(op.inputs):
        if x is not None and x.is_float and row.role(i) is Role.RAW:
            return block(f'its input {i} "{x.name}" must be an integer', "give it an integer")
    return None


def _no_row(kind: str) -> str:
    if kind in NO_INT8_KERNEL:
        return "LiteRT has no int8 kernel for it"
    return "fullint has no integer form of it yet"


def scale_blockers(model: Model, assignment: Assignment) -> list[Blocker]:
    """Operators one of whose operands would have a scale that is no normal float32 number."""
    found = []
    for number, op in model.ops():
        if op.keep_float:
            continue
        for i, t in enumerate(op.inputs):
            quant = assignment.of(op, i)
            if t is None or quant is None or ((quant.scale >= SCALE_MIN) & (quant.scale <= SCALE_MAX)).all():
                continue
            worst = float(quant.scale[np.argmax(np.abs(np.log(np.maximum(quant.scale.astype(np.float64), 1e-60))))])
            cause = (
                f'the scale of its input {i} "{t.name}" would be {worst:.3g}, which float32 or a kernel\'s multiplier cannot hold'
            )
            way_out = "bring the values of its inputs and weights to a usual size"
            name = op.outputs[0].name if op.outputs else ""
            found.append(Blocker(number, op.origin, op.kind, name, cause, way_out))
            break
    return found
