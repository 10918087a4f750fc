"""Models that LiteRT runs and fullint once did not: each kind on a model of our own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import CORPUS, quantized, run

import fullint
from fullint.errors import ModelFormatError
from fullint.model.ir import Graph, Model, Op, Signature, Tensor, constant
from fullint.model.subgraphs import callees_first, reachable
from fullint.model.tflite import read_bytes, read_model, schema, write, write_file, write_model
from fullint.ops.builder import Builder, samples_like
from fullint.ops.make import make_op
from fullint.passes.composite import MOST_COPIES, own_subgraphs


def branch(condition: Tensor, x: Tensor, y: Tensor, then: Graph, otherwise: Graph) -> Op:
    return make_op("IF", [condition, x], [y], then_subgraph_index=then, else_subgraph_index=otherwise)


def leaf(name: str, offset: float) -> Graph:
    x, y = Tensor(f"{name}/x", (1, 4), "float32"), Tensor(f"{name}/y", (1, 4), "float32")
    graph = Graph(name, [], [x], [y], [make_op("ADD", [x, constant(f"{name}/c", np.full(4, offset, np.float32))], [y])])
    graph.sync_tensors()
    return graph


def nested(depth: int, *, same: bool) -> Model:
    """Branches in branches; two graphs on each level, both of which call both below (or one, called twice)."""
    pair = [leaf("a", 1.0), leaf("b", -0.5)]
    graphs = [*pair]
    for level in range(depth):
        new = []
        for name, threshold in (("a", 0.1), ("b", 0.3)):
            x, y = (Tensor(f"{name}{level}/{t}", (1, 4), "float32") for t in "xy")
            largest, c = Tensor(f"{name}{level}/m", (), "float32"), Tensor(f"{name}{level}/c", (), "bool")
            most = make_op("REDUCE_MAX", [x, constant("axes", np.int32([0, 1]))], [largest], keep_dims=False)
            test = make_op("GREATER", [largest, constant("t", np.float32(threshold * level))], [c])
            graph = Graph(f"{name}{level}", [], [x], [y], [most, test, branch(c, x, y, pair[0], pair[0 if same else 1])])
            graph.sync_tensors()
            new.append(graph)
        pair = new
        graphs += pair
    x, y, c = Tensor("x", (1, 4), "float32"), Tensor("y", (1, 4), "float32"), Tensor("c", (1,), "bool")
    main = Graph("main", [], [c, x], [y], [branch(c, x, y, *pair)])
    main.sync_tensors()
    return Model([main, *graphs])


@pytest.mark.parametrize(("depth", "same"), [(10, False), (100, True)])
def test_branches_that_nest_are_copied_within_limits(depth: int, same: bool) -> None:
    model = nested(depth, same=same)
    data, count = write_model(model), sum(1 for _ in model.ops())
    own_subgraphs(read := read_bytes(data))
    assert sum(1 for _ in read.ops()) <= (MOST_COPIES + 1) * count + 4
    order = callees_first(read.main.ops)
    assert all(order.index(below) < order.index(g) for g in order for op in g.ops for below in op.subgraphs())
    assert {*order} == {*reachable(read)} - {read.main}
    rng = np.random.default_rng(0)
    samples = [{"c": np.array([i % 2 == 0]), "x": rng.normal(size=(1, 4)).astype(np.float32)} for i in range(40)]
    result = fullint.quantize(data, samples, min_sqnr=-100)
    assert result.report.float_operators == 0
    assert len(read_bytes(result.model).graphs) <= (MOST_COPIES + 1) * len(model.graphs)


def test_ranges_inside_a_shared_branch_are_those_of_all_its_callers() -> None:
    model = nested(2, same=False)
    rng = np.random.default_rng(0)
    samples = [{"c": np.array([i % 2 == 0]), "x": rng.normal(size=(1, 4)).astype(np.float32)} for i in range(64)]
    assert fullint.quantize(write_model(model), samples).report.certificate.outputs[0].sqnr_db > 30


def test_room_for_tables_grows(g: Builder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sparse constants have tables that no estimate knows."""
    monkeypatch.setattr(write, "_room_for_tables", lambda model: 1)
    values = np.random.default_rng(0).normal(size=(1, 5000)).astype(np.float32)
    g.output(g.op("ADD", g.input(1, 5000), g.const(values)))
    write_file(g.model(), str(tmp_path / "m.tflite"))
    np.testing.assert_array_equal(read_model(tmp_path / "m.tflite").main.ops[0].inputs[1].array, values)


def test_a_missing_option_table_has_the_defaults(g: Builder) -> None:
    """With its type named and without."""
    x = g.input(1, 6)
    g.output(g.op("ADD", x, g.op("MUL", x, g.random(1, 6))))
    model = g.model()
    for op in model.main.ops:
        op.options, op.options_type = {}, "NONE"
    read = read_bytes(write_model(model))
    assert [op.options_type for op in read.main.ops] == ["MulOptions", "AddOptions"]
    assert read.main.ops[1].options == schema.option_fields("AddOptions")
    assert quantized(g).report.float_operators == 0


def test_shapes_go_to_tensors_whatever_the_file_has_besides(g: Builder) -> None:
    """A tensor that nobody uses lies before the others; shapes that the runtime computes belong to the others."""
    x = g.input(-1, 4, 4, 2)
    y = g.conv(x, 3)
    y.shape_signature = (-1, 4, 4, 3)
    flat = g.op("RESHAPE", y, g.const(np.int32([-1, 48])), shape=(1, 48))
    flat.shape_signature = (-1, 48)
    g.output(g.dense(flat, 2))
    model = read_bytes(g.bytes())
    model.main.tensors.insert(0, Tensor("nobody", (7, 7), "float32"))
    model.main.tensors.insert(3, Tensor("nobody else", (5,), "int32"))
    result = fullint.quantize(write_model(model), np.random.default_rng(0).normal(size=(20, 4, 4, 2)).astype(np.float32))
    assert [t.shape for t in read_bytes(result.model).main.outputs] == [(1, 2)]


def test_arithmetic_of_static_shapes_is_folded(g: Builder) -> None:
    """An empty shape constant, of which a file has no bytes, is a constant, too."""
    x = g.input(-1, 8)
    size = g.op("SHAPE", x, shape=(2,), dtype="int32", out_type=2)
    rows = g.op("STRIDED_SLICE", size, *(g.const(np.int32([n])) for n in (0, 1, 1)), shape=(1,), dtype="int32")
    empty = Tensor("empty", (0,), "int32")
    one = g.op("RESHAPE", rows, empty, shape=(), dtype="int32")
    half = g.op("FLOOR_DIV", one, g.const(np.int32(2)), shape=(), dtype="int32")
    shape = g.op("PACK", half, g.const(np.int32(16)), shape=(2,), dtype="int32", values_count=2, axis=0)
    y = g.op("RESHAPE", x, shape, shape=(1, 16))
    y.shape_signature = (-1, 16)
    g.output(g.dense(y, 3))
    given = np.random.default_rng(0).normal(size=(20, 4, 8)).astype(np.float32)
    result = fullint.quantize(g.bytes(), given, shape="4,8")
    assert [op.kind for op in read_bytes(result.model).main.ops] == ["RESHAPE", "FULLY_CONNECTED"]


def test_a_cast_to_the_same_type_is_nothing(g: Builder) -> None:
    y = g.op("CAST", g.dense(g.input(1, 8), 6), shape=(1, 6))
    g.output(g.op("TANH", y))
    result = quantized(g)
    assert result.report.float_operators == 0
    assert "CAST" not in {op.kind for op in read_bytes(result.model).main.ops}


def signed(g: Builder, *, made: bool = True) -> Model:
    """A graph that returns its last tensor, and a signature that returns one from the middle, too."""
    x = g.input(1, 8, name="x")
    middle = g.op("TANH", g.dense(x, 6))
    g.output(g.dense(middle, 3))
    model = g.model()
    other = middle if made else Tensor("nothing", (1, 6), "float32")
    if not made:
        model.main.tensors.append(other)
    outputs = [("y", model.main.outputs[0]), ("middle", other)]
    model.signatures = [Signature("serve", model.main, [("x", x)], outputs)]
    return model


def test_outputs_of_a_signature_are_outputs_of_the_graph(g: Builder) -> None:
    data = write_model(signed(g))
    samples = samples_like(read_bytes(data), 40)
    result = fullint.quantize(data, samples)
    found = read_bytes(result.model)
    assert [t for _, t in found.signatures[0].outputs] == found.main.outputs
    assert len(result.report.certificate.outputs) == 2
    assert all(o.sqnr_db > 25 for o in result.report.certificate.outputs)
    assert any(c.rule == "outputs_of_signatures" for c in result.report.changes)
    assert len(run(result.model, [np.zeros((1, 8), np.int8)])) == 2


def test_a_signature_that_returns_what_nothing_makes(g: Builder) -> None:
    with pytest.raises(ModelFormatError, match='output "middle" is tensor "nothing", which nothing makes'):
        fullint.quantize(write_model(signed(g, made=False)), synthetic=True)


@pytest.mark.skipif(not CORPUS, reason="no corpus")
@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("zoo/mp_face_detection_full_range_sparse", {}),
        ("zoo/ocr_ocr_dr", {}),
        ("zoo/fdtfl_selfie_segmenter", {}),
        ("static_shape_arithmetic/float", {"shape": "512"}),
        ("signature_output_not_graph_output/exposed", {}),
        ("signature_output_not_graph_output/one_output", {}),
        ("nested_ifs/deep_if", {}),
    ],
)
def test_named_cases_become_all_integer(path: str, options: dict[str, str]) -> None:
    result = fullint.quantize(Path(str(CORPUS), "cases", f"{path}.tflite"), synthetic=True, **options)
    assert result.report.float_operators == 0
    kinds = {op.kind for op in read_bytes(result.model).main.ops}
    assert kinds.isdisjoint({"RANGE", "FLOOR_DIV", "PACK"} if "static" in path else {"CUSTOM"})


@pytest.mark.skipif(not CORPUS, reason="no corpus")
def test_the_audit_reads_an_operator_without_options() -> None:
    [file] = fullint.audit(Path(str(CORPUS), "cases", "zoo", "cfu_hps_model_2022_01_05_89ops.tflite")).files
    assert (file.error, file.operators, file.float_operators) == (None, 89, 0)
