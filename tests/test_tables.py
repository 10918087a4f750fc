"""Tables of flatbuffers, read field by field: the schema's fields, and the same values as its generated objects have."""

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from fullint.errors import ModelFormatError
from fullint.model.tflite import read_bytes, schema
from fullint.model.tflite.tables import Tables, field, fields
from fullint.ops.builder import Builder

GENERATED = schema.generated()
TABLES = sorted(name[:-1] for name in vars(GENERATED) if name.endswith("T") and hasattr(GENERATED, name[:-1]))


@pytest.mark.parametrize("table", TABLES)
def test_fields_and_defaults_are_those_of_the_generated_objects(table: str) -> None:
    own = vars(getattr(GENERATED, f"{table}T")())
    assert {f.name: f.default for f in fields(table)} == {schema.snake(k): v for k, v in own.items()}
    assert len({f.slot for f in fields(table)}) == len(own)


def network(g: Builder) -> bytes:
    x = g.input(1, 6, 6, 3, name="x")
    y = g.conv(x, 4, stride=2, activation="RELU6")
    z = g.reshape(g.op("LEAKY_RELU", y, alpha=0.25), 1, -1)
    g.output(g.op("SOFTMAX", g.dense(z, 5), beta=0.5))
    return g.bytes()


def unpacked(data: bytes) -> Any:
    return GENERATED.ModelT.InitFromObj(GENERATED.Model.GetRootAs(data, 0))


def test_a_model_has_what_the_generated_objects_have(g: Builder) -> None:
    data = network(g)
    raw, model = unpacked(data).subgraphs[0], read_bytes(data).main
    for given, t in zip(raw.tensors, model.tensors, strict=True):
        assert given.name.decode() == t.name and tuple(given.shape) == t.shape
        assert schema.names("TensorType")[given.type] == t.dtype.upper()
    for given, op in zip(raw.operators, model.ops, strict=True):
        assert [model.tensors[i] for i in given.inputs] == op.inputs and [model.tensors[i] for i in given.outputs] == op.outputs
        own = {schema.snake(k): v for k, v in vars(given.builtinOptions).items()} if given.builtinOptions is not None else {}
        assert own.keys() == op.options.keys()
        for key, value in own.items():
            np.testing.assert_array_equal(op.options[key], value)
            assert isinstance(value, np.ndarray) or type(op.options[key]) is type(value), key


def places(tables: Tables, at: int) -> Iterator[tuple[int, Any]]:
    yield from ((tables.place(at, f.slot), f) for f in fields("Tensor"))


def test_a_field_that_is_not_there_has_its_default(g: Builder) -> None:
    data = network(g)
    tables = Tables(data)
    graph = tables.tables(GENERATED.Model.GetRootAs(data, 0)._tab.Pos, field("Model", "subgraphs"))[0]
    first = tables.tables(graph, field("SubGraph", "tensors"))[0]
    absent = [f for place, f in places(tables, first) if not place]
    assert {"is_variable", "external_buffer"} <= {f.name for f in absent}
    for f in absent:
        assert f.default == (tables.value(first, f) if f.inline else None)
        assert f.inline or (tables.vector(first, f, "<i4") is None and tables.text(first, f) is None)


@pytest.mark.parametrize("distance", [2**30, -(2**30), 100_000])
def test_a_vtable_outside_of_the_file_is_a_damage(g: Builder, distance: int) -> None:
    data = bytearray(network(g))
    root = struct.unpack_from("<I", data)[0]
    graphs = Tables(bytes(data)).tables(root, field("Model", "subgraphs"))
    struct.pack_into("<i", data, graphs[0], distance)
    with pytest.raises(ModelFormatError, match="damaged"):
        read_bytes(bytes(data))


def test_a_string_beyond_the_file_is_a_damage(g: Builder) -> None:
    data = bytearray(network(g))
    tables = Tables(bytes(data))
    graph = tables.tables(struct.unpack_from("<I", data)[0], field("Model", "subgraphs"))[0]
    first = tables.tables(graph, field("SubGraph", "tensors"))[0]
    struct.pack_into("<I", data, tables.target(first, field("Tensor", "name")), len(data))
    with pytest.raises(ModelFormatError, match="damaged"):
        read_bytes(bytes(data))
