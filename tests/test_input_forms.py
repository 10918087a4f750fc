"""Models as they come: sparse constants, constants in other files, open heights and widths, shared signatures."""

from pathlib import Path

import numpy as np
import pytest
from conftest import quantized

import fullint
from fullint.errors import ModelFormatError, UsageError
from fullint.model.ir import Buffer, Graph, Signature, Tensor, constant
from fullint.model.tflite import read_bytes, schema, write_model
from fullint.ops.builder import Builder, samples_like
from fullint.ops.make import make_op


def sparse(dense: np.ndarray, dtype: str = "float32") -> Tensor:
    """A constant in compressed rows."""
    s = schema.generated()
    rows, columns = s.DimensionMetadataT(), s.DimensionMetadataT()
    rows.format, rows.denseSize = 0, dense.shape[0]
    columns.format = 1
    at = [np.flatnonzero(row) for row in dense]
    for name, values in (
        ("Segments", np.cumsum([0, *map(len, at)])),
        ("Indices", np.concatenate(at)),
    ):
        vector = s.Int32VectorT()
        vector.values = values.astype(np.int32)
        setattr(columns, f"array{name}", vector)
        setattr(columns, f"array{name}Type", s.SparseIndexVector.Int32Vector)
    params = s.SparsityParametersT()
    params.traversalOrder, params.dimMetadata = np.int32([0, 1]), [rows, columns]
    values = np.concatenate([row[i] for row, i in zip(dense, at, strict=True)]).astype(dtype)
    return Tensor("sparse", dense.shape, dtype, Buffer.of(values), sparsity=params)


def pruned(g: Builder) -> np.ndarray:
    w = g.rng.normal(size=(4, 8)).astype(np.float32)
    return np.where(np.abs(w) > 0.7, w, 0).astype(np.float32)


@pytest.mark.parametrize("written_out", [True, False])
def test_sparse_weights(g: Builder, written_out: bool) -> None:
    """With a DENSIFY in front, or read by the operator itself."""
    w = pruned(g)
    t = sparse(w)
    if written_out:
        t = g.op("DENSIFY", t, shape=w.shape, dtype="float32")
    g.output(g.dense(g.input(1, 8), 4, weights=t))
    g.graph.ops[-1].version = 8  # the first that reads sparse weights
    result = quantized(g)
    op = read_bytes(result.model).main.ops[0]
    assert op.kind == "FULLY_CONNECTED"
    assert ((op.inputs[1].array != 0) == (w != 0)).all()
    assert result.report.certificate.sqnr_db > 30


def test_sparse_float16_weights(g: Builder) -> None:
    w = pruned(g)
    half = g.op("DENSIFY", sparse(w, "float16"), shape=w.shape, dtype="float16")
    g.output(g.dense(g.input(1, 8), 4, weights=g.op("DEQUANTIZE", half, dtype="float32")))
    assert quantized(g).report.certificate.sqnr_db > 30


def with_external_weights(g: Builder, folder: Path, name: str = "weights.bin") -> Path:
    """A model whose weights lie in a file of their own."""
    g.output(g.dense(g.input(1, 8), 4))
    model = g.model()
    s = schema.generated()
    group, entry = s.ExternalBufferGroupT(), s.ExternalBufferT()
    group.name = name
    weights = model.main.ops[0].inputs[1]
    entry.id, entry.group, entry.offset, entry.length = 7, 0, 16, weights.buffer.data.nbytes
    model.external_groups, model.external_buffers = [group], [entry]
    (folder / "weights.bin").write_bytes(bytes(16) + weights.buffer.data.tobytes())
    weights.buffer, weights.external_buffer = None, 7
    path = folder / "model.tflite"
    path.write_bytes(write_model(model))
    return path


def samples() -> list[np.ndarray]:
    return list(np.random.default_rng(0).normal(size=(20, 1, 8)).astype(np.float32))


def test_constants_in_another_file(g: Builder, tmp_path: Path) -> None:
    result = fullint.quantize(with_external_weights(g, tmp_path), samples())
    model = read_bytes(result.model)
    assert model.main.ops[0].inputs[1].dtype == "int8"
    assert not any(t.external_buffer for t in model.main.tensors)
    assert result.report.certificate.sqnr_db > 30


@pytest.mark.parametrize(("name", "why"), [("../weights.bin", "outside the model's folder"), ("none.bin", "cannot be read")])
def test_constants_in_a_file_that_is_not_there(g: Builder, tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(ModelFormatError, match=why):
        fullint.quantize(with_external_weights(g, tmp_path, name), samples())


def test_constants_in_another_file_need_a_path(g: Builder, tmp_path: Path) -> None:
    with pytest.raises(ModelFormatError, match="give the model as a path"):
        fullint.quantize(with_external_weights(g, tmp_path).read_bytes(), samples())


def test_constants_in_a_file_that_is_too_short(g: Builder, tmp_path: Path) -> None:
    path = with_external_weights(g, tmp_path)
    (tmp_path / "weights.bin").write_bytes(bytes(20))
    with pytest.raises(ModelFormatError, match="is too short for the constant"):
        fullint.quantize(path, samples())


def open_image(g: Builder) -> bytes:
    x = g.input(-1, -1, -1, 3, name="image")
    y = g.conv(x, stride=2)
    y.shape_signature = (-1, -1, -1, 4)
    g.output(g.op("MEAN", y, constant("axes", np.int32([1, 2])), shape=(1, 4)))
    return g.bytes()


@pytest.mark.parametrize("shape", ["2,16,12,3", "image=2,16,12,3", ["image=2,16,12,3"]])
def test_open_height_and_width_are_fixed(g: Builder, shape: object) -> None:
    data = open_image(g)
    given = [np.random.default_rng(i).normal(size=(2, 16, 12, 3)).astype(np.float32) for i in range(12)]
    model = read_bytes(fullint.quantize(data, given, shape=shape).model)
    assert model.main.inputs[0].shape == (2, 16, 12, 3)
    assert all(t.shape_signature is None for t in model.main.tensors)


def test_open_height_and_width_are_asked_for(g: Builder) -> None:
    with pytest.raises(UsageError, match="--shape"):
        fullint.quantize(open_image(g), synthetic=True)


@pytest.mark.parametrize("shape", ["2,16,12", "2,16,12,4", "picture=2,16,12,3"])
def test_shape_that_does_not_fit(g: Builder, shape: str) -> None:
    with pytest.raises(UsageError):
        fullint.quantize(open_image(g), synthetic=True, shape=shape)


def test_several_inputs_by_name(g: Builder) -> None:
    a, b = g.input(1, 8, name="a"), g.input(1, 8, name="b")
    g.output(g.op("MUL", a, b), g.op("ADD", a, b))
    data = g.bytes()
    result = fullint.quantize(data, samples_like(read_bytes(data), 20))
    assert [o.sqnr_db > 25 for o in result.report.certificate.outputs] == [True, True]


def two_entries() -> bytes:
    """encode(x) = tanh(A x), decode(h) = B h: two signatures, a graph each."""
    first, second = Builder(name="encode"), Builder(seed=1, name="decode")
    first.output(first.op("TANH", first.dense(first.input(1, 8, name="x"), 4)))
    second.output(second.dense(second.input(1, 4, name="h"), 8))
    model = first.model("encode")
    model.graphs += second.model().graphs
    model.signatures += second.model("decode").signatures
    return write_model(model)


def test_every_signature_is_calibrated_and_certified(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    xs, hs = rng.normal(size=(20, 1, 8)).astype(np.float32), rng.uniform(-1, 1, size=(20, 1, 4)).astype(np.float32)
    result = fullint.quantize(two_entries(), {"encode": list(xs), "decode": list(hs)})
    model = read_bytes(result.model)
    assert [s.key for s in model.signatures] == ["encode", "decode"]
    assert {t.dtype for g in model.graphs for t in (*g.inputs, *g.outputs)} == {"int8"}
    assert result.report.float_operators == 0
    assert [o.sqnr_db > 25 for o in result.report.certificate.outputs] == [True, True]
    samples = result.report.samples
    assert (samples["calibrated"], samples["total"], samples["held_back"]) == (32, 40, True)


def test_one_signature_may_be_named(g: Builder, tmp_path: Path) -> None:
    g.output(g.dense(g.input(1, 8), 4))
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32))
    assert fullint.quantize(g.bytes("serve"), f"serve={tmp_path / 'x.npy'}").report.float_operators == 0


def test_samples_are_asked_for_by_signature() -> None:
    with pytest.raises(UsageError, match='"encode", "decode"'):
        fullint.quantize(two_entries(), [np.ones((1, 8), np.float32)] * 12)


def test_signatures_on_the_command_line(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from fullint.cli import main

    (tmp_path / "m.tflite").write_bytes(two_entries())
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", x=rng.normal(size=(20, 8)).astype(np.float32))
    np.savez(tmp_path / "h.npz", h=rng.uniform(-1, 1, size=(20, 4)).astype(np.float32))
    given = [f"-c{k}={tmp_path / f}" for k, f in (("encode", "x.npz"), ("decode", "h.npz"))]
    done = CliRunner().invoke(main, ["quantize", str(tmp_path / "m.tflite"), *given, "-o", str(tmp_path / "o.tflite")])
    assert done.exit_code == 0, done.output


def floats_and_none() -> bytes:
    """one(x) = A x, two(a) = a + a of int32: a signature with floats, and one without."""
    g = Builder()
    g.output(g.dense(g.input(1, 8), 4))
    model = g.model()
    a, b = Tensor("a", (1, 4), "int32"), Tensor("b", (1, 4), "int32")
    other = Graph("count", [], [a], [b], [make_op("ADD", [a, a], [b])])
    other.sync_tensors()
    model.graphs.append(other)
    model.signatures = [
        Signature("one", model.main, [("x", model.main.inputs[0])], [("y", model.main.outputs[0])]),
        Signature("two", other, [("a", a)], [("b", b)]),
    ]
    return write_model(model)


def test_a_signature_without_floats_beside_one_with_them() -> None:
    """Nothing is to be measured there."""
    samples = {
        "one": [np.random.default_rng(i).normal(size=(1, 8)).astype(np.float32) for i in range(12)],
        "two": [np.full((1, 4), i, np.int32) for i in range(12)],
    }
    result = fullint.quantize(floats_and_none(), samples)
    assert result.report.float_operators == 0
    assert [s.key for s in read_bytes(result.model).signatures] == ["one", "two"]


def test_samples_by_signature_where_there_is_one(g: Builder) -> None:
    g.output(g.dense(g.input(1, 8, name="x"), 4))
    data = g.bytes(signature="serve")
    samples = [next(iter(s.values())) for s in samples_like(read_bytes(data), 12)]
    assert fullint.quantize(data, {"serve": samples}).model == fullint.quantize(data, samples).model
