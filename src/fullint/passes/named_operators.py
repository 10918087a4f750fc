"""Operators that the user names: `--keep-float NAME|TYPE|INDEX,...` and `--int16`, which has the same grammar.

    i8 --DEQUANTIZE--> f32 --op--> f32 --QUANTIZE--> i8         kept in float; adjacent ones share one pair
    i8 --QUANTIZE--> i16 --op--> i16 --QUANTIZE--> i8           computing in int16

No pass changes operators kept in float; the report and the certificate list them.
"""

from __future__ import annotations

from collections.abc import Sequence

from fullint.errors import UsageError
from fullint.model.ir import Model, Op

Named = str | int | Sequence[str | int] | None
"""Items, as a sequence or joined by commas; each is the index of an operator of the main graph, a type ("SOFTMAX", or the code
of a custom operator), or the name of an output tensor."""


def keep_in_float(model: Model, wanted: Named) -> list[Op]:
    """Mark the operators that the items name as kept in float, in place, and return them.

    Raises:
        UsageError: an item names no operator, or one that cannot be kept in float.
    """
    found = named_operators(model, wanted, "keep_float")
    for op in found:
        if any(op.subgraphs()):
            raise UsageError(f'keep_float: {op.kind} "{op.output_name}" has subgraphs; name operators inside them instead')
        if op.kind in ("READ_VARIABLE", "ASSIGN_VARIABLE"):
            raise UsageError(f"keep_float: {op.kind} only copies a variable; name the operators that compute its value")
        op.keep_float = True
    return found


def named_operators(model: Model, wanted: Named, option: str) -> list[Op]:
    """The operators that the items name.

    Args:
        model: the model as read.
        wanted: what names them.
        option: the option's name, for errors.

    Raises:
        UsageError: an item names no operator.
    """
    if wanted is None:
        return []
    items = wanted.split(",") if isinstance(wanted, str) else [wanted] if isinstance(wanted, int) else list(wanted)
    found: dict[Op, None] = {}
    for item in items:
        ops = _named(model, str(item).strip())
        if not ops:
            raise UsageError(f'{option}: no float operator has the index, type or output name "{item}"')
        found.update(dict.fromkeys(ops))
    return list(found)


def _named(model: Model, item: str) -> list[Op]:
    if item.isdecimal() and item.isascii():
        return [op for op in model.main.ops if op.origin == int(item)]
    return [
        op
        for _, op in model.ops()
        if any(t.is_float for t in op.values()) and item and item in (op.kind, op.custom_code, *(t.name for t in op.outputs))
    ]
