"""Every rule of structure and of the contract is reached by a model made to break it."""

import numpy as np
import pytest
from conftest import quantized

from fullint.auditing.audit import audit_model
from fullint.auditing.rules import RULES_BY_NAME
from fullint.errors import ModelFormatError, VerificationError
from fullint.model.ir import Buffer, Model, Op, Quant, Tensor, constant, twin
from fullint.model.tflite import read_bytes
from fullint.ops.builder import Builder
from fullint.ops.structure import check_readable, check_structure, structure_problems
from fullint.verification.contract import contract_problems
from fullint.verification.operator_checks import CHECKS


def small() -> Model:
    g = Builder()
    x = g.input(1, 6, 6, 2)
    y = g.conv(x, activation="RELU")
    y = g.op("CONCATENATION", y, g.conv(x), shape=(1, 6, 6, 8), axis=3)
    g.output(g.op("SOFTMAX", g.dense(g.reshape(y, 1, -1), 4), beta=1.0))
    return read_bytes(quantized(g).model)


def op_of(model: Model, kind: str) -> Op:
    return next(op for op in model.main.ops if op.kind == kind)


def test_a_sound_model_has_no_problem() -> None:
    assert list(contract_problems(small())) == []


def float_tensor(m: Model) -> None:
    op_of(m, "SOFTMAX").outputs[0].dtype = "float32"


def wrong_bias_scale(m: Model) -> None:
    b = op_of(m, "CONV_2D").inputs[2]
    b.quant = Quant.of(b.quant.scale * 1.001)


def short_bias_scales(m: Model) -> None:
    b = op_of(m, "CONV_2D").inputs[2]
    b.quant = Quant.of(b.quant.scale[0])


def int8_bias(m: Model) -> None:
    op = op_of(m, "CONV_2D")
    op.inputs[2] = constant("b", np.zeros(4, np.int8), op.inputs[2].quant)


def wide_weights(m: Model) -> None:
    w = op_of(m, "CONV_2D").inputs[1]
    w.buffer, w.dtype = Buffer.of(w.array.astype(np.int16)), "int16"


def raw_operand(m: Model) -> None:
    op_of(m, "CONCATENATION").inputs[0].quant = None


def narrow_bias(m: Model) -> None:
    op = op_of(m, "CONV_2D")
    for t in (op.inputs[0], op.outputs[0]):
        t.dtype, t.quant = "int16", Quant.of(0.01)


def one_scale_for_all(m: Model) -> None:
    w, b = op_of(m, "CONV_2D").inputs[1:3]
    w.quant = Quant.of(np.full(4, 0.01))
    b.quant = Quant.of(np.float32(op_of(m, "CONV_2D").inputs[0].quant.scale[0]) * np.float32(0.01))


def three_bias_scales(m: Model) -> None:
    b = op_of(m, "CONV_2D").inputs[2]
    b.quant = Quant.of(b.quant.scale[:3])


def flat_bias(m: Model) -> None:
    b = op_of(m, "CONV_2D").inputs[2]
    b.shape, b.quant = (1, *b.shape), Quant(b.quant.scale, b.quant.zero_point, 1)


def without_bias(m: Model) -> None:
    op_of(m, "CONV_2D").inputs = op_of(m, "CONV_2D").inputs[:2]


def nan_scale_inside(m: Model) -> None:
    op_of(m, "CONV_2D").outputs[0].quant = Quant.of(np.nan)


def huge_scale(m: Model) -> None:
    op_of(m, "CONV_2D").outputs[0].quant = Quant.of(2e30)


def weights_at_minus_128(m: Model) -> None:
    w = op_of(m, "CONV_2D").inputs[1]
    a = w.array.copy()
    a.reshape(-1)[0] = -128
    w.buffer = Buffer.of(a)


def weights_with_zero_point(m: Model) -> None:
    w = op_of(m, "CONV_2D").inputs[1]
    w.quant = Quant.of(w.quant.scale, 3)


def weights_along_the_wrong_axis(m: Model) -> None:
    w = op_of(m, "CONV_2D").inputs[1]
    w.quant = Quant(np.full(3, 0.1, np.float32), np.zeros(3, np.int64), 1)


def unequal_group(m: Model) -> None:
    op_of(m, "CONCATENATION").inputs[0].quant = Quant.of(0.5, 0)


def wrong_fixed_output(m: Model) -> None:
    op_of(m, "SOFTMAX").outputs[0].quant = Quant.of(1 / 255, -128)


def old_version(m: Model) -> None:
    op_of(m, "CONV_2D").version = 1


def shared_bytes(m: Model) -> None:
    convs = [op for op in m.main.ops if op.kind == "CONV_2D"]
    convs[1].inputs[1].buffer = convs[0].inputs[1].buffer


def dynamic_shape(m: Model) -> None:
    m.main.inputs[0].shape_signature = (-1, 6, 6, 2)


def no_scales(m: Model) -> None:
    op_of(m, "CONV_2D").inputs[0].quant = None


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (float_tensor, "has the float operand"),
        (wrong_bias_scale, "s_in * s_w is"),
        (short_bias_scales, "s_in * s_w is"),
        (three_bias_scales, "has 3 scales, the weights 4"),
        (one_scale_for_all, "has one scale, but the weights have 4"),
        (wide_weights, "are int16; the contract is int8"),
        (narrow_bias, "with int16 activations it must be int64"),
        (raw_operand, "mixes int8 without a scale"),
        (int8_bias, "the kernel requires int32"),
        (weights_at_minus_128, "are -128"),
        (weights_with_zero_point, "is 3; the kernel requires 0"),
        (weights_along_the_wrong_axis, "run along axis 1"),
        (unequal_group, "has scale 0.5 zero point 0"),
        (wrong_fixed_output, "the kernel requires scale 0.00390625"),
        (old_version, "its version is 1"),
        (shared_bytes, "share a buffer"),
        (dynamic_shape, "dynamic shape"),
        (no_scales, "int8 without a scale"),
    ],
)
def test_contract_names_what_is_broken(spoil, says: str) -> None:
    model = small()
    spoil(model)
    assert any(says in p for p in contract_problems(model)), list(contract_problems(model))


BREACHES = {
    "malformed-scale": nan_scale_inside,
    "weight-axis": weights_along_the_wrong_axis,
    "bias-wrong-dtype": int8_bias,
    "kernel-type-mismatch": no_scales,
    "bias-not-vector": flat_bias,
    "same-scale-conflict": unequal_group,
    "fixed-output-scale": wrong_fixed_output,
    "missing-bias": without_bias,
    "bias-wrong-scale": wrong_bias_scale,
    "weight-zero-point": weights_with_zero_point,
    "weight-range": weights_at_minus_128,
    "scale-out-of-range": huge_scale,
    "op-version-low": old_version,
    "weight-type": wide_weights,
    "raw-codes": raw_operand,
    "bias-width": narrow_bias,
}
CONTRACT_ONLY = ("weight-type", "raw-codes", "bias-width")


def test_every_check_has_an_example() -> None:
    assert set(BREACHES) == set(CHECKS)


@pytest.mark.parametrize("name", CONTRACT_ONLY)
def test_what_runs_and_is_not_handed_out(name: str) -> None:
    model = small()
    assert CHECKS[name](op_of(model, "CONV_2D")) is None
    BREACHES[name](model)
    breach = next(b for op in model.main.ops if (b := CHECKS[name](op)) is not None)
    assert any(breach.text in p for p in contract_problems(model))


@pytest.mark.parametrize("name", [n for n in BREACHES if n not in CONTRACT_ONLY])
def test_the_contract_and_the_audit_say_the_same(name: str) -> None:
    """One set of checks: what breaks the contract is found by the rule of that name, in the same words."""
    model = small()
    assert audit_model(model, [RULES_BY_NAME["malformed-scale" if name == "weight-axis" else name]]).findings == ()
    BREACHES[name](model)
    rule = "malformed-scale" if name == "weight-axis" else name
    causes = [f.cause for f in audit_model(model, [RULES_BY_NAME[rule]]).findings]
    assert causes
    problems = list(contract_problems(model))
    assert all(any(cause in p for p in problems) for cause in causes)


def before_written(m: Model) -> None:
    m.main.ops.reverse()


def written_twice(m: Model) -> None:
    m.main.ops[1].outputs = m.main.ops[0].outputs


def constant_written(m: Model) -> None:
    m.main.ops[0].outputs[0].buffer = Buffer.of(np.zeros(144, np.int8))


def missing_inputs(m: Model) -> None:
    m.main.ops[0].inputs = m.main.ops[0].inputs[:1]


def no_output(m: Model) -> None:
    m.main.ops[-1].outputs = []


def wrong_bytes(m: Model) -> None:
    m.main.ops[0].inputs[1].buffer = Buffer.of(np.zeros(7, np.int8))


def impossible_shape(m: Model) -> None:
    m.main.inputs[0].shape = (1, -5)


def absurd_size(m: Model) -> None:
    m.main.inputs[0].shape = (2**20, 2**20)


def wrong_scale_count(m: Model) -> None:
    t = m.main.inputs[0]
    t.quant = Quant.of(np.ones(5), 0, 3)


def nan_scale(m: Model) -> None:
    m.main.inputs[0].quant = Quant.of(np.nan)


def zero_point_outside(m: Model) -> None:
    m.main.inputs[0].quant = Quant.of(1.0, 300)


def output_from_nowhere(m: Model) -> None:
    m.main.outputs.append(Tensor("ghost", (1,), "int8"))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (before_written, "before anything writes it"),
        (written_twice, "already written"),
        (constant_written, "writes the constant"),
        (missing_inputs, "inputs, but needs"),
        (no_output, "has no output"),
        (wrong_bytes, "bytes, but has"),
        (impossible_shape, "invalid shape"),
        (absurd_size, "too many elements"),
        (wrong_scale_count, "scales along axis"),
        (nan_scale, "negative, infinite or NaN"),
        (zero_point_outside, "outside the range of its type"),
        (output_from_nowhere, "is never written"),
    ],
)
def test_structure_names_what_is_broken(spoil, says: str) -> None:
    model = small()
    spoil(model)
    problems = list(structure_problems(model))
    assert any(says in p for p in problems), problems
    with pytest.raises(VerificationError):
        check_structure(model)
    with pytest.raises(ModelFormatError, match="damaged"):
        check_readable(model)


def test_zero_biases_may_share_bytes() -> None:
    """Zeros are zeros under any scale."""
    model = small()
    convs = [op for op in model.main.ops if op.kind == "CONV_2D"]
    for op in convs:
        own = twin(op.inputs[2])
        own.buffer = Buffer.of(np.zeros(4, np.int32))
        op.inputs[2] = own
    convs[1].inputs[2].buffer = convs[0].inputs[2].buffer
    model.main.sync_tensors()
    assert list(contract_problems(model)) == []
