"""Loops, branches, variables and recurrent operators become integer, with one scale for what they carry."""

import numpy as np
import pytest
from conftest import quantized, run
from op_examples import lstm, svdf

import fullint
from fullint.errors import NotIntegerError
from fullint.model.ir import Graph, Quant, Tensor
from fullint.model.tflite import read_bytes, write_model
from fullint.ops.builder import Builder, samples_like
from fullint.ops.make import make_op


def loop(g: Builder, turns: int = 6) -> None:
    """h = tanh(W h + U x[i]), for each i: a recurrent network as converters write it."""
    cells, n = 5, 3
    cond, body = Builder(name="cond"), Builder(seed=1, name="body")
    i, *_ = cond.input(dtype="int32"), cond.input(1, cells), cond.input(turns, 1, n)
    cond.output(cond.op("LESS", i, cond.const(np.int32(turns)), shape=()))
    j, h, xs = body.input(dtype="int32"), body.input(1, cells), body.input(turns, 1, n)
    x = body.op("GATHER", xs, j, shape=(1, n), axis=0)
    new = body.op("TANH", body.op("ADD", body.dense(h, cells), body.dense(x, cells)))
    body.output(body.op("ADD", j, body.const(np.int32(1)), shape=()), new, xs)
    out = [Tensor("i", (), "int32"), Tensor("h", (1, cells), "float32"), Tensor("xs", (turns, 1, n), "float32")]
    first = [g.const(np.int32(0)), g.const(np.zeros((1, cells), np.float32)), g.input(turns, 1, n)]
    g.graph.ops.append(make_op("WHILE", first, out, cond_subgraph_index=cond.graph, body_subgraph_index=body.graph))
    g.output(g.dense(out[1], 2))


def graphs_of(data: bytes) -> list[Graph]:
    return read_bytes(data).graphs


def test_loop_is_all_integer(g: Builder) -> None:
    loop(g)
    result = quantized(g, 100)
    assert result.report.float_operators == 0
    assert result.report.certificate.sqnr_db > 25
    main, _, body = graphs_of(result.model)
    turn = next(op for op in main.ops if op.kind == "WHILE")
    for outer, inner in zip(turn.outputs, body.inputs, strict=True):
        assert (outer.quant is None) == (inner.quant is None)
        assert outer.quant is None or outer.quant.same_as(inner.quant)


@pytest.mark.parametrize("turned", [False, True])
def test_int16_reaches_into_a_loop(g: Builder, turned: bool) -> None:
    """In whatever order a file has its graphs: each loop gets its own copies of them, in another."""
    loop(g)
    model = read_bytes(g.bytes())
    if turned:
        model.graphs[1:] = model.graphs[:0:-1]
    result = fullint.quantize(write_model(model), samples_like(model, 20), int16="TANH")
    wide = [
        op.kind for graph in graphs_of(result.model) for op in graph.ops if op.kind == "TANH" and op.inputs[0].dtype == "int16"
    ]
    assert len(wide) == 1


def test_what_a_loop_carries_is_measured_inside(g: Builder) -> None:
    """The state grows from 1 to 64 in the loop: its range is the largest any turn has seen."""
    cond, body = Builder(name="cond"), Builder(name="body")
    i, _ = cond.input(dtype="int32"), cond.input(1, 4)
    cond.output(cond.op("LESS", i, cond.const(np.int32(6)), shape=()))
    j, y = body.input(dtype="int32"), body.input(1, 4)
    body.output(body.op("ADD", j, body.const(np.int32(1)), shape=()), body.op("ADD", y, y))
    out = [Tensor("i", (), "int32"), Tensor("y", (1, 4), "float32")]
    x = g.input(1, 4)
    g.graph.ops.append(
        make_op("WHILE", [g.const(np.int32(0)), x], out, cond_subgraph_index=cond.graph, body_subgraph_index=body.graph)
    )
    g.output(out[1])
    result = fullint.quantize(g.bytes(), [np.full((1, 4), v, np.float32) for v in np.linspace(-1, 1, 20)], min_sqnr=-100)
    quant: Quant = graphs_of(result.model)[0].outputs[0].quant
    assert 64 / 127 < float(quant.scale[0]) < 2 * 80 / 255


def branch(g: Builder, *, constant: bool = False) -> None:
    graphs = []
    for kind in ("TANH", "LOGISTIC"):
        b = Builder(name=kind)
        x = b.input(1, 8)
        w = b.input(4, 8) if constant else b.random(4, 8)
        y = b.op("FULLY_CONNECTED", x, w, None, shape=(1, 4))
        b.output(b.op(kind, y))
        graphs.append(b.graph)
    c, x = g.input(1, dtype="bool"), g.input(1, 8)
    given = [c, x, *([g.random(4, 8)] if constant else [])]
    out = Tensor("chosen", (1, 4), "float32")
    g.graph.ops.append(make_op("IF", given, [out], then_subgraph_index=graphs[0], else_subgraph_index=graphs[1]))
    g.output(out)


@pytest.mark.parametrize("constant", [True, False])
def test_branches_are_all_integer(g: Builder, constant: bool) -> None:
    """A constant that comes as an argument is put inside, so that weights are weights there."""
    branch(g, constant=constant)
    result = quantized(g)
    assert result.report.float_operators == 0
    assert result.report.certificate.sqnr_db > 20
    for graph in graphs_of(result.model)[1:]:
        dense = next(op for op in graph.ops if op.kind == "FULLY_CONNECTED")
        assert dense.inputs[1].is_constant


def test_branch_never_taken_is_named(g: Builder) -> None:
    branch(g)
    samples = [(np.array([True]), s["input_1"]) for s in samples_like(read_bytes(g.bytes()), 12)]
    result = fullint.quantize(g.bytes(), samples)
    assert any("no sample took the branch" in w for w in result.report.warnings)


def variable(g: Builder) -> None:
    """y = x + 0.5 * what it was before; the first value comes from a graph that runs once."""
    names = {"container": "", "shared_name": "before"}
    start = Builder(name="start")
    handle = Tensor("handle", (), "resource")
    start.graph.ops.append(make_op("VAR_HANDLE", [], [handle], **names))
    start.graph.ops.append(make_op("ASSIGN_VARIABLE", [handle, start.const(np.zeros((1, 6), np.float32))], []))
    g.graph.ops.append(make_op("CALL_ONCE", [], [], init_subgraph_index=start.graph))
    own = Tensor("own_handle", (), "resource")
    g.graph.ops.append(make_op("VAR_HANDLE", [], [own], **names))
    before = Tensor("before", (1, 6), "float32")
    g.graph.ops.append(make_op("READ_VARIABLE", [own], [before]))
    y = g.op("ADD", g.input(1, 6), g.op("MUL", before, g.const(0.5)))
    g.graph.ops.append(make_op("ASSIGN_VARIABLE", [own, y], []))
    g.output(y)


def test_variable_keeps_its_scale_over_runs(g: Builder) -> None:
    variable(g)
    result = quantized(g, 30)
    assert result.report.float_operators == 0
    assert result.report.certificate.sqnr_db > 25
    model = read_bytes(result.model)
    read = next(op for op in model.main.ops if op.kind == "READ_VARIABLE").outputs[0].quant
    for _, op in model.ops():
        if op.kind == "ASSIGN_VARIABLE":
            assert op.inputs[1].quant.same_as(read)


@pytest.mark.parametrize("make", [lstm, svdf])
def test_operators_with_state(g: Builder, make) -> None:
    make(g)
    result = quantized(g, 24)
    assert result.report.float_operators == 0
    assert result.report.certificate.sqnr_db > 18


@pytest.mark.parametrize("merged", [True, False])
def test_bidirectional_lstm(g: Builder, merged: bool) -> None:
    n, cells, steps = 4, 3, 6
    x = g.input(1, steps, n)
    side = lambda: [  # noqa: E731
        *[g.random(cells, n, scale=0.4) for _ in range(4)],
        *[g.random(cells, cells, scale=0.4) for _ in range(4)],
        *[None] * 3,
        *[g.random(cells, scale=0.1) for _ in range(4)],
        None,
        None,
    ]
    states = [Tensor(f"s{i}", (1, cells), "float32", is_variable=True) for i in range(4)]
    inputs = [x, *side(), *side(), *states, *[None] * 9]
    shapes = [2 * cells] if merged else [cells, cells]
    outs = [Tensor(f"out{i}", (1, steps, c), "float32") for i, c in enumerate(shapes)]
    op = make_op("BIDIRECTIONAL_SEQUENCE_LSTM", inputs, outs, fused_activation_function=4, merge_outputs=merged, time_major=False)
    op.inputs = inputs
    g.graph.ops.append(op)
    g.output(*outs)
    result = quantized(g, 24)
    assert result.report.operator_counts["UNIDIRECTIONAL_SEQUENCE_LSTM"] == 2
    assert result.report.certificate.sqnr_db > 18


def test_graph_no_sample_reaches_is_refused(g: Builder) -> None:
    """Float arithmetic in the graph that runs once: nothing measures it, and nothing is guessed."""
    variable(g)
    start = next(op for op in g.graph.ops if op.kind == "CALL_ONCE").options["init_subgraph_index"]
    handle, value = start.ops[-1].inputs
    grown = Tensor("grown", (1, 6), "float32")
    start.ops[-1:] = [make_op("EXP", [value], [grown]), make_op("ASSIGN_VARIABLE", [handle, grown], [])]
    with pytest.raises(NotIntegerError, match="no sample gives it a range"):
        quantized(g)


def test_loop_computes_the_same_on_every_kernel_set(g: Builder) -> None:
    loop(g)
    data = quantized(g).model
    x = np.arange(18, dtype=np.int8).reshape(6, 1, 3) * 5
    outputs = [run(data, [x], k)[0].astype(int) for k in ("xnnpack", "builtin", "reference")]
    assert np.abs(outputs[1] - outputs[0]).max() <= 2 and np.abs(outputs[2] - outputs[0]).max() <= 2


def test_loop_that_integers_never_leave_is_ended(g: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    """0.9 q rounds back to q: the condition never turns, and waiting for it has an end."""
    from fullint.errors import VerificationError
    from fullint.verification import certificate

    monkeypatch.setattr(certificate, "PATIENCE", 2.0)
    cond, body = Builder(name="cond"), Builder(name="body")
    top = cond.op("REDUCE_MAX", cond.input(1, 4), cond.const(np.int32([0, 1])), shape=())
    cond.output(cond.op("GREATER", top, cond.const(0.001), shape=()))
    body.output(body.op("MUL", body.input(1, 4), body.const(0.9)))
    out = Tensor("y", (1, 4), "float32")
    x = g.op("ABS", g.input(1, 4))
    g.graph.ops.append(make_op("WHILE", [x], [out], cond_subgraph_index=cond.graph, body_subgraph_index=body.graph))
    g.output(out)
    with pytest.raises(VerificationError, match="did not finish within"):
        quantized(g, min_sqnr=-1000)
