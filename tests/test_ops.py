"""Every row of the op table against the float operator, over the whole code range, on each kernel set."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import calibrate, evaluate, run
from op_examples import EXAMPLES, codes

from fullint.calibration.observed import observed_tensors
from fullint.calibration.statistics import Measured
from fullint.errors import RuntimeFailure
from fullint.model.ir import Model, Op, Quant, constant, twin
from fullint.model.numerics import representable
from fullint.model.ranges import Range
from fullint.model.tflite import schema
from fullint.ops import KERNEL_SETS, ROWS, Fixed, Same
from fullint.ops.builder import Builder
from fullint.ops.releases import RELEASES, release_of
from fullint.ops.structure import structure_problems
from fullint.quantization.assign import assign
from fullint.quantization.emit import emit
from fullint.quantization.lookup_tables import compute_tables
from fullint.verification.contract import contract_problems
from fullint.verification.kernel_outputs import integer_inputs, real


def test_every_row_has_an_example() -> None:
    assert set(ROWS) == set(EXAMPLES)


def emitted(kind: str) -> tuple[Model, Model, list[np.ndarray], list[np.ndarray]]:
    """(float model, int8 model, inputs, float outputs) of a kind's example."""
    g = Builder()
    values = EXAMPLES[kind](g)
    model = g.model()
    expected = run(model, values, "builtin")
    stats = calibrate(model, observed_tensors(model) if kind not in ("RSQRT", "LOG") else list(model.main.inputs), values)
    ranges = dict(stats.ranges)
    if kind == "RSQRT":  # 1 / sqrt(0) has no int8; the largest value of the next code has
        ranges[model.main.outputs[0]] = Range(0.0, 8.0)
    if kind == "LOG":
        ranges[model.main.outputs[0]] = Range(-5.0, float(expected[0].max()))
    assignment = assign(model, replace(stats.measured, ranges=ranges))
    assignment = replace(assignment, tables=compute_tables(model, assignment, evaluate))
    return model, emit(model, assignment).model, values, expected


@pytest.mark.parametrize("kind", ROWS)
def test_int8_kernel_equals_float_operator(kind: str) -> None:
    """Each kernel set agrees with float to the row's number of steps, or fails as the row says."""
    _, model, values, expected = emitted(kind)
    row = ROWS[kind]
    op = next((op for op in model.main.ops if op.kind == kind), model.main.ops[0])
    assert list(contract_problems(model)) == []
    for kernels in KERNEL_SETS:
        fault = row.fault(op, kernels)
        if fault is not None and fault.absent:
            with pytest.raises(RuntimeFailure):
                run(model, integer_inputs(model, values), kernels)
            continue
        outputs = run(model, integer_inputs(model, values), kernels)
        sound = all(_agrees(t, out, ref, row.steps) for t, out, ref in zip(model.main.outputs, outputs, expected, strict=True))
        assert sound == (fault is None), f"{kind} on {kernels}"


def _agrees(tensor: object, out: np.ndarray, expected: np.ndarray, steps: int) -> bool:
    if tensor.quant is None:
        return bool((out == expected).all())
    low, high = representable(tensor.quant)
    error = np.abs(real(out, tensor) - np.clip(expected, low, high))
    return bool(error.max() <= (steps + 0.01) * tensor.quant.scale[0])


def test_reference_softmax_aborts_on_many_classes() -> None:
    """The fault that the table records: a thousand near-equal logits end the process."""
    g = Builder()
    g.output(g.op("SOFTMAX", g.input(1, 1000), beta=1.0))
    model = g.model()
    int8 = emit(model, assign(model, Measured({model.main.inputs[0]: Range(-1.0, 1.0)}))).model
    op = int8.main.ops[0]
    assert ROWS["SOFTMAX"].fault(op, "reference") is not None
    with pytest.raises(RuntimeFailure, match="crashed") as caught:
        run(int8, [np.zeros((1, 1000), np.int8)], "reference")
    assert caught.value.crashed
    assert run(int8, [np.zeros((1, 1000), np.int8)], "builtin")[0].shape == (1, 1000)


@pytest.mark.parametrize("kind", [k for k, row in ROWS.items() if isinstance(row.output(0), Same)])
def test_same_scale_rows_share_parameters(kind: str) -> None:
    """The operands a row ties come out with one scale and zero point."""
    _, model, _, _ = emitted(kind)
    op = next(op for op in model.main.ops if op.kind == kind)
    quants = [t.quant for t in (*op.inputs, *op.outputs) if t is not None and t.dtype == "int8"]
    assert all(q.same_as(quants[0]) for q in quants)


@pytest.mark.parametrize("kind", [k for k in ROWS if k not in ("LOOKUP", "CAST")])
def test_version_is_one_the_schema_and_releases_know(kind: str) -> None:
    _, model, _, _ = emitted(kind)
    op = next(op for op in model.main.ops if op.kind == kind)
    assert kind in schema.values("BuiltinOperator")
    assert release_of(kind, op.version) != (), f"{kind} version {op.version} was never released"


def test_releases_are_in_order() -> None:
    """A later version never runs on an older runtime."""
    for kind, text in RELEASES.items():
        known = [release_of(kind, v + 1) for v in range(len(text.split()))]
        known = [r for r in known if r]
        assert known == sorted(known) or kind in ("FULLY_CONNECTED",), kind


OWN_LIMITS = [k for k, row in ROWS.items() if row.least_scale([1.0, 1.0], False) > 0]


@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("kind", OWN_LIMITS)
def test_the_least_scale_is_one_that_kernels_take(kind: str, dtype: str) -> None:
    """Asked for an output a billion times as small as its operands, each kernel gets the smallest scale it takes, and runs."""
    row, g = ROWS[kind], Builder()
    values = EXAMPLES[kind](g)
    model = g.model()
    if dtype == "int16" and not row.int16:
        pytest.skip("no int16 kernel")
    stats = calibrate(model, observed_tensors(model), values)
    ranges = {**stats.ranges, **{t: Range(-1e-9, 1e-9) for t in model.main.outputs}}
    assignment = assign(model, replace(stats.measured, ranges=ranges), inputs=dtype)
    integer = emit(model, assignment).model
    assert list(contract_problems(integer)) == []
    for kernels in KERNEL_SETS:
        run(integer, integer_inputs(integer, values), kernels)
    raised = row.least_scale([1.0, 1.0], dtype == "int16") > 0
    assert [kind in note for note in assignment.notes] == [True] * raised


@pytest.mark.parametrize("beta", [1.0, 0.25])
@pytest.mark.parametrize("kind", [k for k, row in ROWS.items() if row.least_input(Op(k, [], [])) > 0])
def test_the_least_input_scale_is_one_that_kernels_take(kind: str, beta: float) -> None:
    """An input that hardly differs gets the smallest steps that every kernel set runs; on smaller ones one of them aborts."""
    g = Builder()
    x = g.input(2, 6)
    g.output(g.op(kind, x, **({"beta": beta} if kind == "SOFTMAX" else {})))
    model = g.model()
    needed = ROWS[kind].least_input(model.main.ops[0])
    assignment = assign(model, Measured({x: Range(-1e-12, 1e-12)}))
    integer = emit(model, assignment).model
    own = float(integer.main.inputs[0].quant.scale[0])
    assert needed < own < 1.01 * needed and kind in assignment.notes[0]
    codes_of_row = np.arange(12, dtype=np.int8).reshape(2, 6)
    for kernels in KERNEL_SETS:
        run(integer, [codes_of_row], kernels)
    integer.main.inputs[0].quant = Quant.of(0.99 * needed, 0)
    assert any("the kernel needs more than" in p for p in contract_problems(integer))
    with pytest.raises(RuntimeFailure, match="crashed"):
        run(integer, [codes_of_row], "reference")


@pytest.mark.parametrize(("low", "says"), [(-1e30, "a mask of -1e38"), (-999.0, "its operands nearly cancel")])
def test_scale_limits_that_are_not_met_have_a_cause(low: float, says: str) -> None:
    """Where the output's scale is given, an operand too coarse for ADD is refused before the kernel aborts the process."""
    from fullint.errors import NotIntegerError

    g = Builder()
    a, b = g.input(1, 4), g.input(1, 4)
    y = g.op("ADD", a, b)
    g.output(y)
    model = g.model()
    measured = Measured({a: Range(-1, 1), b: Range(low, 0), y: Range(-1, 1)})
    given = {y: (Quant.of(1e-9), "int8")}
    with pytest.raises(NotIntegerError, match="the kernel needs more than") as caught:
        emit(model, assign(model, measured, pinned=given))
    assert says in str(caught.value)


def test_codes_cover_int8() -> None:
    assert len(np.unique(codes(-4, 3))) == 256


@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("kind", [k for k, row in ROWS.items() if row.saturates is not None])
def test_beyond_where_it_saturates_nothing_changes(kind: str, dtype: str) -> None:
    """By half a step of the fixed output at most."""
    row, g = ROWS[kind], Builder()
    g.output(g.op(kind, g.input(1, 4)))
    most = row.saturates if dtype == "int8" else row.int16_saturates
    x = np.float32([[most, 1e3, -most, -1e3]])
    [[high, highest, low, lowest]] = run(g.model(), [x], "builtin")[0]
    rule = row.output(0)
    assert isinstance(rule, Fixed)
    step = float(rule.of_type(dtype).scale[0])
    assert abs(highest - high) <= step / 2
    assert abs(lowest - low) <= step / 2


READ_OTHERWISE = {("PAD", "inputs"), ("MIRROR_PAD", "inputs"), ("MIRROR_PAD", "outputs"), ("CONCATENATION", "outputs")}
"""What LiteRT takes all the same, and leaves: PAD's third operand is that of PADV2."""


@pytest.mark.parametrize("what", ["inputs", "outputs"])
@pytest.mark.parametrize("kind", [k for k in ROWS if k != "LOOKUP"])
def test_litert_refuses_more_operands_than_the_row_has(kind: str, what: str, g: Builder) -> None:
    row = ROWS[kind]
    values = EXAMPLES[kind](g)
    model = g.model()
    op = next(op for op in model.main.ops if op.kind == kind)
    if getattr(row, f"more_{what}") or (what == "outputs" and not op.outputs) or (kind, what) in READ_OTHERWISE:
        return
    if what == "inputs":
        op.inputs += [None] * (len(row.inputs) - len(op.inputs))
        op.inputs.append(constant("more", np.ones(1, np.float32)))
    else:
        op.outputs.append(twin(op.outputs[0], "more"))
    model.main.sync_tensors()
    assert list(structure_problems(model))
    with pytest.raises(RuntimeFailure):
        run(model, values, "builtin")
