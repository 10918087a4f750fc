"""Operators that cannot be integer, each with its cause and a way out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fullint.calibration.observed import observed_tensors
from fullint.errors import Blocker
from fullint.model.ir import Model, Op, Tensor
from fullint.model.numerics import SCALE_MAX, SCALE_MIN
from fullint.model.ranges import Range
from fullint.ops import ROWS, Role
from fullint.ops.base import CONVERSIONS
from fullint.ops.decompositions import IMPOSSIBLE, INTEGERS, form
from fullint.quantization.assignment import Assignment


def blockers(model: Model) -> list[Blocker]:
    """Every operator that cannot be integer, with its cause; empty when all can."""
    return [b for number, op in model.ops() if (b := _blocker(number, op))]


def _blocker(number: int, op: Op) -> Blocker | None:
    if op.keep_float or not any(t.is_float for t in op.values()) or op.kind in CONVERSIONS:
        return None

    def block(cause: str, way_out: str) -> Blocker:
        name = op.output_name
        which = op.origin if not number and op.origin >= 0 else name or op.kind
        ways = f"{way_out}; or leave it in float: --keep-float {which}"
        return Blocker(number, op.origin, op.custom_code or op.kind, name, cause, ways)

    if op.kind == "CUSTOM" and (op.custom_code or "").startswith("Flex"):
        cause = "TensorFlow itself computes it (flex), in float, and it is none of those that fullint writes with builtins"
        way_out = "replace it in the network by operators that TFLite has (docs/ops.md), or cut it off"
        return Blocker(number, op.origin, op.custom_code or "", op.output_name, cause, way_out)
    if op.kind == "CUSTOM":
        return block("a custom operator has no integer kernel fullint knows", "cut it off, before or behind the network")
    row = ROWS.get(op.kind)
    if row is None:
        return block(_no_row(op), "replace it by operators of docs/ops.md, or cut it off")
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


def _no_row(op: Op) -> str:
    """Why an operator without a row cannot be integer, and one that passes usually rewrite was not."""
    if op.kind in IMPOSSIBLE:
        return IMPOSSIBLE[op.kind]
    known = form(op.kind)
    if op.kind in INTEGERS:
        return "it computes on floats here; integers it would take"
    return f"LiteRT has no int8 kernel for it, and it is not what becomes {known}" if known else "fullint does not know it"


def unmeasured(model: Model, ranges: Mapping[Tensor, Range]) -> list[Blocker]:
    """Operators whose result no sample can reach: they are in a graph that the main graph does not run."""
    wanted = set(observed_tensors(model)) - set(ranges)
    cause = "it is in a graph that running the model's inputs does not reach, so no sample gives it a range"
    way_out = "make the graph a model of its own"
    return [
        Blocker(number, op.origin, op.kind, op.outputs[0].name, cause, way_out)
        for number, op in model.ops()
        if not wanted.isdisjoint(op.outputs)
    ]


def scale_blockers(model: Model, assignment: Assignment) -> list[Blocker]:
    """Operators one of whose operands would have a scale that is no normal float32 number."""
    found = []
    for number, op in model.ops():
        if op.keep_float:
            continue
        for i, t in enumerate(op.inputs):
            read = assignment.of(op, i)
            if t is None or read is None or ((read.quant.scale >= SCALE_MIN) & (read.quant.scale <= SCALE_MAX)).all():
                continue
            scale = read.quant.scale
            worst = float(scale[np.argmax(np.abs(np.log(np.maximum(scale.astype(np.float64), 1e-60))))])
            cause = (
                f'the scale of its input {i} "{t.name}" would be {worst:.3g}, which float32 or a kernel\'s multiplier cannot hold'
            )
            way_out = "bring the values of its inputs and weights to a usual size"
            name = op.output_name
            found.append(Blocker(number, op.origin, op.kind, name, cause, way_out))
            break
    return found
