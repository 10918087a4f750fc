"""Which activations share parameters, asked of `share_scales` alone: ranges in, encodings and cuts with their reasons out."""

from collections.abc import Mapping

import numpy as np
import pytest
from conftest import snapshot
from sharing import SIGMOID, TANH, busy, concatenation, joined, loop, quantize_of, reasons, scale, share

from fullint.model.ir import Quant, Tensor, Uses
from fullint.model.ranges import Range
from fullint.ops.builder import Builder
from fullint.ops.control_flow import ties
from fullint.quantization.element_types import element_types
from fullint.quantization.scale_sharing import share_scales
from fullint.quantization.tensor_groups import TensorGroups


def test_what_shares_has_one_grid_that_holds_all(g: Builder) -> None:
    """[-1, 2] and [-3, 1]: -3 to 2 in 255 steps, and 0 has the code -128 + 3 * 51."""
    a, b = g.input(1, 4), g.input(1, 4)
    y = g.op("MAXIMUM", a, b)
    g.output(y)
    found = share(g, {a: (-1, 2), b: (-3, 1)})
    assert joined(found, a, b, y) and found.cuts == ()
    assert found.tensors[y].quant.same_as(Quant.of(5 / 255, 25))


def test_what_an_operator_scales_anew_does_not_share(g: Builder) -> None:
    a, b = g.input(1, 4), g.input(1, 4)
    y = g.op("ADD", a, b)
    g.output(y)
    found = share(g, {a: (-1, 2), b: (-3, 1), y: (-4, 3)})
    assert [scale(found, t) for t in (a, b, y)] == pytest.approx([3 / 255, 4 / 255, 7 / 255])


def test_all_outputs_share(g: Builder) -> None:
    x = g.input(1, 4)
    parts = g.op("SPLIT", g.const(np.int32(1)), x, shape=(1, 2), dtype="float32", outputs=2, num_splits=2)
    g.output(*parts)
    found = share(g, {x: (-1, 2)})
    assert joined(found, x, *parts)


@pytest.mark.parametrize(
    ("kind", "fixed", "inside", "outside"),
    [
        ("LOGISTIC", SIGMOID, (-1 / 512, 0.5), (-1.01 / 512, 0.5)),  # half a step below 0
        ("LOGISTIC", SIGMOID, (0, 258.54 / 256), (0, 258.56 / 256)),  # 1.01 * 255 steps and one more
        ("TANH", TANH, (-129.77 / 128, 0), (-129.79 / 128, 0)),  # 1.01 * 128 steps and half a one
        ("TANH", TANH, (0, 129.26 / 128), (0, 129.28 / 128)),  # 1.01 * 127 steps and one more
    ],
)
def test_fixed_parameters_hold_a_little_more_than_their_codes(
    g: Builder, kind: str, fixed: Quant, inside: tuple[float, float], outside: tuple[float, float]
) -> None:
    s, z = g.op(kind, g.input(1, 4)), g.input(1, 4)
    y = concatenation(g, s, z)
    found = share(g, {z: inside})
    assert found.cuts == () and joined(found, s, z, y) and found.tensors[y].quant.same_as(fixed)
    found = share(g, {z: outside})
    assert [(c.op.kind, c.input) for c in found.cuts] == [("CONCATENATION", 0)]
    assert joined(found, z, y) and found.tensors[s].quant.same_as(fixed)
    assert found.operands[g.graph.ops[-1], 0] == found.tensors[y]


def test_a_fixed_input_too_small_for_its_group_says_so(g: Builder) -> None:
    s, z = g.op("LOGISTIC", g.input(1, 4)), g.input(1, 4)
    y = concatenation(g, s, z)
    found = share(g, {z: (-1, 2)})
    why = "its input has the fixed scale 0.00390625 zero point -128, too small for the group's [-1, 2]"
    assert reasons(found) == [("CONCATENATION", 0, why)]
    assert scale(found, y) == pytest.approx(3 / 255)


def test_a_fixed_group_too_small_for_an_input_says_so(g: Builder) -> None:
    x = g.input(1, 4)
    y = g.reshape(x, 4)
    g.output(y)
    found = share(g, {x: (-3, 3)}, pinned={y: (Quant.of(0.01, 0), "int8")})
    why = "its group has the fixed scale 0.01 zero point 0, too small for the input's [-3, 3]"
    assert reasons(found) == [("RESHAPE", 0, why)]
    assert scale(found, x) == pytest.approx(6 / 255)
    assert found.operands[g.graph.ops[0], 0] == found.tensors[y]


def test_two_fixed_grids_that_differ(g: Builder) -> None:
    t, s = g.op("TANH", g.input(1, 4)), g.op("LOGISTIC", g.input(1, 4))
    y = concatenation(g, t, s)
    found = share(g, {})
    why = "its input has the fixed scale 0.00390625 zero point -128, its group the fixed scale 0.0078125 zero point 0"
    assert reasons(found) == [("CONCATENATION", 1, why)]
    assert found.tensors[y].quant.same_as(TANH) and found.tensors[s].quant.same_as(SIGMOID)


def test_two_fixed_grids_that_are_equal_share(g: Builder) -> None:
    parts = [g.op("LOGISTIC", g.input(1, 4)) for _ in range(2)]
    y = concatenation(g, *parts)
    found = share(g, {})
    assert found.cuts == () and joined(found, y, *parts)


@pytest.mark.parametrize(("high", "why"), [(1.5, None), (1.51, "sharing [0, 1.51] would coarsen its input's [0, 1]")])
def test_steps_half_as_coarse_again_are_free(g: Builder, high: float, why: str | None) -> None:
    """And no more, where others read the tensor, too."""
    x, z = busy(g), g.input(1, 4)
    y = concatenation(g, x, z)
    found = share(g, {x: (0, 1), z: (0, high)})
    assert reasons(found) == ([] if why is None else [("CONCATENATION", 0, f"{why}, which has other readers")])
    assert scale(found, x) == pytest.approx((high if why is None else 1.0) / 255)
    assert scale(found, y) == pytest.approx(high / 255)


def test_a_fixed_group_coarsens_as_well(g: Builder) -> None:
    """[-1, 1] of a pinned output is eight times as wide as [-1/8, 1/8]."""
    x, z = busy(g), g.input(1, 4)
    y = concatenation(g, x, z)
    found = share(g, {x: (-0.125, 0.125), z: (-1, 0.9)}, pinned={y: (TANH, "int8")})
    why = "sharing [-1, 0.9922] would coarsen its input's [-0.125, 0.125], which has other readers"
    assert reasons(found) == [("CONCATENATION", 0, why)]


def test_an_output_of_the_model_is_read_by_others(g: Builder) -> None:
    x, z = g.op("EXP", g.input(1, 4)), g.input(1, 4)
    concatenation(g, x, z)
    g.output(x)
    assert [c.input for c in share(g, {x: (0, 1), z: (0, 9)}).cuts] == [0]


def test_one_reader_alone_may_coarsen_as_it_likes(g: Builder) -> None:
    x, z = g.op("EXP", g.input(1, 4)), g.input(1, 4)
    y = concatenation(g, g.reshape(x, 1, 4), z)
    found = share(g, {x: (0, 1), z: (0, 900)})
    assert found.cuts == () and joined(found, x, z, y)


def test_what_is_moved_follows_whatever_it_costs(g: Builder) -> None:
    """A RESHAPE has one operand: a requantize in front of it would help nobody but the other readers."""
    x = busy(g)
    y = g.reshape(x, 4)
    g.output(y)
    found = share(g, {x: (-0.125, 0.125)}, pinned={y: (TANH, "int8")})
    assert found.cuts == () and joined(found, x, y) and found.tensors[x].quant.same_as(TANH)


@pytest.mark.parametrize(("limit", "own"), [(1.5, False), (1.51, True)])
def test_a_comparison_with_a_constant(g: Builder, limit: float, own: bool) -> None:
    """The constant's grid is the tensor's, where that makes its steps no more than half as coarse again."""
    x = busy(g)
    g.output(g.op("LESS", x, g.const(limit)))
    op = g.graph.ops[-1]
    found = share(g, {x: (0, 1)})
    assert reasons(found) == ([("LESS", 0, "a comparison over [0, 1.51] needs scale and zero point of its own")] if own else [])
    assert scale(found, x) == pytest.approx((1.0 if own else 1.5) / 255)
    grids = [found.operands.get((op, i), found.tensors.get(x)).quant for i in range(2)]
    assert grids[0].same_as(grids[1]) and float(grids[0].scale[0]) == pytest.approx(limit / 255)


def test_a_comparison_alone_widens_what_it_reads(g: Builder) -> None:
    x = g.op("EXP", g.input(1, 4))
    g.output(g.op("LESS", x, g.const(-50.0)))
    found = share(g, {x: (0, 1)})
    assert found.cuts == () and scale(found, x) == pytest.approx(51 / 255)


def test_a_comparison_of_two_groups_has_a_grid_of_its_own(g: Builder) -> None:
    a, b = g.op("EXP", g.input(1, 4)), g.op("EXP", g.input(1, 4))
    g.output(g.op("LESS", a, b))
    found = share(g, {a: (0, 1), b: (-2, 3)})
    why = "a comparison over [-2, 3] needs scale and zero point of its own"
    assert reasons(found) == [("LESS", 0, why), ("LESS", 1, why)]
    assert [scale(found, t) for t in (a, b)] == pytest.approx([1 / 255, 5 / 255])
    assert all(found.operands[g.graph.ops[-1], i].quant.same_as(Quant.of(5 / 255, -26)) for i in range(2))


def test_a_comparison_within_a_group_is_free(g: Builder) -> None:
    a = g.op("EXP", g.input(1, 4))
    g.output(g.op("LESS", a, g.reshape(a, 1, 4)))
    assert share(g, {a: (0, 1)}).cuts == ()


@pytest.mark.parametrize(("limit", "cut"), [(258.5 / 256, False), (258.6 / 256, True), (2.0, True)])
def test_a_comparison_with_what_a_fixed_grid_cannot_hold(g: Builder, limit: float, cut: bool) -> None:
    s = g.op("LOGISTIC", g.input(1, 4))
    g.output(g.op("LESS", s, g.const(limit)))
    found = share(g, {})
    assert bool(found.cuts) is cut and found.tensors[s].quant.same_as(SIGMOID)


def test_a_clip_saturates_what_it_alone_reads(g: Builder) -> None:
    x = g.op("EXP", g.input(1, 4))
    first = g.op("MAXIMUM", x, g.const(-1.0))
    last = g.op("MINIMUM", first, g.const(2.0))
    g.output(last)
    found = share(g, {x: (-50, 50), first: (-1, 50), last: (-1, 2)})
    assert found.cuts == () and joined(found, x, first, last)
    assert found.tensors[x].quant.same_as(Quant.of(3 / 255, -43))


@pytest.mark.parametrize(("high", "cut"), [(3.0, False), (3.01, True)])
def test_a_clip_of_what_others_read(g: Builder, high: float, cut: bool) -> None:
    """Nothing is saturated for the others; the clip has steps of its own where theirs are half as coarse again."""
    x = busy(g)
    y = g.op("MINIMUM", x, g.const(2.0))
    g.output(y)
    found = share(g, {x: (0, high), y: (0, 2)})
    why = "it clips to [0, 2], which needs a finer scale than its input's [0, 3.01]; other operators read that input"
    assert reasons(found) == ([("MINIMUM", 0, why)] if cut else [])
    assert [scale(found, t) for t in (x, y)] == pytest.approx([high / 255, (2 if cut else high) / 255])


def test_a_clip_saturates_no_group(g: Builder) -> None:
    """The reshaped tensor is read by the clip alone; what it was made of, by others as well."""
    x = busy(g)
    y = g.op("MINIMUM", g.reshape(x, 4), g.const(0.5))
    g.output(y)
    found = share(g, {x: (0, 9), y: (0, 0.5)})
    assert scale(found, x) == pytest.approx(9 / 255) and scale(found, y) == pytest.approx(0.5 / 255)


def test_only_what_readers_tell_apart_has_codes(g: Builder) -> None:
    x = g.op("EXP", g.input(1, 4))
    g.output(g.op("LOGISTIC", x))
    found = share(g, {x: (-100, 1.5)}, useful={x: Range(-7.0, 7.0)})
    assert found.tensors[x].quant.same_as(Quant.of(8.5 / 255, 82))  # -128 + 7 * 30


def test_a_constant_of_its_own_grid(g: Builder) -> None:
    """And as much of a mask as its reader can tell apart."""
    x = g.input(1, 4)
    c, mask = g.const(np.float32([1, 2, 3, 4])), g.const(np.float32([0, 5e3, 0, -1e38]))
    y = g.op("ADD", x, c)
    z = g.op("ADD", y, mask)
    g.output(z)
    plus, hide = g.graph.ops
    found = share(g, {x: (-1, 1), y: (0, 5), z: (-1e38, 5)}, masks={(hide, 1): Range(-20.0, 30.0)})
    assert found.operands[plus, 1].quant.same_as(Quant.of(4 / 255, -128))
    assert found.operands[hide, 1].quant.same_as(Quant.of(50 / 255, -26))


def test_a_constant_has_one_scale(g: Builder) -> None:
    """Those of its channels are for weights."""
    x, c = g.input(1, 4), g.const(np.float32([1, 2, 3, 4]))
    c.quant = Quant.of(np.float32([0.5, 0.5, 0.5, 0.25]))
    y = g.op("ADD", x, c)
    g.output(y)
    found = share(g, {x: (-1, 1), y: (0, 5)})
    assert found.operands[g.graph.ops[0], 1].quant.same_as(Quant.of(4 / 255, -128))


def test_a_constants_own_grid_is_kept(g: Builder) -> None:
    x, c = g.input(1, 4), g.const(np.float32([1, 2, 3, 4]))
    c.quant = Quant.of(0.5, 3)
    y = g.op("ADD", x, c)
    g.output(y)
    assert share(g, {x: (-1, 1), y: (0, 5)}).operands[g.graph.ops[0], 1].quant is c.quant


def test_kept_operators_join_nothing(g: Builder) -> None:
    a, b = g.input(1, 4), g.input(1, 4)
    y = g.op("MAXIMUM", a, b)
    g.output(y)
    g.graph.ops[0].keep_float = True
    found = share(g, {a: (0, 1), b: (0, 2), y: (0, 3)})
    assert [scale(found, t) for t in (a, b, y)] == pytest.approx([1 / 255, 2 / 255, 3 / 255])


def test_asked_twice_it_says_the_same_and_changes_nothing(g: Builder) -> None:
    x, z = busy(g), g.input(1, 4)
    s = g.op("LOGISTIC", z)
    concatenation(g, x, s)
    clip = g.op("MINIMUM", g.op("EXP", z), g.const(0.5))
    g.output(clip, g.op("LESS", x, g.const(9.0)))
    quantize_of(g, g.op("NEG", z), Quant.of(0.25, 1))
    (inside, *_), _ = loop(g, x)
    model = g.model()
    tied = ties(model, {})
    ranges = {x: Range(0.0, 1.0), z: Range(-8.0, 8.0), clip: Range(0.0, 0.5), inside: Range(0.0, 9.0)}
    useful, pinned = {z: Range(-7.0, 7.0)}, {x: (Quant.of(0.004, -128), "int8")}
    given = [ranges, useful, {}, tied, element_types(model, {}, "int8"), pinned]
    before = snapshot(*model.graphs), dict(ranges), dict(useful), dict(pinned), [([*t.hard], [*t.soft]) for t in tied]
    first, second = (share_scales(model, *given) for _ in range(2))
    after = snapshot(*model.graphs), ranges, useful, pinned, [([*t.hard], [*t.soft]) for t in tied]
    assert after == before
    assert first.cuts == second.cuts and len(first.cuts) >= 2
    for one, other in ((first.tensors, second.tensors), (first.operands, second.operands)):
        assert [(k, str(e), e.quant.scale[0]) for k, e in one.items()] == [
            (k, str(e), e.quant.scale[0]) for k, e in other.items()
        ]


def groups(fixed: Mapping[Tensor, Quant], **spans: tuple[float, float]) -> tuple[TensorGroups, list[Tensor]]:
    tensors = {name: Tensor(name, (1, 4), "float32") for name in spans}
    ranges = {tensors[name]: Range(*span) for name, span in spans.items()}
    return TensorGroups(ranges, {}, fixed, Uses(), lambda t: "int8"), list(tensors.values())


def test_a_union_holds_both() -> None:
    found, (a, b, c) = groups({}, a=(1.0, 2.0), b=(-1.0, 0.5), c=(0.0, 9.0))
    found.union(a, b)
    assert found.root(a) is found.root(b) is not found.root(c)
    assert found.whole_range(b) == Range(-1.0, 2.0) == found.range[found.root(a)] and found.members(found.root(b)) == [a, b]
    found.union(b, c)
    found.union(c, a)
    assert found.whole_range(a) == Range(-1.0, 9.0) and found.members(found.root(c)) == [a, b, c]


def test_every_range_holds_zero() -> None:
    found, (a, b) = groups({}, a=(1.0, 2.0), b=(-2.0, -1.0))
    assert (found.whole_range(a), found.whole_range(b)) == (Range(0.0, 2.0), Range(-2.0, 0.0))


def test_a_group_of_clips_is_none_any_more_when_something_else_joins() -> None:
    """Its members may then not be saturated for the next clip."""
    found, (a, b, c) = groups({}, a=(0.0, 2.0), b=(-1.0, 50.0), c=(0.0, 2.0))
    found.union(a, b, keep_range=True)
    assert found.clipped == {a}
    found.union(a, c)
    assert found.clipped == set()


def test_a_union_keeps_a_range_where_it_is_told_to() -> None:
    found, (a, b) = groups({}, a=(0.0, 2.0), b=(-1.0, 50.0))
    found.union(a, b, keep_range=True)
    assert found.whole_range(b) == Range(0.0, 2.0)


def test_a_union_is_fixed_as_either_is() -> None:
    t = Tensor("t", (1, 4), "float32")
    found, (a,) = groups({t: TANH}, a=(0.0, 2.0))
    found.union(a, t)
    assert found.params(a) is TANH
    assert found.whole_range(Tensor("unknown", (), "float32")) == Range(0.0, 0.0)


def test_an_unmeasured_fixed_tensor_holds_what_its_codes_hold() -> None:
    t = Tensor("t", (1, 4), "float32")
    assert groups({t: TANH})[0].whole_range(t) == Range(-1.0, 127 / 128)
