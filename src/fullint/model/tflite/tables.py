"""Tables of a flatbuffer, read field by field where the schema's generated objects would unpack every field of every table.

    table      [distance to its vtable, fields ...]      what is not there has the schema's default
    vtable     [bytes of it, bytes of the table, where field 0 lies, where field 1 lies, ...]      0: not there
    vector     [length, items ...]

The numbers, types and defaults of fields are taken from the generated code: its functions that write a field are called with an
object that writes down what they ask for.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from fullint.model.ir import Array
from fullint.model.tflite import schema

_FORMATS = {
    "Bool": "?",
    "Int8": "b",
    "Uint8": "B",
    "Int16": "h",
    "Uint16": "H",
    "Int32": "i",
    "Uint32": "I",
    "Int64": "q",
    "Uint64": "Q",
    "Float32": "f",
    "Float64": "d",
    "UOffsetTRelative": "I",
}
_U32, _I32 = struct.Struct("<I").unpack_from, struct.Struct("<i").unpack_from
_VTABLE = struct.Struct("<HH").unpack_from


class Field(NamedTuple):
    """A field of a table in the schema.

    Attributes:
        name: snake_case.
        slot: its number.
        packed: how it lies in the table.
        default: where it is not there.
        inline: whether it holds its value, and not the distance to a vector, a string or another table.
        item: bytes of an item, where it refers to a vector.
    """

    name: str
    slot: int
    packed: struct.Struct
    default: Any
    inline: bool
    item: int = 0


class _Writer:
    """Writes down which field a generated function would write."""

    def __init__(self) -> None:
        self.asked: tuple[str, int, Any] = ("", 0, 0)
        self.item = 0

    def StartVector(self, size: int, count: int, alignment: int) -> None:  # noqa: ARG002, N802 - flatbuffers' interface
        self.item = size

    def __getattr__(self, name: str) -> Callable[[int, Any, Any], None]:
        kind = name.removeprefix("Prepend").removesuffix("Slot")

        def prepend(slot: int, value: Any, default: Any) -> None:
            self.asked = kind, slot, default

        return prepend


@cache
def fields(table: str) -> tuple[Field, ...]:
    """The fields of a table of the schema."""
    generated, start, writer = vars(schema.generated()), f"{table}Add", _Writer()
    found = []
    for name, function in generated.items():
        if name.startswith(start) and callable(function) and name[len(start)].isupper():
            function(writer, 0)
            kind, slot, default = writer.asked
            camel = name[len(start)].lower() + name[len(start) + 1 :]
            inline = kind != "UOffsetTRelative"
            default = bool(default) if kind == "Bool" else default
            start_vector = generated.get(f"{table}Start{name[len(start) :]}Vector")
            writer.item = 0
            if start_vector is not None:
                start_vector(writer, 0)
            packed = struct.Struct("<" + _FORMATS[kind])
            found.append(Field(schema.snake(camel), slot, packed, default if inline else None, inline, writer.item))
    return tuple(sorted(found, key=lambda f: f.slot))


@cache
def field(table: str, name: str) -> Field:
    """A field by its name."""
    return next(f for f in fields(table) if f.name == name)


class Tables:
    """The tables of one flatbuffer.

    Args:
        data: bytes-like.
    """

    def __init__(self, data: Any) -> None:
        self.data = data
        self.vtables: dict[int, tuple[int, ...]] = {}

    def place(self, at: int, slot: int) -> int:
        """Where a field of the table at a place lies; 0 where it is not there.

        Raises:
            ValueError, struct.error: what should be a table is none.
        """
        vtable = at - _I32(self.data, at)[0]
        places = self.vtables.get(vtable)
        if places is None:
            places = self.vtables[vtable] = self._read_vtable(vtable)
        return at + places[slot] if slot < len(places) and places[slot] else 0

    def _read_vtable(self, vtable: int) -> tuple[int, ...]:
        if vtable < 0:
            raise ValueError("a vtable lies before the file")
        size = _VTABLE(self.data, vtable)[0]
        return struct.unpack_from(f"<{max(size - 4, 0) // 2}H", self.data, vtable + 4)

    def value(self, at: int, f: Field) -> Any:
        """The value of an inline field of the table at a place."""
        place = self.place(at, f.slot)
        return f.packed.unpack_from(self.data, place)[0] if place else f.default

    def target(self, at: int, f: Field) -> int:
        """Where what a field refers to lies; 0 where it is not there."""
        place = self.place(at, f.slot)
        return place + int(_U32(self.data, place)[0]) if place else 0

    def vector(self, at: int, f: Field, dtype: str) -> Array | None:
        """The numbers that a field refers to, a view of the data; None where it is not there."""
        place = self.target(at, f)
        return np.frombuffer(self.data, dtype, _U32(self.data, place)[0], place + 4) if place else None

    def text(self, at: int, f: Field) -> bytes | None:
        """The string that a field refers to."""
        place = self.target(at, f)
        if not place:
            return None
        end = place + 4 + _U32(self.data, place)[0]
        if end > len(self.data):
            raise ValueError("a string ends beyond the file")
        return bytes(self.data[place + 4 : end])

    def tables(self, at: int, f: Field) -> list[int]:
        """The places of the tables in the vector that a field refers to."""
        vector = self.vector(at, f, "<u4")
        if vector is None:
            return []
        first = self.target(at, f) + 4
        places: list[int] = (vector.astype(np.int64) + first + 4 * np.arange(len(vector))).tolist()
        return places

    def inline(self, at: int, table: str) -> dict[str, Any] | None:
        """All fields of a table that has inline ones only; None for others."""
        known = fields(table)
        return {f.name: self.value(at, f) for f in known} if all(f.inline for f in known) else None
