"""One rule, one graph: what the engine applies, what it refuses, and what it writes down."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from fullint.model.ir import Buffer, Model, Op, Quant, Tensor, Uses, constant, twin
from fullint.ops.builder import Builder
from fullint.ops.make import ACTIVATIONS, make_op
from fullint.passes import engine
from fullint.passes.engine import No, Rewrite, private, sweep
from fullint.passes.fuse_activation import fuse_activation
from fullint.reporting import Change


def chain(g: Builder, *kinds: str) -> list[Tensor]:
    """Operators of one operand, one behind the other: what goes in, and what each makes."""
    values = [g.input(1, 4)]
    for kind in kinds:
        values.append(g.op(kind, values[-1]))
    g.output(values[-1])
    for i, op in enumerate(g.graph.ops):
        op.origin = 10 + i
    return values


def renames(old: str, new: str) -> Callable[[Op, Uses], Rewrite | No | None]:
    """A rule that makes operators of one kind those of another."""

    def rule(op: Op, uses: Uses) -> Rewrite | None:
        return Rewrite((op,), (make_op(new, op.inputs, op.outputs),), f"{new} is better") if op.kind == old else None

    return rule


def joins_pairs(op: Op, uses: Uses) -> Rewrite | No | None:
    """ABS(ABS(x)) is ABS(x), where nobody else reads the first."""
    before = uses.producer.get(op.inputs[0])
    if op.kind != "ABS" or before is None or before.kind != "ABS":
        return None
    if uses.only_reader(op.inputs[0]) is not op:
        return No("others read it, too")
    return Rewrite((before, op), (make_op("ABS", before.inputs, op.outputs),), "once is enough")


def kinds(model: Model) -> list[str]:
    return [op.kind for op in model.main.ops]


def test_a_rewrite_stands_where_the_old_operator_stood(g: Builder) -> None:
    values = chain(g, "ABS", "EXP", "NEG")
    model = g.model()
    sweep(model, renames("EXP", "TANH"))
    assert kinds(model) == ["ABS", "TANH", "NEG"]
    assert model.main.ops[1].inputs == [values[1]] and model.main.ops[1].outputs == [values[2]]


def test_a_change_is_recorded_with_its_operator_and_reason(g: Builder) -> None:
    values = chain(g, "ABS", "EXP")
    values[2].name = "grown"
    assert sweep(g.model(), renames("EXP", "TANH")) == [Change("rule", 11, "EXP", "grown", "TANH is better", done=True)]


def test_a_change_of_several_operators_is_told_of_the_last(g: Builder) -> None:
    values = chain(g, "ABS", "ABS")
    values[2].name = "end"
    assert sweep(g.model(), joins_pairs) == [Change("joins_pairs", 11, "ABS", "end", "once is enough")]


def test_new_operators_have_the_origin_of_the_old_one(g: Builder) -> None:
    """But for those that know where they come from."""
    chain(g, "EXP")

    def rule(op: Op, uses: Uses) -> Rewrite | None:
        if op.kind != "EXP":
            return None
        between = twin(op.outputs[0], "between")
        first, last = make_op("ABS", op.inputs, [between]), make_op("NEG", [between], op.outputs)
        last.origin = 3
        return Rewrite((op,), (first, last), "two for one")

    model = g.model()
    sweep(model, rule)
    assert [(op.kind, op.origin) for op in model.main.ops] == [("ABS", 10), ("NEG", 3)]


@pytest.mark.parametrize("turned", [False, True])
def test_the_place_is_that_of_the_last_old_operator(g: Builder, turned: bool) -> None:
    """Whatever their order in the rewrite: all that the new ones read has been made there."""
    x = g.input(1, 4)
    first, between, last = g.op("EXP", x), g.op("TANH", x), g.op("NEG", x)
    g.output(between, g.op("ADD", first, last))

    def rule(op: Op, uses: Uses) -> Rewrite | None:
        if op.kind != "EXP":
            return None
        other = next(o for o in g.graph.ops if o.kind == "NEG")
        old = (op, other) if turned else (other, op)
        return Rewrite(old, tuple(make_op("ABS", o.inputs, o.outputs) for o in (op, other)), "")

    model = g.model()
    sweep(model, rule)
    assert kinds(model) == ["TANH", "ABS", "ABS", "ADD"]


def test_rewrites_that_overlap_wait_for_the_next_sweep(g: Builder) -> None:
    """Of ABS ABS ABS ABS, the pair at the start goes first, then the next one: nothing is taken out twice."""
    chain(g, *["ABS"] * 4)
    model = g.model()
    changes = sweep(model, joins_pairs)
    assert kinds(model) == ["ABS"]
    assert model.main.ops[0].inputs == [model.main.inputs[0]] and model.main.ops[0].outputs == model.main.outputs
    assert [c.why for c in changes] == ["once is enough"] * 3


def test_a_rule_is_asked_again_until_it_no_longer_fires(g: Builder) -> None:
    chain(g, "EXP")
    order = ["EXP", "TANH", "NEG", "ABS"]

    def rule(op: Op, uses: Uses) -> Rewrite | None:
        at = order.index(op.kind)
        return Rewrite((op,), (make_op(order[at + 1], op.inputs, op.outputs),), order[at + 1]) if at < 3 else None

    model = g.model()
    assert [c.why for c in sweep(model, rule)] == ["TANH", "NEG", "ABS"]
    assert kinds(model) == ["ABS"]


def test_a_rule_that_never_ends_is_an_error(g: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "MAX_SWEEPS", 5)
    chain(g, "ABS")

    def forever(op: Op, uses: Uses) -> Rewrite:
        return Rewrite((op,), (make_op("ABS", op.inputs, op.outputs),), "again")

    with pytest.raises(AssertionError, match="forever does not come to an end"):
        sweep(g.model(), forever)


def test_all_graphs_are_swept(g: Builder) -> None:
    branches = []
    for name in ("then", "else"):
        b = Builder(name=name)
        b.output(b.op("EXP", b.input(1, 4)))
        branches.append(b.graph)
    given, out = [g.input(1, dtype="bool"), g.input(1, 4)], Tensor("out", (1, 4), "float32")
    g.graph.ops.append(make_op("IF", given, [out], then_subgraph_index=branches[0], else_subgraph_index=branches[1]))
    g.output(out)
    assert len(sweep(g.model(), renames("EXP", "TANH"))) == 2
    assert [b.ops[0].kind for b in branches] == ["TANH", "TANH"]


@pytest.mark.parametrize("kept", [0, 1])
def test_an_operator_kept_in_float_is_not_taken_out(g: Builder, kept: int) -> None:
    """Wherever it is in the rewrite."""
    chain(g, "ABS", "ABS")
    g.graph.ops[kept].keep_float = True
    model = g.model()
    [refused] = sweep(model, joins_pairs)
    assert kinds(model) == ["ABS", "ABS"]
    assert (refused.why, refused.done, refused.index) == ("ABS is kept in float, as requested", False, 11)


def test_a_reader_that_does_not_fit_is_a_reason(g: Builder) -> None:
    values = chain(g, "ABS", "ABS")
    g.output(values[1])
    values[2].name = "end"
    model = g.model()
    assert sweep(model, joins_pairs) == [Change("joins_pairs", 11, "ABS", "end", "others read it, too", done=False)]
    assert kinds(model) == ["ABS", "ABS"]


def clamped(g: Builder, **options: object) -> Tensor:
    """RELU of a sum."""
    total = g.op("ADD", g.input(1, 4), g.input(1, 4))
    g.output(g.op("RELU", total, **options))
    return total


def test_a_rule_of_the_house_through_the_engine(g: Builder) -> None:
    total = clamped(g)
    model = g.model()
    assert [(c.why, c.kind) for c in sweep(model, fuse_activation)] == [("RELU fused into ADD", "RELU")]
    [op] = model.main.ops
    assert op.options["fused_activation_function"] == ACTIVATIONS["RELU"]
    assert op.outputs == model.main.outputs and total not in op.outputs


def test_another_reader_is_told(g: Builder) -> None:
    g.output(clamped(g))
    model = g.model()
    assert [(c.why, c.done) for c in sweep(model, fuse_activation)] == [
        ("the value before the activation has other readers", False)
    ]
    assert kinds(model) == ["ADD", "RELU"]


@pytest.mark.parametrize("misfit", [{"shape": (4,)}, {"dtype": "int8"}])
def test_another_shape_or_type_is_not_the_pattern(g: Builder, misfit: dict[str, object]) -> None:
    clamped(g, **misfit)
    model = g.model()
    assert sweep(model, fuse_activation) == []
    assert kinds(model) == ["ADD", "RELU"]


def test_refusals_are_told_once_and_after_what_was_done(g: Builder) -> None:
    """Each sweep refuses the same operators: only the last one's refusals are left."""
    values = chain(g, *["ABS"] * 4)
    g.output(values[3])
    changes = sweep(g.model(), joins_pairs)
    assert [(c.why, c.done) for c in changes] == [
        ("once is enough", True),
        ("once is enough", True),
        ("others read it, too", False),
    ]


def test_a_refused_operator_does_not_hold_up_others(g: Builder) -> None:
    values = chain(g, "ABS", "ABS", "EXP", "ABS", "ABS")
    g.output(values[1])
    model = g.model()
    sweep(model, joins_pairs)
    assert kinds(model) == ["ABS", "ABS", "EXP", "ABS"]


def test_a_value_with_a_grid_of_its_own_is_not_lost(g: Builder) -> None:
    values = chain(g, "ABS", "ABS")
    values[1].quant, values[1].name = Quant.of(0.1), "pinned"
    model = g.model()
    [refused] = sweep(model, joins_pairs)
    assert not refused.done and refused.why == '"pinned" has quantization parameters from training'
    assert kinds(model) == ["ABS", "ABS"]


def test_a_grid_may_go_where_its_value_is_made_anew(g: Builder) -> None:
    values = chain(g, "EXP")
    values[1].quant = Quant.of(0.1)
    assert [c.done for c in sweep(g.model(), renames("EXP", "TANH"))] == [True]


def test_a_grid_may_go_where_its_tensor_becomes_another(g: Builder) -> None:
    values = chain(g, "EXP", "NEG")
    values[1].quant = Quant.of(0.1)
    ones = constant("ones", np.ones((1, 4), np.float32))

    def rule(op: Op, uses: Uses) -> Rewrite | None:
        return Rewrite((op,), (), "a constant", becomes={op.outputs[0]: ones}) if op.kind == "EXP" else None

    assert [c.done for c in sweep(g.model(), rule)] == [True]
    assert values[1].quant is None


def test_codes_have_no_grid_to_lose(g: Builder) -> None:
    """Their parameters belong to the integers of the file."""
    values = chain(g, "ABS", "ABS")
    values[1].quant, values[1].dtype = Quant.of(0.1), "int8"
    assert [c.done for c in sweep(g.model(), joins_pairs)] == [True]


def test_a_tensor_becomes_what_the_rewrite_says(g: Builder) -> None:
    """Value, parameters and shape; its name and the object itself stay."""
    values = chain(g, "EXP", "NEG")
    values[1].name, values[1].shape_signature = "was", (-1, 4)
    other = Tensor("other", (2, 2), "float32", Buffer.of(np.float32([1, 2, 3, 4])), Quant.of(0.5, 3), (-1, 2))

    def rule(op: Op, uses: Uses) -> Rewrite | None:
        return Rewrite((op,), (), "known", becomes={op.outputs[0]: other}) if op.kind == "EXP" else None

    model = g.model()
    sweep(model, rule)
    assert kinds(model) == ["NEG"] and model.main.ops[0].inputs == [values[1]]
    np.testing.assert_array_equal(values[1].array, [[1, 2], [3, 4]])
    assert (values[1].name, values[1].shape, values[1].shape_signature) == ("was", (2, 2), (-1, 2))
    assert values[1].quant.same_as(Quant.of(0.5, 3))


def test_what_a_refused_rewrite_would_change_is_not_changed(g: Builder) -> None:
    values = chain(g, "EXP", "NEG")
    g.graph.ops[0].keep_float = True
    ones = constant("ones", np.ones((1, 4), np.float32))

    def rule(op: Op, uses: Uses) -> Rewrite | None:
        return Rewrite((op,), (), "a constant", becomes={op.outputs[0]: ones}) if op.kind == "EXP" else None

    sweep(g.model(), rule)
    assert values[1].buffer is None


def test_of_two_rewrites_of_one_operator_the_first_counts(g: Builder) -> None:
    """A rewrite that overlaps changes nothing, not even what tensors become."""
    values = chain(g, "EXP", "NEG")

    def rule(op: Op, uses: Uses) -> Rewrite | None:
        if values[1].buffer is not None:
            return None
        first, _ = g.graph.ops
        found = constant("", np.full((1, 4), 1.0 if op is first else 2.0, np.float32))
        return Rewrite((first,), (), op.kind, becomes={values[1]: found})

    assert [c.why for c in sweep(g.model(), rule)] == ["EXP"]
    assert float(values[1].array[0, 0]) == 1.0


def test_a_rule_sees_the_readers_of_its_own_sweep(g: Builder) -> None:
    """Nothing is stale: a value that a rewrite has left with one reader has one in the next sweep."""
    values = chain(g, "ABS", "ABS")
    g.op("EXP", values[1])

    def rule(op: Op, uses: Uses) -> Rewrite | No | None:
        return Rewrite((op,), (), "nobody reads it") if op.kind == "EXP" else joins_pairs(op, uses)

    model = g.model()
    assert [(c.why, c.done) for c in sweep(model, rule)] == [("nobody reads it", True), ("once is enough", True)]
    assert kinds(model) == ["ABS"]


def test_nothing_to_do_changes_nothing(g: Builder) -> None:
    chain(g, "ABS", "EXP")
    model = g.model()
    ops = list(model.main.ops)
    assert sweep(model, renames("TANH", "ABS")) == []
    assert model.main.ops == ops


def test_a_rule_that_changes_the_graph_while_deciding_is_noticed(g: Builder) -> None:
    values = chain(g, "ABS", "EXP")

    def meddles(op: Op, uses: Uses) -> None:
        values[1].quant = Quant.of(0.1)

    with pytest.raises(AssertionError, match="meddles changed the graph while deciding"):
        sweep(g.model(), meddles)


def test_deciding_leaves_the_old_operators_as_they_were(g: Builder) -> None:
    """A rewrite that is applied takes operators out; it does not change them."""
    chain(g, "ABS", "EXP")
    old = g.graph.ops[1]
    before = replace(old, inputs=[*old.inputs], outputs=[*old.outputs], options={**old.options})
    sweep(g.model(), renames("EXP", "TANH"))
    assert (old.kind, old.inputs, old.outputs, old.options, old.origin) == (
        "EXP",
        before.inputs,
        before.outputs,
        before.options,
        before.origin,
    )


def test_private_are_those_that_only_the_end_and_each_other_read(g: Builder) -> None:
    x = g.input(1, 4)
    a, b, c, d = (g.op(kind, x) for kind in ("ABS", "EXP", "NEG", "TANH"))
    ab = g.op("ADD", a, b)
    end = g.op("MUL", ab, g.op("ADD", c, d))
    g.output(end, g.op("SQUARE", b), d)
    made = {op.outputs[0]: op for op in g.graph.ops}
    readers_first = [made[t] for t in (end, ab, g.graph.ops[5].outputs[0], a, b, c, d)][1:]
    found = private(made[end], readers_first, Uses(g.graph))
    assert [op.kind for op in found] == ["ADD", "ADD", "ABS", "NEG"]
