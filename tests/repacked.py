"""Models changed by the schema's object API, so that they are well-formed and wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fullint.model.tflite import schema


def repacked(data: bytes, change: Callable[[Any], object]) -> bytes:
    """A model after `change` of its root table."""
    import flatbuffers

    s = schema.generated()
    root = s.ModelT.InitFromObj(s.Model.GetRootAs(data, 0))
    change(root)
    builder = flatbuffers.Builder(len(data) + 4096)
    builder.Finish(root.Pack(builder), schema.IDENTIFIER)
    return bytes(builder.Output())
