"""Flatbuffers written front to back: what the generated code reads from them is what was written, and numbers are aligned."""

import numpy as np
import pytest

from fullint.model.tflite import read_bytes, schema, write_model
from fullint.model.tflite.forward import pack
from fullint.model.tflite.tables import Tables, field
from fullint.ops.builder import Builder

GENERATED = schema.generated()


def network(g: Builder) -> bytes:
    x = g.input(1, 6, 6, 3, name="x")
    y = g.conv(x, 4, stride=2, activation="RELU6")
    g.output(g.op("SOFTMAX", g.dense(g.reshape(g.op("LEAKY_RELU", y, alpha=0.25), 1, -1), 5), beta=0.5))
    return g.bytes()


def objects(data: bytes) -> object:
    return GENERATED.ModelT.InitFromObj(GENERATED.Model.GetRootAs(data, 0))


def test_a_model_is_read_as_it_was(g: Builder) -> None:
    data = network(g)
    made = bytes(pack(objects(data), schema.IDENTIFIER))
    assert write_model(read_bytes(made)) == write_model(read_bytes(data))


def test_constants_are_aligned(g: Builder) -> None:
    made = bytes(pack(objects(network(g)), schema.IDENTIFIER))
    tables = Tables(made)
    buffers = tables.tables(GENERATED.Model.GetRootAs(made, 0)._tab.Pos, field("Model", "buffers"))
    places = [tables.target(at, field("Buffer", "data")) for at in buffers]
    assert len([p for p in places if p]) >= 4
    assert all((p + 4) % 16 == 0 for p in places if p)


@pytest.mark.parametrize(
    ("table", "name", "value"),
    [
        ("StablehloSliceOptions", "startIndices", np.array([3, -(2**40)], np.int64)),
        ("StablehloSliceOptions", "startIndices", [3, -(2**40)]),
        ("BucketizeOptions", "boundaries", [0.5, 2.0]),
        ("SqueezeOptions", "squeezeDims", [1, -1]),
        ("SqueezeOptions", "squeezeDims", []),
        ("StablehloConvolutionOptions", "windowReversal", [True, False]),
        ("QuantizationParameters", "zeroPoint", np.array([-7], np.int64)),
        ("Buffer", "offset", 2**40),
        ("LeakyReluOptions", "alpha", 0.25),
        ("Tensor", "name", b"caf\xc3\xa9"),
        ("Operator", "debugMetadataIndex", 5),
    ],
)
def test_a_field_of_each_type_comes_back(table: str, name: str, value: object) -> None:
    given = getattr(GENERATED, f"{table}T")()
    setattr(given, name, value)
    made = bytes(pack(given, b"TEST"))
    got = getattr(getattr(GENERATED, f"{table}T").InitFromPackedBuf(made), name)
    if isinstance(value, bytes | int | float):
        assert got == value
    else:
        np.testing.assert_array_equal(np.asarray(got).reshape(-1) if np.size(got) and len(value) else [], value)
    others = [k for k in vars(given) if k != name]
    back = getattr(GENERATED, f"{table}T").InitFromPackedBuf(made)
    assert all(getattr(back, k) == getattr(given, k) for k in others)


def test_tables_of_equal_fields_share_a_vtable(g: Builder) -> None:
    model = objects(network(g))
    size = len(pack(model, schema.IDENTIFIER))
    model.subgraphs[0].tensors += model.subgraphs[0].tensors[:1] * 1000  # type: ignore[attr-defined]
    assert (len(pack(model, schema.IDENTIFIER)) - size) / 1000 < 100
