"""TFLite's schema from the runtime's wheel, and its names.

The generated code is only used here, in `read` and in `write`. Option fields are lowerCamelCase there and snake_case in a
`Model`; `snake` and `camel` convert between them without loss.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

IDENTIFIER = b"TFL3"
"""What stands in each file behind the offset of its root table."""


@cache
def generated() -> Any:
    """The generated flatbuffers module, imported only when needed because that is slow."""
    from ai_edge_litert import schema_py_generated

    return schema_py_generated


@cache
def names(enum: str) -> dict[int, str]:
    """Value -> name for an enumeration of the schema."""
    members = vars(getattr(generated(), enum))
    return {v: k for k, v in members.items() if isinstance(v, int) and not k.startswith("_")}


@cache
def values(enum: str) -> dict[str, int]:
    """Name -> value for an enumeration of the schema."""
    return {k: v for v, k in names(enum).items()}


@cache
def snake(camel: str) -> str:
    """FusedActivationFunction -> fused_activation_function."""
    return re.sub(r"([A-Z])", lambda m: "_" + m[1].lower(), camel)


@cache
def camel(name: str) -> str:
    """fused_activation_function -> fusedActivationFunction."""
    return re.sub(r"_([a-z])", lambda m: m[1].upper(), name)


@cache
def option_fields(options_type: str) -> dict[str, Any]:
    """Field name (snake_case) -> default value for an option table; none for "NONE"."""
    if options_type == "NONE":
        return {}
    table = getattr(generated(), options_type + "T")()
    return {snake(k): v for k, v in vars(table).items()}


_SHARED_OPTIONS = {
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "L2_POOL_2D": "Pool2DOptions",
    "L2_NORMALIZATION": "L2NormOptions",
    "MAXIMUM": "MaximumMinimumOptions",
    "MINIMUM": "MaximumMinimumOptions",
    "CONV_3D_TRANSPOSE": "Conv3DOptions",
    "UNIDIRECTIONAL_SEQUENCE_RNN": "SequenceRNNOptions",
    **dict.fromkeys(("MEAN", "SUM", "REDUCE_PROD", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_ANY", "REDUCE_ALL"), "ReducerOptions"),
}


@cache
def options_type(kind: str) -> str:
    """Name of an operator's option table, "NONE" if it has none."""
    if kind in _SHARED_OPTIONS:
        return _SHARED_OPTIONS[kind]
    squeezed = kind.replace("_", "").lower() + "options"
    return next((n for n in values("BuiltinOptions") if n.lower() == squeezed), "NONE")
