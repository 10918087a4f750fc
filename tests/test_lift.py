"""Faulty integer operators read as float ones, and conversions that convert nothing taken out: graphs in, graphs out."""

import numpy as np
import pytest
from half import Half

from fullint.model.ir import Model, Op, Quant, Tensor, constant
from fullint.ops.make import make_op
from fullint.repairing.lift import cancel, lift
from fullint.repairing.stamp import stamp_axes

Pins = dict[Tensor, tuple[Quant, str]]


def coded(name: str, codes: object, dtype: str, quant: Quant | None) -> Tensor:
    """A constant of codes."""
    t = constant(name, np.asarray(codes, dtype))
    t.quant = quant
    return t


def conv(g: Half, x: Tensor, w: Tensor, bias: Tensor | None, kind: str = "CONV_2D", scale: float = 0.1, zero: int = 0) -> Tensor:
    """One pixel, one tap: [1, 1, 1, in] -> [1, 1, 1, out]."""
    channels = w.shape[3 if kind == "DEPTHWISE_CONV_2D" else 0]
    y = g.op(kind, x, w, bias, shape=(1, 1, 1, channels), dtype=x.dtype, stride_w=1, stride_h=1, padding=1)
    y.quant = Quant.of(scale, zero)
    g.graph.ops[-1].version = 3
    return y


def pixel(g: Half, scale: float = 0.5, zero: int = 3, dtype: str = "int8", channels: int = 1) -> Tensor:
    return g.coded(1, 1, 1, channels, scale=scale, zero=zero, dtype=dtype)


def weights(codes: object = ((2,), (-4,)), quant: Quant | None = None, dtype: str = "int8") -> Tensor:
    """[out, 1, 1, in] of rows of codes; 0.25 and 0.5 per code where nothing else is said."""
    array = np.asarray(codes)
    return coded("w", array.reshape(len(array), 1, 1, -1), dtype, quant or Quant.of(np.float32([0.25, 0.5])))


def lifted(g: Half, *ops: Op, ends: bool = False) -> tuple[Model, Pins]:
    model = g.model(signature="serve")
    for i, op in enumerate(g.graph.ops):
        op.origin = i
    return model, lift(model, {*(ops or g.graph.ops)}, ends=ends)


def kinds(model: Model) -> list[str]:
    return [op.kind for op in model.main.ops]


def bias_of(model: Model) -> Tensor:
    t = next(op for op in model.main.ops if op.kind.endswith("CONV_2D")).inputs[2]
    assert t is not None
    return t


def test_a_lifted_operator_stands_between_conversions() -> None:
    g = Half()
    x = pixel(g)
    y = conv(g, x, weights(), coded("b", [1, 2], "int32", Quant.of(0.125)))
    g.output(y)
    old = g.graph.ops[0]
    model, pins = lifted(g)
    into, op, out = model.main.ops
    assert kinds(model) == ["DEQUANTIZE", "CONV_2D", "QUANTIZE"]
    assert into.inputs == [x] and into.outputs == [op.inputs[0]] and out.inputs == op.outputs and out.outputs == [y]
    assert [t.dtype for t in op.values()] == ["float32"] * 4
    assert [o.origin for o in model.main.ops] == [0, 0, 0] and op.version == 1
    assert op.options == old.options and op.options is not old.options
    assert (op.inputs[0].quant, op.outputs[0].quant) == (None, None)
    assert {t: (str(q), kind) for t, (q, kind) in pins.items()} == {
        op.inputs[0]: ("scale 0.5 zero point 3", "int8"),
        op.outputs[0]: ("scale 0.1 zero point 0", "int8"),
    }


def test_the_old_operator_is_left_as_it_was() -> None:
    g = Half()
    x = pixel(g)
    y = conv(g, x, weights(), coded("b", [1, 2], "int32", Quant.of(0.125)))
    g.output(y)
    old = g.graph.ops[0]
    before = [*old.inputs], [*old.outputs], old.version
    lifted(g)
    assert ([*old.inputs], [*old.outputs], old.version) == before
    assert x.quant.same_as(Quant.of(0.5, 3)) and x.dtype == y.dtype == "int8"


@pytest.mark.parametrize(
    ("quant", "real"),
    [
        (Quant.of(0.5, 3), [3.5, -11.5]),  # (10 - 3) / 2, (-20 - 3) / 2
        (Quant.of(0.5), [5.0, -10.0]),
        (Quant.of(np.float32([0.5, 2.0])), [5.0, -40.0]),
        (Quant.of(np.float32([0.5, 2.0]), np.int64([3, -1])), [3.5, -38.0]),
        (Quant.of(np.float32([0.5, 2.0, 4.0])), [5.0, -10.0]),  # as many scales as nothing has: the first
        (None, [1.25, -5.0]),  # s_in * s_w: 0.125 and 0.25
        (Quant.of(0.0), [1.25, -5.0]),
        (Quant.of(-1.0), [1.25, -5.0]),
        (Quant.of(np.inf), [1.25, -5.0]),
        (Quant(np.zeros(0, np.float32), np.zeros(0, np.int64)), [1.25, -5.0]),
    ],
)
def test_a_bias_is_what_its_scales_say(quant: Quant | None, real: list[float]) -> None:
    """Where they say nothing, it is what the kernel takes it for."""
    g = Half()
    g.output(conv(g, pixel(g), weights(), coded("b", [10, -20], "int32", quant)))
    b = bias_of(lifted(g)[0])
    np.testing.assert_array_equal(b.array, np.float32(real))
    assert b.dtype == "float32" and b.quant is None


def test_a_large_bias_is_rounded_once() -> None:
    """float32 has steps of 128 at 2^30: 66 above it, less a zero point of 3, is 2^30; rounded before, it would be 128 more."""
    g = Half()
    g.output(conv(g, pixel(g), weights(), coded("b", [2**30 + 66, 3], "int32", Quant.of(1.0, 3))))
    assert bias_of(lifted(g)[0]).array.tolist() == [2.0**30, 0.0]


@pytest.mark.parametrize(
    ("shape", "real"), [((2, 1), [5.0, 10.0]), ((1, 1, 1, 2), [5.0, 10.0]), ((1,), [5.0, 5.0]), ((), [5.0, 5.0])]
)
def test_a_bias_of_another_shape_becomes_a_vector(shape: tuple[int, ...], real: list[float]) -> None:
    g = Half()
    codes = np.full(shape, 10) if np.prod(shape) < 2 else np.array([10, 20]).reshape(shape)
    g.output(conv(g, pixel(g), weights(), coded("b", codes, "int32", Quant.of(0.5))))
    np.testing.assert_array_equal(bias_of(lifted(g)[0]).array, np.float32(real))


def test_a_bias_that_fits_nothing_keeps_its_shape() -> None:
    g = Half()
    g.output(conv(g, pixel(g), weights(), coded("b", [[1, 2, 3]], "int32", Quant.of(0.5))))
    np.testing.assert_array_equal(bias_of(lifted(g)[0]).array, np.float32([[0.5, 1.0, 1.5]]))


@pytest.mark.parametrize(("kind", "count"), [("CONV_2D", 2), ("DEPTHWISE_CONV_2D", 3)])
def test_a_convolution_without_a_bias_gets_zeros(kind: str, count: int) -> None:
    """One for each output channel; LiteRT's float kernel demands it."""
    g = Half()
    depthwise = kind == "DEPTHWISE_CONV_2D"
    w = coded("w", np.ones((1, 1, 1, 3) if depthwise else (2, 1, 1, 3)), "int8", Quant.of(0.5))
    y = conv(g, pixel(g, channels=3), w, None, kind)
    y.name = "out"
    g.output(y)
    assert len(g.graph.ops[0].inputs) == 2
    b = bias_of(lifted(g)[0])
    assert b.name == "out/bias" and b.dtype == "float32"
    np.testing.assert_array_equal(b.array, np.zeros(count))


def test_a_dense_layer_may_go_without() -> None:
    g = Half()
    w = coded("w", [[1, 2], [3, 4]], "int8", Quant.of(0.5))
    y = g.op("FULLY_CONNECTED", g.coded(1, 2), w, shape=(1, 2), dtype="int8")
    y.quant = Quant.of(0.1)
    g.output(y)
    assert len(lifted(g)[0].main.ops[1].inputs) == 2


def test_weights_are_the_numbers_they_stand_for_and_remember_their_grid() -> None:
    """So that they have the same codes afterwards."""
    g = Half()
    w = weights()
    g.output(conv(g, pixel(g), w, None))
    real = lifted(g)[0].main.ops[1].inputs[1]
    np.testing.assert_array_equal(real.array.reshape(-1), np.float32([0.5, -2.0]))
    assert real.quant.same_as(w.quant) and real.quant.axis == 0


def test_scales_run_along_the_axis_of_the_operator() -> None:
    """Whatever axis a file names: depthwise weights have their channels last."""
    g = Half()
    w = coded("w", np.arange(1, 4).reshape(1, 1, 1, 3), "int8", Quant.of(np.float32([1, 2, 4]), 0, 0))
    g.output(conv(g, pixel(g, channels=3), w, None, "DEPTHWISE_CONV_2D"))
    real = lifted(g)[0].main.ops[1].inputs[1]
    np.testing.assert_array_equal(real.array.reshape(-1), np.float32([1, 4, 12]))
    assert real.quant.axis == 3


@pytest.mark.parametrize(("dtype", "zero"), [("int8", 1), ("uint8", 128), ("uint8", 0)])
def test_a_grid_that_is_not_symmetric_is_forgotten(dtype: str, zero: int) -> None:
    """int8 weights have zero point 0; these need another grid."""
    g = Half()
    w = weights([[5], [7]], Quant.of(0.5, zero), dtype)
    g.output(conv(g, pixel(g), w, None))
    real = lifted(g)[0].main.ops[1].inputs[1]
    np.testing.assert_array_equal(real.array.reshape(-1), np.float32([(5 - zero) / 2, (7 - zero) / 2]))
    assert real.quant is None


def test_a_constant_beside_an_activation_keeps_its_grid() -> None:
    g = Half()
    c = coded("c", [[0, 10]], "int8", Quant.of(0.5, 4))
    g.output(g.int_op("ADD", g.coded(1, 2), c, scale=0.1, zero=0))
    real = lifted(g)[0].main.ops[1].inputs[1]
    np.testing.assert_array_equal(real.array, np.float32([[-2, 3]]))
    assert real.quant.same_as(c.quant)


def test_integers_that_are_no_codes_stay() -> None:
    g = Half()
    shape = g.const(np.int32([2, 1]))
    y = g.op("RESHAPE", g.coded(1, 2), shape, shape=(2, 1), dtype="int8", new_shape=[2, 1])
    y.quant = Quant.of(0.05, 3)
    g.output(y)
    assert lifted(g)[0].main.ops[1].inputs[1] is shape


def test_uint8_is_pinned_as_int8_moved_by_128() -> None:
    g = Half()
    x = pixel(g, zero=130, dtype="uint8")
    g.output(conv(g, x, weights([[5], [7]], Quant.of(0.5, 128), "uint8"), None, zero=120))
    model, pins = lifted(g)
    _, op, _ = model.main.ops
    assert {t: (str(q), kind) for t, (q, kind) in pins.items()} == {
        op.inputs[0]: ("scale 0.5 zero point 2", "int8"),
        op.outputs[0]: ("scale 0.1 zero point -8", "int8"),
    }
    assert x.dtype == "uint8" and x.quant.same_as(Quant.of(0.5, 130))


def test_int16_is_pinned_as_int16() -> None:
    g = Half()
    g.output(g.int_op("NEG", g.coded(1, 4, zero=0, dtype="int16"), scale=0.05, zero=0, dtype="int16"))
    assert [kind for _, kind in lifted(g)[1].values()] == ["int16", "int16"]


def chain(g: Half, count: int = 3) -> list[Tensor]:
    """RELU behind RELU, in codes."""
    values = [g.coded(1, 4)]
    for i in range(count):
        values.append(g.int_op("RELU", values[-1], scale=0.1 + i / 100, zero=i))
    return values


def test_between_lifted_operators_all_is_float() -> None:
    g = Half()
    values = chain(g, 2)
    g.output(values[-1])
    values[1].name = "between"
    model, pins = lifted(g)
    assert kinds(model) == ["DEQUANTIZE", "RELU", "RELU", "QUANTIZE"]
    between = model.main.ops[1].outputs[0]
    assert model.main.ops[2].inputs == [between] and between.name == "between" and str(pins[between][0]) == str(values[1].quant)
    assert values[1] not in model.main.tensors


def test_codes_that_others_read_stay() -> None:
    """They read the file's own tensor, behind a QUANTIZE; the lifted ones read the float value before it."""
    g = Half()
    values = chain(g, 3)
    first, second, third = g.graph.ops
    g.output(values[-1], g.int_op("NEG", values[1], scale=0.1, zero=0))
    other = g.graph.ops[-1]
    values[1].name = "kept"
    model, _ = lifted(g, first, second)
    assert kinds(model) == ["DEQUANTIZE", "RELU", "QUANTIZE", "RELU", "QUANTIZE", "RELU", "NEG"]
    _, one, back, two, *_ = model.main.ops
    assert other.inputs == [values[1]] == back.outputs
    assert two.inputs == one.outputs == back.inputs and one.outputs[0].name == "kept/float"
    assert third in model.main.ops and third.inputs == [values[2]]


def test_codes_are_read_as_numbers_once() -> None:
    g = Half()
    x = g.coded(1, 4)
    g.output(g.int_op("RELU", x, scale=0.1, zero=0), g.int_op("NEG", x, scale=0.1, zero=0))
    model, _ = lifted(g)
    assert kinds(model).count("DEQUANTIZE") == 1


def test_outputs_of_the_model_stay_codes() -> None:
    g = Half()
    values = chain(g, 2)
    g.output(*values[1:])
    model, _ = lifted(g)
    assert model.main.outputs == values[1:] and model.main.inputs == values[:1]
    assert kinds(model) == ["DEQUANTIZE", "RELU", "QUANTIZE", "RELU", "QUANTIZE"]


def test_ends_become_float_where_that_is_wanted() -> None:
    g = Half()
    values = chain(g, 2)
    g.output(values[-1])
    model, pins = lifted(g, ends=True)
    assert kinds(model) == ["RELU", "RELU"]
    [x], [y] = model.main.inputs, model.main.outputs
    assert (x.dtype, x.name, y.dtype, y.name) == ("float32", values[0].name, "float32", values[2].name)
    assert [t for _, t in model.signatures[0].inputs] == [x] and [t for _, t in model.signatures[0].outputs] == [y]
    assert [str(pins[t][0]) for t in (x, y)] == [str(values[0].quant), str(values[2].quant)]


def test_ends_that_others_read_stay_codes() -> None:
    g = Half()
    values = chain(g, 2)
    g.output(values[2], g.int_op("NEG", values[0], scale=0.1, zero=0), g.int_op("ABS", values[2], scale=0.1, zero=0))
    model, _ = lifted(g, *g.graph.ops[:2], ends=True)
    assert model.main.inputs == values[:1] and model.main.outputs[0] is values[2]


def test_an_input_that_nobody_reads_stays_codes() -> None:
    g = Half()
    idle = g.coded(1, 4)
    g.output(chain(g, 1)[-1])
    model, _ = lifted(g, ends=True)
    assert model.main.inputs[0] is idle and model.main.inputs[1].dtype == "float32"


def test_graphs_without_lifted_operators_are_not_touched() -> None:
    g = Half()
    g.output(chain(g, 1)[-1])
    model = g.model()
    before = model.main.ops
    assert lift(model, set(), ends=True) == {}
    assert model.main.ops is before and model.main.inputs[0].dtype == "int8"


def test_a_conversion_that_converts_nothing_is_taken_out() -> None:
    g = Half()
    y = g.quantize(g.quantize(chain(g, 1)[-1], 0.1, 0), 0.1, 0)
    g.output(g.int_op("NEG", y, scale=0.2, zero=0))
    relu, one, two, neg = g.graph.ops
    model = g.model()
    cancel(model, {one, two})
    assert model.main.ops == [relu, neg] and neg.inputs == relu.outputs and y not in model.main.tensors


def test_other_conversions_stay() -> None:
    g = Half()
    y = g.quantize(g.quantize(chain(g, 1)[-1], 0.1, 0), 0.2, 0)
    g.output(y)
    relu, one, two = g.graph.ops
    model = g.model()
    cancel(model, {one})
    assert model.main.ops == [relu, two] and two.inputs == relu.outputs and model.main.outputs == [y]


def test_an_output_keeps_its_name_when_its_conversion_goes() -> None:
    g = Half()
    y = g.quantize(chain(g, 1)[-1], 0.1, 0)
    y.name = "result"
    g.output(y)
    model = g.model(signature="serve")
    cancel(model, {g.graph.ops[1]})
    [out] = model.main.outputs
    assert kinds(model) == ["RELU"] and out is model.main.ops[0].outputs[0] and out.name == "result"
    assert model.signatures[0].outputs == [("result", out)]


def test_a_conversion_between_two_ends_stays() -> None:
    """Without it they would be one tensor: from an input to an output, and from an output to an output."""
    g = Half()
    x = g.coded(1, 4)
    g.output(g.quantize(x))
    values = chain(g, 1)
    g.output(values[1], g.quantize(values[1], 0.1, 0))
    model = g.model()
    cancel(model, {op for op in g.graph.ops if op.kind == "QUANTIZE"})
    assert kinds(model) == ["QUANTIZE", "RELU", "QUANTIZE"]


def test_two_outputs_stay_two() -> None:
    g = Half()
    values = chain(g, 1)
    ends = [g.quantize(values[1], 0.1, 0) for _ in range(2)]
    ends[0].name, ends[1].name = "first", "second"
    g.output(*ends)
    model = g.model()
    cancel(model, {op for op in g.graph.ops if op.kind == "QUANTIZE"})
    assert [t.name for t in model.main.outputs] == ["first", "second"]
    assert model.main.outputs[0] is not model.main.outputs[1]


def test_scales_of_a_vector_run_along_its_only_axis() -> None:
    """Those of other tensors stay where they are."""
    vector = coded("v", [1, 2], "int32", Quant.of(np.float32([0.5, 1.0]), 0, 3))
    scalar = coded("s", 1, "int32", Quant.of(0.5, 0, 2))
    matrix = coded("m", [[1, 2]], "int8", Quant.of(np.float32([0.5, 1.0]), 0, 1))
    odd = coded("o", [1, 2], "int32", Quant.of(np.float32([0.5, 1.0, 2.0]), 0, 3))
    out = Tensor("y", (2,), "int8")
    stamp_axes([make_op("CONCATENATION", [vector, scalar, None, matrix, odd], [out], axis=0)])
    assert [t.quant.axis for t in (vector, scalar, matrix, odd)] == [0, 0, 1, 3]
    assert vector.quant.scale.tolist() == [0.5, 1.0]
