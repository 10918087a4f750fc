"""Make operators with the schema's default options; an unknown option is an error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fullint.model.ir import Op, Tensor, constant
from fullint.model.tflite import schema
from fullint.ops.releases import first_version

PADDING = {"SAME": 0, "VALID": 1}


ACTIVATIONS = {"NONE": 0, "RELU": 1, "RELU_N1_TO_1": 2, "RELU6": 3, "TANH": 4, "SIGN_BIT": 5}
CLAMPS = {
    ACTIVATIONS["RELU"]: (0.0, math.inf),
    ACTIVATIONS["RELU6"]: (0.0, 6.0),
    ACTIVATIONS["RELU_N1_TO_1"]: (-1.0, 1.0),
}
"""Fused activation -> (smallest, largest) value of its output."""


def make_op(kind: str, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor], **options: Any) -> Op:
    """Make an operator; options that are not given (in snake_case) have the schema's defaults.

    Raises:
        TypeError: the operator has no option of that name.
    """
    options_type = schema.options_type(kind)
    fields = dict(schema.option_fields(options_type))
    for name, value in options.items():
        if name not in fields:
            raise TypeError(f'{kind} has no option "{name}"; it has: {", ".join(fields) or "none"}')
        fields[name] = value
    given = list(inputs)
    while given and given[-1] is None:  # trailing missing inputs are left out
        given.pop()
    return Op(kind, given, list(outputs), fields, options_type, version=first_version(kind))


def make_reshape(x: Tensor, out: Tensor) -> Op:
    """Make a RESHAPE of one tensor to the shape of another."""
    shape = constant(f"{out.name}/shape", np.asarray(out.shape, np.int32))
    return make_op("RESHAPE", [x, shape], [out], new_shape=list(out.shape))


def make_cast(x: Tensor, out: Tensor) -> Op:
    """Make a CAST from one tensor to another, with the types of both in its options."""
    types = schema.values("TensorType")
    return make_op("CAST", [x], [out], in_data_type=types[x.dtype.upper()], out_data_type=types[out.dtype.upper()])
