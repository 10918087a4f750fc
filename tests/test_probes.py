"""What calibration sees of a model, against the runtime's own values and plain NumPy."""

import numpy as np
import pytest
from conftest import snapshot
from inner_range import Inner
from measuring import HIDDEN, TURNS, Sample, Wanted, branch, collect, every_probe, loop, samples, values_of
from op_examples import lstm, svdf

from fullint.calibration.probes import Probe, Seen, measuring_model
from fullint.calibration.range_methods import MinMax
from fullint.calibration.statistics import Statistics, tensor_keys
from fullint.errors import SamplesError
from fullint.model.ir import Model, Tensor
from fullint.ops.builder import Builder
from fullint.ops.make import ACTIVATIONS, make_op


def ends(found: Statistics, wanted: Wanted, t: Tensor) -> tuple[list[float], list[float]]:
    method = found.ranges[tensor_keys(wanted.model)[t]]
    assert isinstance(method, MinMax)
    return method.low.tolist(), method.high.tolist()


def probes_of(model: Model, t: Tensor, tensors: list[Tensor], **more: object) -> list[Seen]:
    return [p.what for p in measuring_model(model, tensors, **more)[1] if p.tensor is t]


def seen(g: Builder, tensors: list[Tensor], given: list[Sample], **more: object) -> tuple[Statistics, Wanted]:
    wanted = Wanted(g.model(), tensors)
    return collect(wanted, given, **more), wanted


@pytest.mark.parametrize("shape", [(1, 4, 4, 2), (3, 5), (7,), ()])
def test_the_smallest_and_the_largest_value_of_all_samples(g: Builder, shape: tuple[int, ...]) -> None:
    x = g.input(*shape)
    y = g.op("MUL", x, g.const(-2.0), shape=shape)
    g.output(y)
    given = [[v.astype(np.float32)] for v in np.random.default_rng(0).normal(size=(5, *shape))]
    all_values = np.stack([s[0] for s in given])
    found, wanted = seen(g, [x, y], given)
    assert ends(found, wanted, x) == ([all_values.min()], [all_values.max()])
    assert ends(found, wanted, y) == ([-2 * all_values.max()], [-2 * all_values.min()])
    assert found.count == 5


def test_channels_apart(g: Builder) -> None:
    """One pair of ends for each place along the last axis; a vector's are its values."""
    x, v = g.input(1, 4, 4, 3), g.input(5)
    g.output(g.op("NEG", x), g.op("NEG", v))
    rng = np.random.default_rng(1)
    given = [[rng.normal(size=t.shape).astype(np.float32) for t in (x, v)] for _ in range(4)]
    wanted = Wanted(g.model(), [x, v], frozenset({x, v}))
    found = collect(wanted, given)
    for i, t in enumerate((x, v)):
        all_values = np.stack([s[i] for s in given]).reshape(-1, t.shape[-1])
        assert ends(found, wanted, t) == (all_values.min(axis=0).tolist(), all_values.max(axis=0).tolist())


@pytest.mark.parametrize(("activation", "at_zero"), [("NONE", False), ("RELU", True), ("RELU6", True), ("RELU_N1_TO_1", False)])
def test_behind_a_clamp_at_zero_the_smallest_value_is_not_asked_for(g: Builder, activation: str, at_zero: bool) -> None:
    """It is 0, whatever was seen; a clamp at -1 lets negative values through."""
    x = g.input(1, 8)
    y = g.op("ADD", x, g.const(2.0), fused_activation_function=ACTIVATIONS[activation])
    g.output(y)
    given = [[np.full((1, 8), v, np.float32)] for v in (-1.5, 5.0)]
    found, wanted = seen(g, [y], given)
    assert probes_of(wanted.model, y, [y]) == ([Seen.HIGH] if at_zero else [Seen.LOW, Seen.HIGH])
    low, high = {"NONE": (0.5, 7.0), "RELU": (0.0, 7.0), "RELU6": (0.0, 6.0), "RELU_N1_TO_1": (0.5, 1.0)}[activation]
    assert ends(found, wanted, y) == ([low], [high])


def test_negative_values_behind_a_clamp_at_minus_one(g: Builder) -> None:
    x = g.input(1, 8)
    y = g.op("ADD", x, g.const(0.0), fused_activation_function=ACTIVATIONS["RELU_N1_TO_1"])
    g.output(y)
    found, wanted = seen(g, [y], [[np.linspace(-3, 0.5, 8, dtype=np.float32)[None]]])
    assert ends(found, wanted, y) == ([-1.0], [0.5])


def test_a_loop_is_seen_in_every_turn(g: Builder) -> None:
    inside = loop(g, g.input(1, 4))
    given = [[np.float32([[-1, 0.5, 2, 0]]) * s] for s in (1, -3)]
    found, wanted = seen(g, inside, given)
    turned, moved = [], []
    for (y,) in given:
        for _ in range(TURNS):
            turned.append(y * np.float32(-1.5))
            y = turned[-1] + np.float32(0.25)
            moved.append(y)
    for t, made in zip(inside, (turned, moved), strict=True):
        assert ends(found, wanted, t) == ([np.min(made)], [np.max(made)])
        assert sorted(w.name for w in probes_of(wanted.model, t, inside)) == ["HIGH", "NEGATED"]


def test_a_loop_by_hand(g: Builder) -> None:
    """From 8: -12 and -11.75, 17.625 and 17.875, -26.8125 and -26.5625."""
    inside = loop(g, g.input(1, 2))
    found, wanted = seen(g, inside, [[np.full((1, 2), 8, np.float32)]])
    assert ends(found, wanted, inside[0]) == ([-26.8125], [17.625])
    assert ends(found, wanted, inside[1]) == ([-26.5625], [17.875])


def test_branches_are_seen_where_they_are_taken(g: Builder) -> None:
    condition, x = g.input(1, dtype="bool"), g.input(1, 4)
    made = branch(g, condition, x)
    rows = [np.float32([[1, -2, 3, 0.5]]), np.float32([[4, 5, 6, 7]])]
    found, wanted = seen(g, made, [[np.array([True]), rows[0]], [np.array([False]), rows[1]]])
    assert ends(found, wanted, made[0]) == ([-6.0], [4.0])
    assert ends(found, wanted, made[1]) == ([14.0], [17.0])
    assert all(m.seen for m in found.ranges.values())


def test_a_branch_never_taken_is_not_seen(g: Builder) -> None:
    condition, x = g.input(1, dtype="bool"), g.input(1, 4)
    made = branch(g, condition, x)
    found, wanted = seen(g, made, [[np.array([True]), np.ones((1, 4), np.float32)]] * 2)
    keys = tensor_keys(wanted.model)
    assert [found.ranges[keys[t]].seen for t in made] == [True, False]


def test_a_loop_within_a_branch(g: Builder) -> None:
    graphs, inside = [], []
    for name in ("then", "else"):
        b = Builder(name=name)
        x = b.input(1, 2)
        inside += loop(b, x) if name == "then" else [b.op("NEG", x)]
        if name == "else":
            b.output(inside[-1])
        graphs.append(b.graph)
    c, x, out = g.input(1, dtype="bool"), g.input(1, 2), Tensor("out", (1, 2), "float32")
    g.graph.ops.append(make_op("IF", [c, x], [out], then_subgraph_index=graphs[0], else_subgraph_index=graphs[1]))
    g.output(out)
    given = [[np.array([flag]), np.full((1, 2), 8, np.float32)] for flag in (True, False)]
    found, wanted = seen(g, inside, given)
    assert ends(found, wanted, inside[0]) == ([-26.8125], [17.625])
    assert ends(found, wanted, inside[2]) == ([-8.0], [-8.0])


def masked(g: Builder, mask: np.ndarray) -> Tensor:
    total = g.op("ADD", g.input(1, *mask.shape), g.const(mask.astype(np.float32)))
    g.output(g.op("SOFTMAX", total, beta=1.0))
    return total


def test_the_smallest_row_maximum_of_a_softmax(g: Builder) -> None:
    """What is hidden is no maximum: rows of -5 and -3, and -1 and (2), which is hidden."""
    total = masked(g, np.array([[0, 0], [0, HIDDEN]]))
    given = [[np.float32([[[-5, -3], [-1, 2]]])], [np.float32([[[-4, -6], [-0.5, 9]]])]]
    found, wanted = seen(g, [], given)
    assert found.rows == {}  # nothing is measured where nothing is wanted
    found, wanted = seen(g, [total], given)
    assert {k: m.low.tolist() for k, m in found.rows.items()} == {tensor_keys(wanted.model)[total]: [-4.0]}


def test_a_row_that_is_all_hidden_does_not_count(g: Builder) -> None:
    total = masked(g, np.array([[0, 0], [HIDDEN, HIDDEN]]))
    found, _ = seen(g, [total], [[np.float32([[[-5, -3], [-7, -8]]])]])
    assert [m.low.tolist() for m in found.rows.values()] == [[-3.0]]


def test_a_hidden_row_beside_large_ones_does_not_count(g: Builder) -> None:
    total = masked(g, np.array([[0, 0], [HIDDEN, HIDDEN]]))
    found, _ = seen(g, [total], [[np.float32([[[5, 3], [7, 8]]])]])
    assert [m.low.tolist() for m in found.rows.values()] == [[5.0]]


@pytest.mark.parametrize(("value", "rows"), [(-1001.0, 1), (-999.0, 0)])
def test_rows_are_looked_at_where_there_are_masks(g: Builder, value: float, rows: int) -> None:
    total = masked(g, np.array([[0, value]]))
    assert len(seen(g, [total], [[np.zeros((1, 1, 2), np.float32)]])[0].rows) == rows


def test_all_values_for_a_method_that_wants_them(g: Builder) -> None:
    wanted = every_probe(g)
    given = samples(6)
    found = collect(wanted, given, method=Inner.empty(), threads=2)
    keys, outer = tensor_keys(wanted.model), wanted.tensors[:5]
    for t, all_values in zip(outer, values_of(g, outer, given), strict=True):
        method = found.ranges[keys[t]]
        assert isinstance(method, Inner)
        np.testing.assert_array_equal(method.values, np.sort(all_values.reshape(-1)))
    assert all(isinstance(found.ranges[keys[t]], MinMax) for t in wanted.tensors[5:])  # in loops and branches


def test_every_probe_at_once(g: Builder) -> None:
    wanted = every_probe(g)
    given = samples(6)
    found = collect(wanted, given, threads=2)
    x, relu, plain, scores, head = wanted.tensors[:5]
    values = dict(zip(wanted.tensors, values_of(g, wanted.tensors[:5], given), strict=False))
    for t in (x, scores, head):
        assert ends(found, wanted, t) == ([values[t].min()], [values[t].max()])
    assert ends(found, wanted, plain) == tuple(getattr(values[plain], f)((0, 1, 2, 3)).tolist() for f in ("min", "max"))
    assert ends(found, wanted, relu) == ([0.0] * 3, values[relu].max((0, 1, 2, 3)).tolist())
    rows = values[scores].max(axis=-1)
    assert [m.low.tolist() for m in found.rows.values()] == [[np.where(rows > -1000, rows, 0).min()]]
    then, other = wanted.tensors[-2:]
    taken = [s[1] for s in given]
    assert ends(found, wanted, then) == ([-2 * np.max(taken[::2])], [-2 * np.min(taken[::2])])
    assert ends(found, wanted, other) == ([np.float32(10) + np.min(taken[1::2])], [np.float32(10) + np.max(taken[1::2])])


def test_what_a_recurrent_layer_remembers(g: Builder) -> None:
    """Its state between runs, against the recurrence in NumPy: cells c, and h, the last thing it said."""
    lstm(g)
    op = g.graph.ops[-1]
    rng = np.random.default_rng(2)
    given = [[rng.normal(size=(1, 8, 6)).astype(np.float32) * 2] for _ in range(3)]
    wanted = Wanted(g.model(), [op.outputs[0]])
    found = collect(wanted, given, threads=2)
    w = [None if t is None or not t.is_constant else t.array.astype(np.float64) for t in op.inputs]
    h, c, said, states = np.zeros((1, 4)), np.zeros((1, 4)), [], []
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    for (sequence,) in given:
        for x in sequence[0]:
            i, f, z, o = (x @ w[1 + n].T + h @ w[5 + n].T + w[12 + n] for n in range(4))
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(z)
            h = sigmoid(o) * np.tanh(c)
            said.append(h)
        states.append((h, c))
    keys = tensor_keys(wanted.model)
    out = found.ranges[keys[op.outputs[0]]]
    np.testing.assert_allclose([out.low[0], out.high[0]], [np.min(said), np.max(said)], rtol=1e-4)
    for position, t in enumerate(op.inputs[18:20]):
        expected = np.array([s[position] for s in states])
        state = found.states[keys[t]]
        np.testing.assert_allclose([state.low[0], state.high[0]], [expected.min(), expected.max()], rtol=1e-4)
    assert len(found.states) == 2 and len(found.ranges) == 1


def test_of_what_a_layer_remembers_the_ends_are_seen(g: Builder) -> None:
    """Whatever the method of the others."""
    lstm(g)
    wanted = Wanted(g.model(), [g.graph.outputs[0]])
    found = collect(wanted, [[np.ones((1, 8, 6), np.float32)]], method=Inner.empty())
    assert [type(m) for m in (*found.ranges.values(), *found.states.values())] == [Inner, MinMax, MinMax]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_value_that_is_not_finite_is_told_of_its_first_sample(g: Builder, threads: int) -> None:
    x = g.input(1, 2)
    y = g.op("LOG", x, name="logarithm")
    g.output(y)
    given = [[np.full((1, 2), v, np.float32)] for v in (1, 2, 0, 3, -1, 0)]
    with pytest.raises(SamplesError, match=r'^sample 2 drives tensor "logarithm" to a value that is not finite$'):
        seen(g, [x, y], given, threads=threads)


def test_the_model_itself_is_not_changed(g: Builder) -> None:
    wanted = every_probe(g)
    before = snapshot(*wanted.model.graphs)
    _, probes = measuring_model(wanted.model, wanted.tensors, wanted.by_channel, values=frozenset(wanted.tensors))
    assert snapshot(*wanted.model.graphs) == before
    assert [p.start for p in probes] == np.cumsum([0, *(p.size for p in probes)])[:-1].tolist()
    assert isinstance(probes[0], Probe) and {p.what for p in probes} == {*Seen} - {Seen.ROW}


def test_what_is_measured_stands_behind_what_it_reads_but_for_variables(g: Builder) -> None:
    """A delegate would read a variable before the layer that writes it."""
    x = g.input(1, 4, 4, 4)
    y = g.op("RELU", g.op("TANH", x))
    g.output(g.op("ABS", y))
    model = g.model()
    measuring, _ = measuring_model(model, [y])
    kinds = [op.kind for op in measuring.main.ops]
    assert kinds.index("RELU") < kinds.index("REDUCE_MAX") < kinds.index("ABS")
    remembers = Builder()
    svdf(remembers)
    model = remembers.model()
    state = next(t for t in model.main.ops[0].inputs if t is not None and t.is_variable)
    measuring, _ = measuring_model(model, [*model.main.inputs, state])
    assert measuring.main.ops[0].kind == "SVDF"
