"""Operators that cannot be integer, each with its cause and a way out."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from fullint.calibration.observed import observed_tensors
from fullint.errors import Blocker
from fullint.model.ir import Model, Op, Tensor
from fullint.model.numerics import SCALE_MAX, SCALE_MIN
from fullint.model.ranges import Range
from fullint.ops import ROWS, Role, has_int16
from fullint.ops.base import CONVERSIONS
from fullint.ops.control_flow import reads_without_value
from fullint.ops.decompositions import IMPOSSIBLE, INTEGERS, form
from fullint.quantization.assignment import Assignment


def blockers(model: Model) -> list[Blocker]:
    """Every operator of a prepared model that cannot be integer; empty if all can."""
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
        cause = "TensorFlow computes it (Flex), in float, and fullint cannot rewrite it with builtins"
        way_out = "replace it in the network with TFLite operators (docs/ops.md), or remove it from the model"
        return Blocker(number, op.origin, op.custom_code or "", op.output_name, cause, way_out)
    if op.kind == "CUSTOM":
        return block("a custom operator has no known integer kernel", "remove it and run it before or after the model")
    row = ROWS.get(op.kind)
    if row is None:
        return block(_no_row(op), "replace it with operators listed in docs/ops.md, or remove it from the model")
    if why := row.refuses(op):
        return block(why, "make that operand a constant, or use operators that accept two activations")
    for t in op.values():
        if t.is_float and t.dtype != "float32":
            return block(f'"{t.name}" is {t.dtype}; only float32 can be quantized', "export the model with float32 activations")
        if t.buffer is not None and t.dtype == "float32" and not np.isfinite(t.array).all():
            return block(f'its constant "{t.name}" contains NaN or infinity', "replace these values with large finite numbers")
        if t.is_variable and row.derive is None:
            return block(f'"{t.name}" is state kept between runs', "make the state an input and an output of the model")
    for i, x in enumerate(op.inputs):
        if x is not None and x.is_float and row.role(i) is Role.RAW:
            return block(f'its input {i} "{x.name}" is float, but must be an integer type', "cast it to int32 in the model")
    return None


def reads_of_nothing(model: Model) -> list[Blocker]:
    """Operators that read a variable which nothing gives a value: what they compute is not defined, in float either."""
    way_out = (
        "export the model again with its variables' values: as constants (a frozen graph, from_keras_model), "
        "or with the signature that initializes them"
    )
    return [
        Blocker(number, op.origin, op.kind, op.output_name, f'nothing in the model gives the variable "{name}" a value', way_out)
        for number, op, name in reads_without_value(model)
    ]


def without_int16(model: Model, wide: Callable[[int, Op], bool]) -> list[Blocker]:
    """Operators that were named to compute in int16, and have no such kernel."""
    return [
        Blocker(
            number,
            op.origin,
            op.kind,
            op.output_name,
            "it was named by int16, but LiteRT has no int16 kernel for it",
            "name other operators (docs/ops.md), or keep it in float: --keep-float",
        )
        for number, op in model.ops()
        if wide(number, op) and _computes(op) and not has_int16(op)
    ]


def clamps_by_type(op: Op) -> bool:
    """Whether a kernel does its fused activation by the ends of its type alone: with zero point 0 it would do none.

    Such are the recurrent ones (kernels/svdf.cc).
    """
    row = ROWS.get(op.kind)
    return row is not None and row.derive is not None and bool(op.options.get("fused_activation_function"))


def _computes(op: Op) -> bool:
    """Whether an operator is to compute real values in integers."""
    return not op.keep_float and op.kind not in CONVERSIONS and any(t.is_float for t in op.values())


def _no_row(op: Op) -> str:
    """Why an operator that is not in the op table cannot be integer, or was not rewritten by a pass."""
    if op.kind in IMPOSSIBLE:
        return IMPOSSIBLE[op.kind]
    known = form(op.kind)
    if op.kind in INTEGERS:
        return "it has float operands here; its kernel supports plain integers only"
    return f"LiteRT has no int8 kernel for it; others are {known}, but not this one" if known else "fullint does not know it"


def unmeasured(model: Model, ranges: Mapping[Tensor, Range], float_ends: tuple[bool, bool] = (False, False)) -> list[Blocker]:
    """Operators without a measured range, because they are in a subgraph that running the model does not reach."""
    wanted = set(observed_tensors(model, float_ends)) - set(ranges)
    cause = "it is in a subgraph that running the model does not reach, so no sample gives it a range"
    way_out = "make the subgraph a separate model"
    return [
        Blocker(number, op.origin, op.kind, op.outputs[0].name, cause, way_out)
        for number, op in model.ops()
        if not wanted.isdisjoint(op.outputs)
    ]


def scale_blockers(model: Model, assignment: Assignment) -> list[Blocker]:
    """Operators with an operand whose scale would be outside [`SCALE_MIN`, `SCALE_MAX`]."""
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
            cause = f'the scale of its input {i} "{t.name}" would be {worst:.3g}, outside what float32 or a multiplier can hold'
            way_out = "rescale its inputs and weights in the float model: their values are far too small or too large"
            name = op.output_name
            found.append(Blocker(number, op.origin, op.kind, name, cause, way_out))
            break
    return found
