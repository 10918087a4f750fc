"""The tables of look-ups: each function's value at every code of its input, computed by the runtime.

    table[q - lowest code] = f((q - zero_point) * scale)          256 values for int8, 65536 for int16

A value that is no number (the logarithm of a negative one) becomes 0, an infinite one the end of the
output's range: the samples that calibrated never asked for them.
"""

from __future__ import annotations

import numpy as np

from fullint.model.ir import Array, Graph, Model, Op, Tensor, constant
from fullint.model.numerics import RANGES, dequantize
from fullint.model.subgraphs import LOOKUP, call
from fullint.passes.engine import Evaluate
from fullint.quantization.assignment import Assignment


def compute_tables(model: Model, assignment: Assignment, evaluate: Evaluate) -> dict[Op, Array]:
    """The table of each look-up: float32 [256], or [65536] for int16.

    Args:
        model: prepared.
        assignment: with the parameters of every look-up's input.
        evaluate: the values of the outputs of a model of constants.
    """
    lookups = [op for _, op in model.ops() if op.kind == LOOKUP]
    if not lookups:
        return {}
    ops: list[Op] = []
    outputs: list[Tensor] = []
    for op in lookups:
        read = assignment.of(op, 0)
        assert read is not None
        low, high = RANGES[read.dtype]
        x = constant("codes", dequantize(np.arange(low, high + 1), read.quant))
        outputs.append(Tensor("values", x.shape, op.outputs[0].dtype))
        ops += call(op, x, outputs[-1], x.shape)
    graph = Graph("tables", [], [], outputs, ops)
    graph.sync_tensors()
    return {op: _finite(values) for op, values in zip(lookups, evaluate(Model([graph])), strict=True)}


def _finite(values: Array) -> Array:
    limit = np.finfo(np.float32).max
    return np.nan_to_num(values, nan=0.0, posinf=limit, neginf=-limit) if values.dtype.kind == "f" else values
