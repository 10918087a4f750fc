"""Look-ups of 16-bit values for targets whose GATHER takes 8-bit ones only.

GATHER(table int16, i) -> y           =>      high = GATHER(table >> 8, i)   QUANTIZE -> int16   scale 256 s
low  = GATHER(table & 255, i)  QUANTIZE -> int16   scale s, zero point -128
y    = ADD(high, low)                              scale s, exact
GATHER(table int32 of few values, i)  =>      CAST(GATHER(table int8, i))
"""

from __future__ import annotations

import numpy as np

from fullint.model.ir import Array, Model, Op, Quant, Tensor, Uses, constant, twin
from fullint.ops.make import make_cast, make_op
from fullint.passes.engine import Rewrite, sweep
from fullint.passes.target_forms import Lacks
from fullint.reporting import Change

BYTE = np.iinfo(np.int8)


def with_byte_tables(model: Model, lacks: Lacks) -> list[Change]:
    """Rewrite the tables of an integer model that a target does not take, in place."""
    missing = lacks.get("GATHER", frozenset())

    def apart(op: Op, uses: Uses) -> Rewrite | None:
        table = op.input(0)
        if op.kind != "GATHER" or table is None or table.buffer is None or table.dtype not in missing:
            return None
        return _two_bytes(op, table) if table.dtype == "int16" and table.quant is not None else _one_byte(op, table)

    changes = sweep(model, apart) if missing and "int8" not in missing else []
    for graph in model.graphs if changes else ():
        graph.sync_tensors()
    return changes


def _gather(op: Op, values: Array, name: str, quant: Quant | None) -> tuple[Op, Tensor]:
    """A GATHER like another, of bytes."""
    out = twin(op.outputs[0], f"{op.outputs[0].name}/{name}")
    out.dtype, out.quant = "int8", quant
    table = constant(f"{out.name}/table", values.astype(np.int8), quant)
    made = make_op("GATHER", [table, *op.inputs[1:]], [out], **op.options)
    made.version = 2
    return made, out


def _two_bytes(op: Op, table: Tensor) -> Rewrite:
    y, codes = op.outputs[0], table.array.astype(np.int32)
    assert y.quant is not None
    step = float(y.quant.scale[0])
    high, high8 = _gather(op, codes >> 8, "high", Quant.of(256 * step, 0))
    low, low8 = _gather(op, (codes & 255) + BYTE.min, "low", Quant.of(step, BYTE.min))
    ops: list[Op] = [high, low]
    wide = [_widened(t, step, ops) for t in (high8, low8)]
    add = make_op("ADD", wide, [y])
    add.version = 3
    return Rewrite((op,), (*ops, add), "the target's GATHER takes bytes only: two tables of bytes")


def _widened(t: Tensor, step: float, ops: list[Op]) -> Tensor:
    """The values of bytes in 16 bits."""
    wide = twin(t, f"{t.name}/int16")
    wide.dtype, wide.quant = "int16", Quant.of(step, 0)
    made = make_op("QUANTIZE", [t], [wide])
    made.version = 2
    ops.append(made)
    return wide


def _one_byte(op: Op, table: Tensor) -> Rewrite | None:
    values = table.array
    if values.min(initial=0) < BYTE.min or values.max(initial=0) > BYTE.max:
        return None
    made, small = _gather(op, values, "byte", None)
    cast = make_cast(small, op.outputs[0])
    return Rewrite((op,), (made, cast), "the target's GATHER takes bytes only: a table of bytes, and CAST")
