"""Which values have to be measured; the parameters of the others follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
import numpy as np
from fullint.assignment import Assignment, Granularity
from fullint.calibration.statistics import Range
from fullint.groups import Groups, clips, given_params
from fullint.model.ir import Array, Graph, Model, Op, Quant, Tensor
from fullint.model.numerics import BIAS_MAX, WEIGHT_MAX, WIDE_BIAS_MAX, representable, scales_for_bias, weight_scales
from fullint.ops import ROWS, Fixed, Given, Observed, OpRow, Role
from fullint.ops.control_flow import Tie, ties
from fullint.saturate import mask_ranges, useful
from fullint.calibration.statistics import Measured

import math
from collections.abc import Iterator, Mapping, Sequence
from fullint.assignment import Assignment, Cut
from fullint.calibration.statistics import Range
from fullint.model.ir import Array, Graph, Model, Op, Quant, Tensor, Uses
from fullint.model.numerics import activation_params, as_activation, representable
from fullint.ops import ROWS, Fixed, Role, Same
from fullint.ops.control_flow import Tie


def observed_tensors(model: Model) -> list[Tensor]:
    """The float activations whose ranges have to be measured, graph by graph, in execution order.

    The others follow: outputs with fixed parameters, and values that share another's.
    """
    found = [t for graph in model.entries for t in graph.inputs if t.dtype == "float32" and t.size]
    for _, op in model.ops():
        row = ROWS.get(op.kind)
        for i, t in enumerate(op.outputs):
            if t.dtype != "float32" or not t.size or given_params(op) is not None:
                continue
            if row is None or op.keep_float or isinstance(row.output(i), Observed) or clips(op):
                found.append(t)
    return found


def clips(op: Op) -> bool:
    """MAXIMUM or MINIMUM with a constant.

    Its input, if nobody else reads it, may be saturated to the clipped range: quantizing then does
    the clipping, and no code is spent on what is cut off.
    """
    return op.kind in ("MAXIMUM", "MINIMUM") and sum(t is not None and not t.is_constant for t in op.inputs) == 1


def given_params(op: Op) -> tuple[Quant, str] | None:
    """(parameters, type) of a DEQUANTIZE's output, from the codes it reads."""
    x = op.input(0)
    return as_activation(x) if op.kind == "DEQUANTIZE" and x is not None else None
