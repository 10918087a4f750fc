"""How pixels are normalized, as a model's metadata say it (`TFLITE_METADATA`, a flatbuffer of its own inside the file).

    ModelMetadata.subgraph_metadata[0].input_tensor_metadata[i].process_units[..]: NormalizationOptions{mean, std}

    value = (pixel - mean) / std

Read with a few table look-ups; what does not look like it is taken for no metadata: it is a hint, and nothing depends on it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from fullint.model.ir import Model

KEY = "TFLITE_METADATA"
_SUBGRAPHS, _INPUTS, _PROCESS, _KIND, _OPTIONS, _MEAN, _STD = 3, 2, 4, 0, 1, 0, 1
"""Numbers of the fields in the tables of the metadata's schema."""
_NORMALIZATION = 1
"""In the union of process units."""
_MOST = 4096
"""Entries of a vector beyond which it is none of a real file's."""

Normalization = tuple[tuple[float, ...], tuple[float, ...]]


def input_normalizations(model: Model) -> dict[int, Normalization]:
    """(means, stds), one or one per channel, by the number of the input; empty where the file has none."""
    data = next((b.data.tobytes() for name, b in model.metadata if name == KEY and b is not None), b"")
    try:
        return dict(_read(data)) if len(data) >= 8 else {}
    except (struct.error, ValueError, OverflowError):
        return {}


def _read(data: bytes) -> Iterator[tuple[int, Normalization]]:
    for graph in _tables(data, _field(data, _at(data, 0), _SUBGRAPHS))[:1]:
        for number, tensor in enumerate(_tables(data, _field(data, graph, _INPUTS))):
            for unit in _tables(data, _field(data, tensor, _PROCESS)):
                kind, options = _field(data, unit, _KIND), _field(data, unit, _OPTIONS)
                if kind and options and data[kind] == _NORMALIZATION:
                    table = _at(data, options)
                    mean, std = (_floats(data, _field(data, table, n)) for n in (_MEAN, _STD))
                    if mean and len(mean) == len(std) and all(std):
                        yield number, (mean, std)


def _at(data: bytes, place: int) -> int:
    """Where the offset at a place points."""
    if not 0 <= place <= len(data) - 4:
        raise ValueError("beyond the end")
    return place + int(struct.unpack_from("<I", data, place)[0])


def _field(data: bytes, table: int, number: int) -> int:
    """Where a table's field lies; 0 where it has none."""
    if not 0 < table <= len(data) - 4:
        raise ValueError("beyond the end")
    entries = table - int(struct.unpack_from("<i", data, table)[0])
    if not 0 <= entries <= len(data) - 4:
        raise ValueError("beyond the end")
    entry = 4 + 2 * number
    if entry + 2 > struct.unpack_from("<H", data, entries)[0]:
        return 0
    offset = int(struct.unpack_from("<H", data, entries + entry)[0])
    return table + offset if offset and table + offset < len(data) else 0


def _vector(data: bytes, place: int) -> tuple[int, int]:
    """(where the entries begin, how many)."""
    start = _at(data, place)
    count = int(struct.unpack_from("<I", data, start)[0])
    if count > _MOST:
        raise ValueError("too many")
    return start + 4, count


def _tables(data: bytes, place: int) -> list[int]:
    if not place:
        return []
    start, count = _vector(data, place)
    return [_at(data, start + 4 * i) for i in range(count)]


def _floats(data: bytes, place: int) -> tuple[float, ...]:
    if not place:
        return ()
    start, count = _vector(data, place)
    return tuple(float(v) for v in struct.unpack_from(f"<{count}f", data, start))
