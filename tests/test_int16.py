"""16-bit activations: every row's int16 kernel against the float operator, and whole models."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import calibrate, evaluate, quantized, run
from op_examples import EXAMPLES

import fullint
from fullint.calibration.observed import observed_tensors
from fullint.errors import RuntimeFailure
from fullint.model.numerics import representable
from fullint.model.ranges import Range
from fullint.model.tflite import read_bytes
from fullint.ops import KERNEL_SETS, ROWS
from fullint.ops.builder import Builder
from fullint.ops.releases import release_of
from fullint.quantization.assign import assign
from fullint.quantization.emit import emit
from fullint.quantization.lookup_tables import compute_tables
from fullint.verification.contract import contract_problems
from fullint.verification.kernel_outputs import integer_inputs, real

STEPS, STEEP = 16, {"RSQRT": 600, "LOG": 200}
"""Of 32767: the kernels of EXP, SQRT and the like interpolate between 512 table entries."""


@pytest.mark.parametrize("kind", [k for k, row in ROWS.items() if row.int16])
def test_int16_kernel_equals_float_operator(kind: str) -> None:
    g = Builder()
    values = EXAMPLES[kind](g)
    model = g.model()
    expected = run(model, values, "builtin")
    tensors = observed_tensors(model) if kind not in STEEP else list(model.main.inputs)
    stats = calibrate(model, tensors, values)
    known = {"RSQRT": Range(0.0, 8.0), "LOG": Range(-5.0, 2.0)}  # not infinite at 0
    ranges = {**stats.ranges} | ({model.main.outputs[0]: known[kind]} if kind in known else {})
    assignment = assign(model, replace(stats.measured, ranges=ranges), inputs="int16")
    assignment = replace(assignment, tables=compute_tables(model, assignment, evaluate))
    wide = emit(model, assignment).model
    assert list(contract_problems(wide)) == []
    for op in wide.main.ops:
        assert release_of(op.kind, op.version) != (), f"{op.kind} version {op.version}"
    for kernels in KERNEL_SETS:
        faults = [f for op in wide.main.ops if (f := ROWS[op.kind].fault(op, kernels) if op.kind in ROWS else None)]
        if any(f.absent for f in faults):
            with pytest.raises(RuntimeFailure):
                run(wide, integer_inputs(wide, values), kernels)
            continue
        for t, out, ref in zip(wide.main.outputs, run(wide, integer_inputs(wide, values), kernels), expected, strict=True):
            if t.quant is None:
                assert (out == ref).all(), kernels
                continue
            low, high = representable(t.quant, t.dtype)
            assert np.abs(real(out, t) - np.clip(ref, low, high)).max() <= STEEP.get(kind, STEPS) * t.quant.scale[0], kernels


def network(g: Builder) -> None:
    x = g.conv(g.input(1, 8, 8, 3), activation="RELU6")
    x = g.op("HARD_SWISH", g.depthwise(x))
    x = g.op("PRELU", g.conv(x), g.const(np.float32([[[0.1, 0.2, 0.3, 0.4]]])))
    g.output(g.op("SOFTMAX", g.dense(g.reshape(x, 1, -1), 5), beta=1.0))


def test_network_has_the_accuracy_of_its_weights(g: Builder) -> None:
    network(g)
    int8, int16 = quantized(g, 100), quantized(g, 100, activations="int16")
    assert int16.report.certificate.sqnr_db > int8.report.certificate.sqnr_db + 6
    model = read_bytes(int16.model)
    assert model.main.inputs[0].dtype == model.main.outputs[0].dtype == "int16"
    for op in model.main.ops:
        if op.kind == "CONV_2D":
            assert [t.dtype for t in op.inputs] == ["int16", "int8", "int64"]
    assert int16.report.float_operators == 0


@pytest.mark.parametrize("io", ["auto", "int8", "uint8", "float32", "int16"])
@pytest.mark.parametrize("activations", ["int8", "int16"])
def test_borders_of_every_type(g: Builder, io: str, activations: str) -> None:
    network(g)
    result = quantized(g, io=io, activations=activations)
    expected = activations if io == "auto" else io
    model = read_bytes(result.model)
    assert {t.dtype for t in (*model.main.inputs, *model.main.outputs)} == {expected}
    assert result.report.options["io"] == io


def test_operator_without_an_int16_kernel_computes_in_int8(g: Builder) -> None:
    x = g.conv(g.input(1, 4, 4, 4))
    g.output(g.conv(g.op("DEPTH_TO_SPACE", x, shape=(1, 8, 8, 1), block_size=2)))
    result = quantized(g, activations="int16")
    assert any("it computes in int8" in c.why for c in result.report.cuts)
    assert result.report.certificate.sqnr_db > 25


def test_bias_too_large_for_forty_bits_raises_its_weights_scale(g: Builder) -> None:
    x = g.input(1, 4, 4, 2)
    bias = g.const(np.float32([3e4, 0, 0, 1]))
    weights = g.const(np.full((4, 1, 1, 2), 1e-7, np.float32))
    g.output(g.conv(x, weights=weights, bias=bias))
    result = quantized(g, activations="int16", allow_lost=["conv_2d[..., 1]", "conv_2d[..., 2]"])
    assert any("40 bits" in n for n in result.report.notes)
    assert result.report.certificate.sqnr_db > 40


def test_variances_far_apart_are_computed_in_int16(g: Builder) -> None:
    """A normalisation of rows a hundred times larger than others: the small ones keep their accuracy."""
    x = g.input(8, 16)
    axis = g.const(np.int32([1]))
    d = g.op("SUB", x, g.op("MEAN", x, axis, shape=(8, 1), keep_dims=True))
    variance = g.op("MEAN", g.op("MUL", d, d), axis, shape=(8, 1), keep_dims=True)
    g.output(g.op("MUL", d, g.op("RSQRT", g.op("ADD", variance, g.const(1e-4)))))
    size = np.geomspace(0.1, 1, 8, dtype=np.float32)[:, None]
    rng = np.random.default_rng(0)
    result = fullint.quantize(g.bytes(), [rng.normal(size=(8, 16)).astype(np.float32) * size for _ in range(40)])
    widened = {c.kind for c in result.report.changes if c.rule == "widen"}
    assert widened == {"RSQRT", "ADD", "MEAN", "MUL"}
    assert result.report.certificate.sqnr_db > 25
    even = fullint.quantize(g.bytes(), [rng.uniform(-1, 1, size=(8, 16)).astype(np.float32) for _ in range(40)])
    assert not any(c.rule == "widen" for c in even.report.changes)
