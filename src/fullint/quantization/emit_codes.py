"""Operators that work on codes themselves, as they are emitted.

LOOKUP(x) -> y                  q --CAST--> int32 --ADD(-lowest code)--> index;  GATHER(table, index)
CAST(int32 x) -> float y        int32 (scale 1) --QUANTIZE--> int8
"""

from __future__ import annotations

import numpy as np

from fullint.model.ir import Op, Quant, constant, twin
from fullint.model.numerics import RANGES, quantize
from fullint.ops.make import make_cast, make_op
from fullint.quantization.integer_graph import GraphWriter
from fullint.quantization.io_types import conversion

_WHOLE = Quant.of(1.0, 0)
"""Parameters of integers that stand for themselves."""


def emit_table(out: GraphWriter, op: Op) -> None:
    """A look-up:  q --CAST--> int32 --ADD(-lowest code)--> index;  GATHER(table, index)."""
    x, y = op.inputs[0], out.tensor(op.outputs[0])
    assert x is not None
    x = out.input(op, 0, x)
    values = np.asarray(out.assignment.tables[op])
    table = constant(f"{y.name}/table", values if y.quant is None else quantize(values, y.quant, y.dtype), y.quant)
    code, index = twin(x, f"{y.name}/code"), twin(x, f"{y.name}/index")
    code.dtype = index.dtype = "int32"
    code.quant = index.quant = None
    lowest = constant("lowest_code", np.int32(-RANGES[x.dtype][0]))
    gather = make_op("GATHER", [table, index], [y], axis=0)
    gather.version = {"int8": 2, "int16": 4, "bool": 3}.get(y.dtype, 1)
    for new in (make_cast(x, code), make_op("ADD", [code, lowest], [index]), gather):
        out.add(new)


def emit_from_integers(out: GraphWriter, op: Op) -> None:
    """CAST of integers to float:  int32 (scale 1) --QUANTIZE--> int8."""
    x = op.inputs[0]
    assert x is not None
    x = out.replaced.get(x, x)
    if x.dtype != "int32":
        narrow = twin(x, f"{op.outputs[0].name}/int32")
        narrow.dtype = "int32"
        out.add(make_cast(x, narrow))
        x = narrow
    elif not _WHOLE.same_as(x.quant):
        whole = twin(x, x.name)
        whole.buffer = x.buffer
        out.rename(x, whole)
        x = whole
    x.quant = _WHOLE
    out.add(conversion(x, out.tensor(op.outputs[0])))
