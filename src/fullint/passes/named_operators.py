"""Operators that the user names: `--keep-float NAME|TYPE|INDEX,...` and `--int16`, which has the same grammar.

    i8 --DEQUANTIZE--> f32 --op--> f32 --QUANTIZE--> i8         kept in float; adjacent ones share one pair
    i8 --QUANTIZE--> i16 --op--> i16 --QUANTIZE--> i8           computing in int16

No pass changes operators kept in float; the report and the certificate list them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from fullint.errors import UsageError
from fullint.model.ir import Model, Op
from fullint.printable import escaped

Named = str | int | Sequence[str | int] | None
"""Items, as a sequence or joined by commas; each is the index of an operator of the main graph, a type ("SOFTMAX", or the code
of a custom operator), the name of an output tensor, or a pattern of these with *, ? and [...]."""


def keep_in_float(ops: Iterable[Op]) -> None:
    """Mark operators as kept in float, in place.

    Raises:
        UsageError: one of them cannot be kept in float.
    """
    for op in ops:
        if any(op.subgraphs()):
            raise UsageError(f'keep_float: {op.kind} "{op.output_name}" has subgraphs; name operators inside them instead')
        if op.kind in ("READ_VARIABLE", "ASSIGN_VARIABLE"):
            raise UsageError(f"keep_float: {op.kind} only copies a variable; name the operators that compute its value")
        op.keep_float = True


def named_operators(model: Model, wanted: Named, option: str) -> list[Op]:
    """The operators that the items name, each once.

    Args:
        model: the model as read.
        wanted: what names them.
        option: the option's name, for errors.

    Raises:
        UsageError: an item names no operator.
    """
    return list(dict.fromkeys(op for ops in by_item(model, wanted, option).values() for op in ops))


def by_item(model: Model, wanted: Named, option: str) -> dict[str, list[Op]]:
    """The same for each item."""
    found: dict[str, list[Op]] = {}
    for item in _items(wanted):
        found[item] = operators_named(model, item)
        if not found[item]:
            raise UsageError(f'{option}: no float operator has the index, type or output name "{item}"')
    return found


def _items(wanted: Named) -> list[str]:
    if wanted is None:
        return []
    items = wanted.split(",") if isinstance(wanted, str) else [wanted] if isinstance(wanted, int) else list(wanted)
    return [str(item).strip() for item in items]


def operators_named(model: Model, item: str) -> list[Op]:
    """The operators with this index, type or output name; where there are none, those that match it as a pattern."""
    if item.isdecimal() and item.isascii():
        return [op for op in model.main.ops if op.origin == int(item)]
    floats = [op for _, op in model.ops() if any(t.is_float for t in op.values())] if item else []
    exact = [op for op in floats if item in (*_types(op), *_names(op)) or escaped(item) in _names(op)]
    return exact or [op for op in floats if any(fnmatchcase(name, item) for name in (*_types(op), *_names(op)))]


def is_by_type(op: Op, item: str) -> bool:
    """Whether an item names an operator by its type, and not by its index or an output."""
    if (item.isdecimal() and item.isascii()) or item in _names(op):
        return False
    return item in _types(op) or not any(fnmatchcase(name, item) for name in _names(op))


def is_pattern(item: str) -> bool:
    """Whether an item has characters that stand for others."""
    return any(c in item for c in "*?[")


def _types(op: Op) -> tuple[str, ...]:
    return (op.kind, op.custom_code) if op.custom_code else (op.kind,)


def _names(op: Op) -> list[str]:
    return [t.name for t in op.outputs]
