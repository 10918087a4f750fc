"""Operators that reduce to a constant, a GATHER, or nothing.

EMBEDDING_LOOKUP(ids, table)      =>     GATHER(table, ids)       (its kernel returns float, or has one scale per row)
ZEROS_LIKE(x)                     =>     constant zeros
FAKE_QUANT(x)                     =>     x
CAST(x) to the type of x           =>     x
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fullint.model.ir import Op, Uses, constant
from fullint.ops.make import make_op, make_reshape
from fullint.passes.engine import Rewrite


def embedding_as_gather(op: Op, uses: Uses) -> Rewrite | None:
    """EMBEDDING_LOOKUP as GATHER along axis 0: both select rows."""
    ids, table = op.input(0), op.input(1)
    if op.kind != "EMBEDDING_LOOKUP" or ids is None or table is None or not op.outputs[0].is_float:
        return None
    return Rewrite(
        (op,), (make_op("GATHER", [table, ids], op.outputs, axis=0),), "EMBEDDING_LOOKUP written as GATHER along axis 0"
    )


def zeros_as_constant(op: Op, uses: Uses) -> Rewrite | None:
    """ZEROS_LIKE of a tensor with a known shape, as a constant."""
    out = op.outputs[0] if op.outputs else None
    if op.kind != "ZEROS_LIKE" or out is None or out.dtype != "float32" or any(n < 0 for n in out.shape):
        return None
    return Rewrite((op,), (), "ZEROS_LIKE replaced by a constant", {out: constant(out.name, np.zeros(out.shape, np.float32))})


def fake_quant_as_nothing(op: Op, uses: Uses) -> Rewrite | None:
    """Remove FAKE_QUANT: the integer model rounds to its own scale there."""
    x = op.input(0)
    if op.kind != "FAKE_QUANT" or x is None:
        return None
    return Rewrite((op,), (make_reshape(x, op.outputs[0]),), "FAKE_QUANT removed: the integer model rounds here itself")


def cast_as_nothing(op: Op, uses: Uses) -> Rewrite | None:
    """Remove a CAST to the type that its input has, as converters leave them where a loop's shapes differ."""
    x, out = op.input(0), op.outputs[0] if op.outputs else None
    if op.kind != "CAST" or x is None or out is None or x.dtype != out.dtype:
        return None
    why = f"CAST to the same type, {x.dtype}, removed"
    made = uses.producer.get(x)
    if made is None or x in uses.outputs or len(uses.of(x)) > 1:
        return Rewrite((op,), (make_reshape(x, out),), why)
    new = replace(made, outputs=[out if t is x else t for t in made.outputs])
    return Rewrite((made, op), (new,), why, {out: replace(x, quant=out.quant)})


def without_empty(op: Op, uses: Uses) -> Rewrite | None:
    """CONCATENATION without its empty operands."""
    if op.kind != "CONCATENATION" or not op.outputs[0].is_float or all(t is not None and t.size for t in op.inputs):
        return None
    inputs = [t for t in op.inputs if t is not None and t.size]
    if not inputs:
        return None
    new = Op(op.kind, [*inputs], op.outputs, {**op.options}, op.options_type, version=op.version)
    return Rewrite((op,), (new,), "empty operands removed")
