"""Graphs that are run piece by piece: the bits of one run, nothing kept longer than it is read, no state torn apart."""

from collections.abc import Sequence

import numpy as np
import pytest
from measuring import branch, loop
from op_examples import lstm

from fullint.limits import Limits
from fullint.model.ir import Graph, Model, Op, Tensor
from fullint.ops import ROWS
from fullint.ops.builder import Builder
from fullint.ops.make import make_op
from fullint.quantization.pieces import GraphPiece, cut, without_state
from fullint.quantization.side_by_side import SteppedModel, data_of
from fullint.runtime.messages import Advance, Look, Open, Put, Run
from fullint.runtime.process import WorkerProcess, model_file
from fullint.runtime.steps import Steps
from fullint.runtime.watch import Watch

Values = dict[Tensor, list[np.ndarray]]


def weighted(graph: Graph) -> list[Op]:
    return [op for op in graph.ops if op.kind in ROWS and ROWS[op.kind].weight is not None]


def at_once(model: Model, wanted: Sequence[Tensor], samples: Sequence[Sequence[np.ndarray]]) -> Values:
    """Some values, of one run of the whole model for each sample."""
    old = model.main
    whole = Graph(old.name, [], list(old.inputs), list(wanted), list(old.ops))
    whole.sync_tensors()
    with model_file(Model([whole, *model.graphs[1:]], version=model.version)) as path, WorkerProcess() as worker:
        worker.call(Open(path, "xnnpack", 1))
        found = [worker.call(Run(list(s))) for s in samples]
    return {t: [outputs[i] for outputs in found] for i, t in enumerate(wanted)}


def in_pieces(model: Model, cuts: Sequence[Op], samples: Sequence[Sequence[np.ndarray]]) -> tuple[list[GraphPiece], Values]:
    """What each piece hands on, and what is left at the end must be what was wanted."""
    end = data_of(cuts[-1])
    pieces = cut(model.main, cuts, {end})
    keys: dict[Tensor, int] = {}
    numbers = lambda group: [keys.setdefault(t, len(keys)) for t in group]  # noqa: E731
    found: Values = {}
    with WorkerProcess() as worker:
        inputs = numbers(model.main.inputs)
        worker.call(Put({key: [s[i] for s in samples] for i, key in enumerate(inputs)}))
        for piece in pieces:
            with model_file(piece.model(model.version)) as path:
                worker.call(Advance(path, numbers(piece.takes), numbers(piece.gives), numbers(piece.drops), 1))
            for t in piece.gives:
                if t not in piece.drops:
                    found[t] = list(worker.call(Look(keys[t], np.stack)))
        found[end] = list(worker.call(Look(keys[end], np.stack)))
    return pieces, found


def assert_same_bits(model: Model, cuts: Sequence[Op], samples: Sequence[Sequence[np.ndarray]]) -> list[GraphPiece]:
    pieces, found = in_pieces(model, cuts, samples)
    assert found
    expected = at_once(model, [*found], samples)
    for t, values in found.items():
        for a, b in zip(values, expected[t], strict=True):
            assert a.dtype == b.dtype and a.tobytes() == b.tobytes(), t.name
    assert_kept_as_long_as_read(model.main, cuts, pieces)
    return pieces


def assert_kept_as_long_as_read(graph: Graph, cuts: Sequence[Op], pieces: Sequence[GraphPiece]) -> None:
    """Whatever a later piece takes is there, and nothing else is but what is looked at last."""
    end = data_of(cuts[-1])
    alive = {*graph.inputs}
    for number, piece in enumerate(pieces):
        assert {*piece.takes} <= alive
        alive |= {*piece.gives}
        assert {*piece.drops} <= alive
        alive -= {*piece.drops}
        later = {t for p in pieces[number + 1 :] for t in p.takes}
        assert alive == (later & alive) | ({end} & alive), [t.name for t in alive - later - {end}]
        assert later <= alive | {t for p in pieces[number + 1 :] for t in p.gives}
    assert alive == {end}
    assert [op for p in pieces for op in p.ops] == graph.ops[: graph.ops.index(cuts[-1])]


def residual(g: Builder) -> None:
    """Branches, values that are read much later, an output in the middle, a second input late, one that nothing reads."""
    x, late = g.input(1, 8, 8, 3), g.input(1, 4)
    g.input(1, 2, name="unread")
    a = g.conv(x, 6, activation="RELU")
    b = g.depthwise(a, 2)
    c = g.conv(b, 6, kernel=1)
    d = g.op("ADD", a, c)
    e = g.conv(d, 4, stride=2)
    both = g.op("CONCATENATION", e, g.conv(a, 4, stride=2), shape=(1, 4, 4, 8), axis=3)
    means = g.op("MEAN", both, g.const(np.int32([1, 2])), shape=(1, 8), keep_dims=False)
    joined = g.op("CONCATENATION", means, late, shape=(1, 12), axis=1)
    g.output(d, g.dense(g.dense(joined, 5, activation="RELU"), 3))


def random_samples(model: Model, count: int) -> list[list[np.ndarray]]:
    rng = np.random.default_rng(3)
    return [
        [
            rng.integers(0, 2, t.shape).astype(bool) if t.dtype == "bool" else rng.normal(size=t.shape).astype(np.float32)
            for t in model.main.inputs
        ]
        for _ in range(count)
    ]


def test_branches_and_several_inputs(g: Builder) -> None:
    residual(g)
    model = g.model()
    cuts = weighted(model.main)
    assert len(cuts) == 7
    pieces = assert_same_bits(model, cuts, random_samples(model, 3))
    assert len(pieces) == 7 and pieces[0].ops == ()


@pytest.mark.parametrize("chosen", [[0], [6], [1, 4], [2, 3, 5], [0, 6]])
def test_some_cuts_only(g: Builder, chosen: list[int]) -> None:
    """What comes after the last one is not run."""
    residual(g)
    model = g.model()
    assert_same_bits(model, [weighted(model.main)[i] for i in chosen], random_samples(model, 2))


def test_control_flow(g: Builder) -> None:
    """Loops and branches are inside a piece, each with its graphs."""
    condition, x = g.input(1, dtype="bool"), g.input(1, 6)
    loop(g, g.dense(x, 6))
    branch(g, condition, g.dense(g.graph.outputs[-1], 6))
    g.output(g.dense(g.dense(g.graph.outputs[-1], 4), 2))
    model = g.model()
    samples = random_samples(model, 4)
    assert {bool(s[0][0]) for s in samples} == {True, False}
    pieces = assert_same_bits(model, weighted(model.main), samples)
    assert [len(p.model(3).graphs) for p in pieces] == [1, 3, 3, 1]


def test_a_value_that_only_control_flow_reads_is_kept_for_it(g: Builder) -> None:
    """Read by an IF behind two more pieces."""
    condition, x = g.input(1, dtype="bool"), g.input(1, 6)
    early = g.dense(x, 6)
    g.dense(g.dense(x, 5), 6)
    branch(g, condition, early)
    g.output(g.dense(g.graph.outputs[-1], 2))
    model = g.model()
    assert_same_bits(model, weighted(model.main), random_samples(model, 3))


def variable(g: Builder, name: bytes = b"v") -> Tensor:
    handle = Tensor("handle", (), "resource")
    g.graph.ops.append(make_op("VAR_HANDLE", [], [handle], shared_name=name, container=b""))
    return handle


def remembering(g: Builder, names: tuple[bytes, bytes]) -> list[Op]:
    """y = dense(dense(x) + v), v = y, and two dense layers before and behind; each operator with a handle of its own."""
    x = g.dense(g.input(1, 4), 4)
    read = Tensor("before", (1, 4), "float32")
    g.graph.ops.append(make_op("READ_VARIABLE", [variable(g, names[0])], [read]))
    y = g.op("TANH", g.dense(g.op("ADD", g.dense(x, 4), read), 4))
    g.graph.ops.append(make_op("ASSIGN_VARIABLE", [variable(g, names[1]), y], []))
    g.output(g.dense(g.dense(y, 4), 4))
    return weighted(g.graph)


def test_no_cut_between_the_operators_of_a_variable(g: Builder) -> None:
    ops = remembering(g, (b"v", b"v"))
    assert without_state(g.graph, ops) == [ops[0], *ops[3:]]
    kinds = [op.kind for op in without_state(g.graph, g.graph.ops)]
    assert kinds == ["FULLY_CONNECTED", "VAR_HANDLE", "FULLY_CONNECTED", "FULLY_CONNECTED"]


def test_cuts_between_those_of_two_variables(g: Builder) -> None:
    ops = remembering(g, (b"v", b"w"))
    assert without_state(g.graph, ops) == ops


def test_no_cut_between_operators_that_share_a_handle(g: Builder) -> None:
    """Also where it is not known what it is a handle of."""
    handle = g.input(dtype="resource")
    read = Tensor("before", (1, 4), "float32")
    g.graph.ops.append(make_op("READ_VARIABLE", [handle], [read]))
    y = g.dense(g.dense(read, 4), 4)
    g.graph.ops.append(make_op("ASSIGN_VARIABLE", [handle, y], []))
    g.dense(y, 4)
    ops = weighted(g.graph)
    assert without_state(g.graph, ops) == [ops[2]]


def test_no_cut_between_an_operator_and_a_graph_that_share_a_variable(g: Builder) -> None:
    graphs = []
    for name in ("then", "else"):
        b = Builder(name=name)
        y = b.op("NEG", b.input(1, 4))
        if name == "then":
            b.graph.ops.append(make_op("ASSIGN_VARIABLE", [variable(b), y], []))
        b.output(y)
        graphs.append(b.graph)
    read, out = Tensor("before", (1, 4), "float32"), Tensor("out", (1, 4), "float32")
    g.dense(g.input(1, 4), 4)
    g.graph.ops.append(make_op("READ_VARIABLE", [variable(g)], [read]))
    x = g.dense(read, 4)
    options = {"then_subgraph_index": graphs[0], "else_subgraph_index": graphs[1]}
    g.graph.ops.append(make_op("IF", [g.input(1, dtype="bool"), x], [out], **options))
    g.dense(out, 4)
    ops = weighted(g.graph)
    assert without_state(g.graph, ops) == [ops[0], ops[2]]


def test_no_cut_between_operators_that_share_a_table_of_values(g: Builder) -> None:
    """One fills it, another one reads it."""
    x = g.dense(g.input(1, 4), 4)
    for _ in range(2):
        handle = Tensor("table", (), "resource")
        g.graph.ops.append(make_op("HASHTABLE", [], [handle], table_id=5))
        x = g.dense(x, 4)
    ops = weighted(g.graph)
    assert without_state(g.graph, ops) == [ops[0], ops[2]]


def test_state_goes_on_from_one_sample_to_the_next(g: Builder) -> None:
    lstm(g)
    y = g.graph.outputs.pop()
    g.output(g.dense(g.dense(g.reshape(y, 1, -1), 4), 2))
    model = g.model()
    cuts = weighted(model.main)
    assert without_state(model.main, cuts) == cuts
    samples = random_samples(model, 3)
    samples[1] = [a.copy() for a in samples[0]]
    assert_same_bits(model, cuts, samples)
    _, found = in_pieces(model, cuts, samples)
    first, again, _ = found[data_of(cuts[0])]
    assert not np.array_equal(first, again)


def test_threads_give_the_same_bits(g: Builder) -> None:
    residual(g)
    model = g.model()
    cuts, samples = weighted(model.main), random_samples(model, 2)
    seen = []
    for threads in (1, 2):
        with WorkerProcess() as worker:
            stepped = SteppedModel(model, cuts, worker, samples, threads)
            for _ in cuts:
                stepped.advance({})
                stepped.wait()
            worker.send(Look(stepped.keys[data_of(cuts[-1])], np.stack))
            seen.append(stepped.answer().tobytes())
    assert seen[0] == seen[1]


def test_operators_are_run_in_the_place_of_others(g: Builder) -> None:
    """From where they were put in; a piece that was run before stays as it was."""
    x = g.input(1, 4)
    a = g.dense(x, 4, weights=g.const(np.eye(4, dtype=np.float32)), bias=False)
    b = g.dense(a, 4, weights=g.const(np.eye(4, dtype=np.float32)), bias=False)
    g.output(g.dense(b, 4))
    model = g.model()
    cuts = weighted(model.main)
    double = make_op("FULLY_CONNECTED", [a, g.const(2 * np.eye(4, dtype=np.float32))], [b])
    with WorkerProcess() as worker:
        stepped = SteppedModel(model, cuts, worker, [[np.ones((1, 4), np.float32)]], 1)
        for _ in cuts:
            stepped.advance({cuts[1]: double})
            stepped.wait()
        worker.send(Look(stepped.keys[b], np.stack))
        assert stepped.answer().tolist() == [[[2.0] * 4]]


def test_what_is_put_in_takes_the_place_of_all_before() -> None:
    steps = Steps(Watch(Limits()))
    steps.put({0: [np.zeros(1)], 1: [np.zeros(1)]})
    steps.put({1: [np.ones(1)]})
    assert [*steps.values] == [1] and steps.look(1, np.sum) == 1
    steps.drop([1, 7])
    assert steps.values == {}
