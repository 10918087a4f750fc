"""Parameters that something other than a range decides: loops and branches, the file's own codes, types, pins, whole numbers."""

import numpy as np
import pytest
from sharing import SIGMOID, busy, concatenation, joined, loop, quantize_of, reasons, scale, share

from fullint.model.ir import Quant, Tensor
from fullint.ops.builder import Builder
from fullint.ops.make import make_op
from fullint.quantization.element_types import element_types


def test_what_a_loop_carries_is_one_value(g: Builder) -> None:
    x = g.op("EXP", g.input(1, 4))
    (inside, seen, out, made), _ = loop(g, x)
    found = share(g, {x: (0, 1), inside: (-4, 8), made: (0, 8)})
    assert found.cuts == () and joined(found, x, inside, seen, out, made)
    assert scale(found, x) == pytest.approx(12 / 255)


def test_what_flows_into_a_loop_keeps_its_steps(g: Builder) -> None:
    """Others read it: it is requantized at the door, to what the loop carries."""
    x = busy(g)
    (inside, seen, out, made), op = loop(g, x)
    found = share(g, {x: (0, 1), inside: (-4, 8), made: (-4, 8)})
    why = "sharing [-4, 8] would coarsen its input's [0, 1], which has other readers"
    assert reasons(found) == [("WHILE", 0, why)]
    assert joined(found, inside, seen, out, made) and scale(found, x) == pytest.approx(1 / 255)
    assert found.operands[op, 0] == found.tensors[inside]


def test_a_loop_holds_what_is_requantized_at_its_door(g: Builder) -> None:
    """[0, 21] stays as it is for others; the loop's own [-40, 8] becomes [-40, 21]."""
    x = busy(g)
    (inside, _, out, made), _ = loop(g, x)
    found = share(g, {x: (20, 21), inside: (-40, 8), made: (0, 8)})
    assert [(c.op.kind, c.input) for c in found.cuts] == [("WHILE", 0)]
    assert scale(found, x) == pytest.approx(21 / 255) and scale(found, out) == pytest.approx(61 / 255)


def test_a_constant_that_flows_into_a_loop_widens_it(g: Builder) -> None:
    (inside, _, out, _), op = loop(g, g.const(np.float32([[0, 0, 0, 9]])))
    found = share(g, {inside: (-1, 1)})
    assert found.operands[op, 0] == found.tensors[inside] and joined(found, inside, out)
    assert scale(found, out) == pytest.approx(10 / 255)


def test_branches_read_and_write_one_value(g: Builder) -> None:
    """One branch writes a sigmoid, which cannot hold what the other one writes: it is cut at its end."""
    branches = []
    for kind in ("EXP", "LOGISTIC"):
        b = Builder(name=kind)
        b.output(b.op(kind, b.input(1, 4)))
        branches.append(b.graph)
    c, x, out = g.input(1, dtype="bool"), g.input(1, 4), Tensor("chosen", (1, 4), "float32")
    g.graph.ops.append(make_op("IF", [c, x], [out], then_subgraph_index=branches[0], else_subgraph_index=branches[1]))
    g.output(out)
    first, second = (b.outputs[0] for b in branches)
    found = share(g, {x: (-1, 1), first: (0, 3), out: (0, 3)})
    assert joined(found, x, *(b.inputs[0] for b in branches)) and joined(found, first, out)
    why = "its input has the fixed scale 0.00390625 zero point -128, too small for the group's [0, 3]"
    assert [(c.op.kind, c.why) for c in found.cuts] == [("RETURN", why)]
    assert found.tensors[second].quant.same_as(SIGMOID)
    assert found.operands[found.cuts[0].op, 0] == found.tensors[out]


def test_a_quantize_of_what_it_alone_reads_is_adopted(g: Builder) -> None:
    """Whatever it cuts off: nobody else sees that. uint8 is int8 moved by 128."""
    x, z = g.op("EXP", g.input(1, 4)), g.op("EXP", g.input(1, 4))
    quantize_of(g, x, Quant.of(0.01, 5))
    quantize_of(g, z, Quant.of(0.01, 133), "uint8")
    found = share(g, {x: (-9, 9), z: (-9, 9)})
    assert all(found.tensors[t].quant.same_as(Quant.of(0.01, 5)) for t in (x, z))


@pytest.mark.parametrize(("high", "adopted"), [(129.2, True), (129.3, False)])
def test_a_quantize_is_adopted_where_others_lose_nothing(g: Builder, high: float, adopted: bool) -> None:
    """127 steps, 1.27 more and another one."""
    x = busy(g)
    quantize_of(g, x, Quant.of(1.0, 0))
    found = share(g, {x: (-5, high)})
    assert found.tensors[x].quant.same_as(Quant.of(1.0, 0)) is adopted


def test_a_quantize_of_another_type_is_not_adopted(g: Builder) -> None:
    x = g.op("EXP", g.input(1, 4))
    quantize_of(g, x, Quant.of(0.01), "int16")
    assert scale(share(g, {x: (0, 1)}), x) == pytest.approx(1 / 255)


def test_a_fixed_grid_is_stronger_than_a_quantize(g: Builder) -> None:
    s = g.op("LOGISTIC", g.input(1, 4))
    quantize_of(g, s, Quant.of(0.5, 5))
    assert share(g, {}).tensors[s].quant.same_as(SIGMOID)


def test_the_codes_that_a_dequantize_reads_say_its_grid(g: Builder) -> None:
    x = g.input(1, 4, dtype="int8")
    x.quant = Quant.of(0.05, 7)
    f = g.op("DEQUANTIZE", x, dtype="float32")
    y = g.reshape(f, 4)
    g.output(y)
    found = share(g, {})
    assert found.tensors[f].quant.same_as(x.quant) and joined(found, f, y)


def test_an_int16_neighbour_is_cut_off(g: Builder) -> None:
    a, b = g.op("EXP", g.input(1, 4)), g.input(1, 4)
    y = concatenation(g, a, b)
    found = share(g, {a: (0, 3), b: (-1, 1)}, types={g.graph.ops[0]: "int16"})
    assert reasons(found) == [
        ("CONCATENATION", 0, "it computes in int8, but its input is int16"),
        ("EXP", 0, "it computes in int16, but its input is int8"),
    ]
    assert found.tensors[a].dtype == "int16" and found.tensors[a].quant.same_as(Quant.of(3 / 32767))
    assert found.tensors[y].dtype == "int8" and scale(found, y) == pytest.approx(4 / 255)
    assert found.operands[g.graph.ops[1], 0] == found.tensors[y]


def test_what_moves_an_int16_value_in_int8_has_its_range(g: Builder) -> None:
    x = g.op("EXP", g.input(1, 4))
    y = g.reshape(x, 4)
    g.output(y)
    found = share(g, {x: (0, 3)}, types={g.graph.ops[0]: "int16"})
    assert reasons(found)[0] == ("RESHAPE", 0, "it computes in int8, but its input is int16")
    assert found.tensors[y].dtype == "int8" and scale(found, y) == pytest.approx(3 / 255)


def test_an_operand_of_an_int16_operator_keeps_its_range(g: Builder) -> None:
    x = g.input(1, 4)
    y = g.op("MUL", x, x)
    g.output(y)
    [op] = g.graph.ops
    found = share(g, {x: (-4, 3), y: (0, 16)}, types={op: "int16"})
    why = "it computes in int16, but its input is int8"
    assert reasons(found) == [("MUL", 0, why), ("MUL", 1, why)]
    for i in range(2):
        assert found.operands[op, i].dtype == "int16"
        assert found.operands[op, i].quant.same_as(Quant.of(4 / 32767))
    assert found.tensors[x].dtype == "int8" and scale(found, x) == pytest.approx(7 / 255)


def test_int16_throughout_has_no_neighbours(g: Builder) -> None:
    s = g.op("LOGISTIC", g.input(1, 4))
    g.output(s)
    found = share(g, {g.graph.inputs[0]: (-4, 3)}, default="int16")
    assert found.cuts == () and {e.dtype for e in found.tensors.values()} == {"int16"}
    assert found.tensors[s].quant.same_as(Quant.of(1 / 32768))


def test_pinned_parameters_are_had_by_the_group(g: Builder) -> None:
    x = g.input(1, 4)
    y = g.reshape(x, 4)
    g.output(y)
    pin = Quant.of(0.03, 4)
    found = share(g, {x: (-3, 3)}, pinned={x: (pin, "int8")})
    assert found.tensors[x].quant.same_as(pin) and joined(found, x, y)


def test_a_pin_of_another_type_is_none(g: Builder) -> None:
    x = g.input(1, 4)
    g.output(g.reshape(x, 4))
    assert scale(share(g, {x: (-3, 3)}, pinned={x: (Quant.of(0.03), "int16")}), x) == pytest.approx(6 / 255)


@pytest.mark.parametrize(
    ("span", "quant"),
    [
        ((0, 100), Quant.of(0.5, -128)),  # 200 steps of a half; 400 of a quarter are too many
        ((-3, 200), Quant.of(1.0, -125)),
        ((0, 255), Quant.of(1.0, -128)),
        ((0, 256), Quant.of(256 / 255, -128)),  # too many for exact codes
        ((5, 7), Quant.of(1 / 32, -128)),  # 0 to 7
    ],
)
def test_whole_numbers_are_exact(g: Builder, span: tuple[float, float], quant: Quant) -> None:
    y = g.op("CAST", g.input(1, 4, dtype="int32"), dtype="float32")
    g.output(y)
    assert share(g, {y: span}).tensors[y].quant.same_as(quant)


def test_element_types_are_int8_unless_something_else_is_said(g: Builder) -> None:
    codes = g.input(1, 4, dtype="int16")
    codes.quant = Quant.of(0.1)
    x, index = g.input(1, 4), g.input(1, dtype="int32")
    y = g.op("ADD", x, g.op("DEQUANTIZE", codes, dtype="float32"))
    z = g.op("NEG", y)
    g.output(z, g.op("EQUAL", index, index))
    given, plus, minus, same = g.graph.ops
    plain, wide = element_types(g.model(), {minus: "int16"}, "int8"), element_types(g.model(), {minus: "int8"}, "int16")
    assert [plain.of_tensor(t) for t in (x, given.outputs[0], y, z)] == ["int8", "int16", "int8", "int16"]
    assert [plain.of(op) for op in (plus, minus)] == ["int8", "int16"]
    assert [wide.of_tensor(t) for t in (x, given.outputs[0], y, z)] == ["int16", "int16", "int16", "int8"]
    assert [wide.of(op) for op in (plus, minus)] == ["int16", "int8"]
    assert index not in wide.tensors and same.outputs[0] not in wide.tensors
