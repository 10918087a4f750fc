"""Indices as 32-bit numbers, for targets whose kernels take no 64-bit ones.

ARG_MAX(x) -> int64                =>   CAST(ARG_MAX(x) -> int32)
RESHAPE(CAST(i)), SLICE(CAST(i))   =>   CAST(RESHAPE(i)), CAST(SLICE(i))
GREATER(CAST(i), 3 as int64)       =>   GREATER(i, 3 as int32)
SELECT_V2(c, i + 12, i)            =>   i + 12 CAST(c)          where the target selects no int32
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fullint.model.ir import Op, Tensor, Uses, constant, twin
from fullint.ops import traits_of
from fullint.ops.make import make_cast, make_op
from fullint.passes.engine import Rewrite, RewriteRule

WIDE, NARROW = "int64", "int32"
_INDICES = ("ARG_MAX", "ARG_MIN")
_LIMITS = np.iinfo(np.int32)


def index_forms(lacks: Mapping[str, frozenset[str]]) -> tuple[RewriteRule, ...]:
    """Rules for a target whose ARG_MAX has no 64-bit results, or whose SELECT_V2 takes no 32-bit numbers."""
    rules: tuple[RewriteRule, ...] = ()
    if any(WIDE in lacks.get(kind, ()) for kind in _INDICES):
        rules += (_narrow_result, _cast_after_moving, _compared_narrow)
    if NARROW in lacks.get("SELECT_V2", ()):
        rules += (_added,)
    return rules


def _narrow_result(op: Op, uses: Uses) -> Rewrite | None:
    if op.kind not in _INDICES or op.outputs[0].dtype != WIDE or not _only_compared(op.outputs[0], uses):
        return None
    narrow = _narrow(op.outputs[0])
    new = _like(op, op.inputs, narrow)
    cast = make_cast(narrow, op.outputs[0])
    new.options["output_type"] = cast.options["in_data_type"]
    return Rewrite((op,), (new, cast), f"the target's {op.kind} has no 64-bit results: CAST behind it")


def _only_compared(t: Tensor, uses: Uses) -> bool:
    """Whether no more than a comparison becomes of a tensor, so that no CAST is left."""
    seen, waiting = {t}, [t]
    while waiting:  # each tensor once: paths may part and meet again
        at = waiting.pop()
        moving = [op for op, _ in uses.of(at) if not traits_of(op.kind).compares]
        if at in uses.outputs or not all(traits_of(op.kind).moves and len(op.outputs) == 1 for op in moving):
            return False
        waiting += {op.outputs[0] for op in moving} - seen
        seen |= {op.outputs[0] for op in moving}
    return True


def _cast_after_moving(op: Op, uses: Uses) -> Rewrite | None:
    x = op.input(0)
    cast = _widening(x, uses)
    if cast is None or not traits_of(op.kind).moves or len(op.outputs) != 1 or any(t is x for t in op.inputs[1:]):
        return None
    narrow = _narrow(op.outputs[0])
    moved = _like(op, [cast.inputs[0], *op.inputs[1:]], narrow)
    return Rewrite((op,), (moved, make_cast(narrow, op.outputs[0])), f"{op.kind} moves 32-bit indices; CAST behind it")


def _compared_narrow(op: Op, uses: Uses) -> Rewrite | None:
    if not traits_of(op.kind).compares:
        return None
    sides = [_as_narrow(t, uses) for t in op.inputs]
    if None in sides or all(t is None or t.is_constant for t in op.inputs):
        return None
    return Rewrite((op,), (_like(op, sides, op.outputs[0]),), f"{op.kind} compares 32-bit indices")


def _added(op: Op, uses: Uses) -> Rewrite | None:
    if op.kind not in ("SELECT", "SELECT_V2") or op.outputs[0].dtype != NARROW:
        return None
    condition, above, x = op.inputs
    add = uses.producer.get(above) if above is not None else None
    if condition is None or x is None or add is None or add.kind != "ADD" or add.options.get("fused_activation_function"):
        return None
    others = [t for t in add.inputs if t is not x]
    if len(others) != 1 or others[0] is None or others[0].buffer is None or condition.shape != x.shape:
        return None
    out = op.outputs[0]
    chosen, times = twin(out, f"{out.name}/chosen"), twin(out, f"{out.name}/step")
    new = (
        make_cast(condition, chosen),
        make_op("MUL", [chosen, others[0]], [times]),
        make_op("ADD", [x, times], [out]),
    )
    return Rewrite((op,), new, "the target selects no 32-bit numbers: written as a product with the condition")


def _widening(t: Tensor | None, uses: Uses) -> Op | None:
    cast = uses.producer.get(t) if t is not None and t.dtype == WIDE else None
    narrows = cast is not None and cast.kind == "CAST" and cast.inputs[0] is not None and cast.inputs[0].dtype == NARROW
    return cast if narrows else None


def _as_narrow(t: Tensor | None, uses: Uses) -> Tensor | None:
    cast = _widening(t, uses)
    if cast is not None:
        return cast.inputs[0]
    if t is None or t.dtype != WIDE or t.buffer is None or not t.array.size:
        return None
    fits = _LIMITS.min <= t.array.min() and t.array.max() <= _LIMITS.max
    return constant(f"{t.name}/{NARROW}", t.array.astype(np.int32)) if fits else None


def _narrow(t: Tensor) -> Tensor:
    narrow = twin(t, f"{t.name}/{NARROW}")
    narrow.dtype = NARROW
    return narrow


def _like(op: Op, inputs: list[Tensor | None], out: Tensor) -> Op:
    new = make_op(op.kind, inputs, [out], **op.options)
    new.version = op.version
    return new
