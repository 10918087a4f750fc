"""Ranges that keep whole numbers whole: the step of a tensor that holds nothing else is one over a whole number.

    x in {0, 1}  --FULLY_CONNECTED, weights in {0, 1}-->  y in {0, 1, ... 140}  --FLOOR_MOD 2-->  parity

    range of y    0 .. 140: step 0.549, 9 becomes 8.8, and 8.8 mod 2 = 0.8
               => 0 .. 255: step 1, 9 stays 9

Whole are inputs of which no sample shows anything else, whole constants, and what operators make of such that keep whole numbers
(the trait `keeps_whole`). A step is at most twice as large as it would have been.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

import numpy as np

from fullint.model.ir import Graph, Tensor
from fullint.model.ranges import Range
from fullint.ops import traits_of

STEPS = 255
NEAR = 1e-3
"""Of a step: float sums of whole numbers are as near to whole ones."""


def whole_tensors(graph: Graph, inputs: Iterable[Tensor]) -> set[Tensor]:
    """The float activations of a graph that hold whole numbers only.

    Args:
        graph: prepared.
        inputs: those of its inputs that do.
    """
    found = set(inputs)
    for op in graph.ops:
        floats = [t for t in op.inputs if t is not None and t.dtype == "float32"]
        if traits_of(op.kind).keeps_whole and floats and all(t in found or _whole_constant(t) for t in floats):
            found |= {t for t in op.outputs if t.dtype == "float32"}
    return found


def _whole_constant(t: Tensor) -> bool:
    return t.buffer is not None and t.size > 0 and bool((t.array == np.floor(t.array)).all())


def whole_ranges(tensors: AbstractSet[Tensor], ranges: Mapping[Tensor, Range]) -> dict[Tensor, Range]:
    """Ranges with steps that whole numbers fall on, for tensors that hold nothing else and are not too wide for it."""
    found = {}
    for t in tensors & ranges.keys():
        low, high = ranges[t].with_zero()
        first, last = math.floor(low + NEAR), math.ceil(high - NEAR)
        if 1 <= last - first <= STEPS:
            found[t] = Range(float(first), first + STEPS / (STEPS // (last - first)))
    return found
