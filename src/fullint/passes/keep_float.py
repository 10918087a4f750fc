"""Operators kept in float on request: `--keep-float NAME|TYPE|INDEX,...`.

    i8 --DEQUANTIZE--> f32 --op--> f32 --QUANTIZE--> i8         adjacent kept operators share one pair

No pass changes them; the report and the certificate list them.
"""

from __future__ import annotations

from collections.abc import Sequence

from fullint.errors import UsageError
from fullint.model.ir import Model, Op


def choose(model: Model, wanted: str | int | Sequence[str | int] | None) -> list[Op]:
    """Mark the operators that the items name, in place, and return them.

    Args:
        model: the model as read.
        wanted: items, as a sequence or joined by commas; each is the index of an operator of the main graph, a type
            ("SOFTMAX", or the code of a custom operator), or the name of an output tensor.

    Raises:
        UsageError: an item names no operator, or one that cannot be kept in float.
    """
    if wanted is None:
        return []
    items = wanted.split(",") if isinstance(wanted, str) else [wanted] if isinstance(wanted, int) else list(wanted)
    found: dict[Op, None] = {}
    for item in items:
        ops = _named(model, str(item).strip())
        if not ops:
            raise UsageError(f'keep_float: no float operator has the index, type or output name "{item}"')
        found.update(dict.fromkeys(ops))
    for op in found:
        if any(op.subgraphs()):
            raise UsageError(f'keep_float: {op.kind} "{op.output_name}" has subgraphs; name operators inside them instead')
        if op.kind in ("READ_VARIABLE", "ASSIGN_VARIABLE"):
            raise UsageError(f"keep_float: {op.kind} only copies a variable; name the operators that compute its value")
        op.keep_float = True
    return list(found)


def _named(model: Model, item: str) -> list[Op]:
    if item.isdecimal() and item.isascii():
        return [op for op in model.main.ops if op.origin == int(item)]
    return [
        op
        for _, op in model.ops()
        if any(t.is_float for t in op.values()) and item and item in (op.kind, op.custom_code, *(t.name for t in op.outputs))
    ]
