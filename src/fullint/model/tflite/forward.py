"""Generated flatbuffers objects written front to back, several times as fast as by their own `Pack`, which builds back to front.

    [root, identifier] [vtable] [table: distances to what follows] [string] [vector] [vtable] [table] ...

For files of a run, which LiteRT maps into memory, and which are many; a result is written by the generated code.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from fullint.model.tflite import schema
from fullint.model.tflite.tables import Field, fields

_ALIGNED = 16
"""Bytes that the numbers of a constant are aligned to, as the schema asks."""
_U32 = struct.Struct("<I")


class _Layout(NamedTuple):
    """How a table lies in the file that has some of its fields.

    Attributes:
        vtable: its bytes.
        table: packs the distance to the vtable and the fields; those that refer to something are 0 at first.
        places: of these fields, where they lie and the bytes of an item: index among the fields -> both.
        alignment: of the table.
    """

    vtable: bytes
    table: struct.Struct
    places: dict[int, tuple[int, int]]
    alignment: int


@cache
def _known(table: str) -> tuple[tuple[Field, ...], Callable[[Any], tuple[Any, ...]]]:
    """Fields of a table, wide ones first, so that no gaps are needed between them; and what gets all of them of an object."""
    found = sorted(fields(table), key=lambda f: (-f.packed.size, f.slot))
    names = [schema.camel(f.name) for f in found]
    getter = attrgetter(*names) if len(names) > 1 else lambda value: tuple(getattr(value, name) for name in names)
    return tuple(found), getter


@cache
def _layout(table: str, here: tuple[int, ...]) -> _Layout:
    """The layout with these fields, by their index among `_known`."""
    known = _known(table)[0]
    wide = any(known[i].packed.size == 8 for i in here)
    size = 8 if wide else 4  # behind the distance to the vtable
    offsets, formats = dict[int, int](), ["<i", "4x" if wide else ""]
    places: dict[int, tuple[int, int]] = {}
    for i in here:
        f = known[i]
        offsets[f.slot] = size
        size += f.packed.size
        formats.append(f.packed.format.removeprefix("<"))
        if not f.inline:
            places[i] = offsets[f.slot], f.item
    slots = max(offsets, default=-1) + 1
    vtable = struct.pack(f"<{slots + 2}H", 4 + 2 * slots, size, *(offsets.get(slot, 0) for slot in range(slots)))
    return _Layout(vtable, struct.Struct("".join(formats)), places, 8 if wide else 4)


def pack(root: Any, identifier: bytes) -> bytearray:
    """The bytes of a generated object and all that it refers to.

    Args:
        root: a generated object.
        identifier: four bytes.
    """
    writer = _Forward()
    writer.out += bytes(4) + identifier
    _U32.pack_into(writer.out, 0, writer.table(root))
    return writer.out


class _Forward:
    """Appends tables, vectors and strings to one array of bytes."""

    def __init__(self) -> None:
        self.out = bytearray()
        self.vtables: dict[bytes, int] = {}

    def table(self, value: Any) -> int:
        """Append a table with all that it refers to; where it begins."""
        name = type(value).__name__[:-1]
        known, getter = _known(name)
        values = getter(value)
        here = tuple(i for i, v in enumerate(values) if v is not None and not (known[i].inline and v == known[i].default))
        layout = _layout(name, here)
        vtable = self.vtables.get(layout.vtable)
        if vtable is None:
            self._align(2)
            vtable = self.vtables[layout.vtable] = len(self.out)
            self.out += layout.vtable
        self._align(layout.alignment)
        at = len(self.out)
        self.out += layout.table.pack(at - vtable, *(values[i] if known[i].inline else 0 for i in here))
        for i, (offset, item) in layout.places.items():
            _U32.pack_into(self.out, at + offset, self._referred(values[i], item) - at - offset)
        return at

    def _referred(self, value: Any, item: int) -> int:
        """Append what a field refers to; `item`: bytes of one of a vector."""
        if isinstance(value, bytes | str):
            text = value.encode() if isinstance(value, str) else value
            at = self._vector(len(text), 1)
            self.out += text + b"\0"
            return at
        if isinstance(value, np.ndarray):
            at = self._vector(value.size, max(value.itemsize, _ALIGNED if value.dtype == np.uint8 else 1))
            self.out += np.ascontiguousarray(value).data.cast("B") if value.size else b""
            return at
        if not isinstance(value, list | tuple):
            return self.table(value)
        if not value or isinstance(value[0], bool | int | float | np.generic):
            return self._numbers(value, item)
        at = self._vector(len(value), 4)
        self.out += bytes(4 * len(value))
        for place, one in zip(range(at + 4, at + 4 + 4 * len(value), 4), value, strict=True):
            _U32.pack_into(self.out, place, self._referred(one, 0) - place)
        return at

    def _numbers(self, items: Any, size: int) -> int:
        fractions = any(isinstance(n, float | np.floating) for n in items)
        code = {1: "B", 2: "h", 4: "f" if fractions else "i", 8: "d" if fractions else "q"}[size]
        at = self._vector(len(items), size)
        self.out += struct.pack(f"<{len(items)}{code}", *items)
        return at

    def _vector(self, count: int, alignment: int) -> int:
        """Append the length of a vector whose items, which come next, are aligned; where it begins."""
        self.out += bytes(-(len(self.out) + 4) % max(alignment, 4)) + _U32.pack(count)
        return len(self.out) - 4

    def _align(self, size: int) -> None:
        if len(self.out) % size:
            self.out += bytes(-len(self.out) % size)
