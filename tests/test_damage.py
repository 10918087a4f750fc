"""Damage planted into sound files is named with its operator and cause; sound files give no warning.

float model    an operand of a CONCATENATION, or a column, scaled by 1e-3; a pad of -inf        `quantize`, `audit`
int8 model     a scale halved; a requantize that clips; a fixed scale violated                  `audit -c`
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from conftest import some_slow

import fullint
from fullint import demo
from fullint.errors import AccuracyError, FullintError
from fullint.model.ir import Model, Op, Quant, Tensor, Uses, constant, twin
from fullint.model.numerics import bias_scales
from fullint.model.tflite import read_bytes, write_model
from fullint.ops import ROWS, Fixed, Observed
from fullint.ops.builder import Builder
from fullint.ops.make import make_op
from fullint.ops.operands import weighted

COUNT = 100
CORE = 24
SAMPLES = 40


@dataclass
class Planted:
    """What was planted: the file, and the operators (by output name) one of which must be named, with a word of the cause."""

    data: bytes
    near: set[str]
    words: tuple[str, ...]


def pictures(rng: np.random.Generator, count: int = SAMPLES) -> list[np.ndarray]:
    """Smooth random fields with noise, of different brightness."""
    found = []
    for _ in range(count):
        coarse = rng.normal(size=(1, 3, 3, 3))
        smooth = coarse.repeat(4, axis=1).repeat(4, axis=2)[:, :12, :12]
        found.append((smooth * rng.uniform(0.5, 1.5) + rng.normal(0, 0.2, smooth.shape)).astype(np.float32))
    return found


def network(seed: int) -> Builder:
    """A trunk with a residual sum and a pool, and two heads: a joined one and a table."""
    g = Builder(seed)
    x = g.conv(g.input(1, 12, 12, 3), 8, activation="RELU")
    y = g.op("ADD", x, g.conv(x, 8), name="sum") if seed % 2 else g.depthwise(x)
    y = g.op("RELU", y) if seed % 3 else g.op("HARD_SWISH", y)
    y = g.op("MAX_POOL_2D", y, shape=(1, 6, 6, 8), padding=0, stride_w=2, stride_h=2, filter_width=2, filter_height=2)
    left, right = g.conv(y, 4), g.op("TANH", g.conv(y, 4)) if seed % 2 else g.conv(y, 4)
    g.output(g.op("CONCATENATION", left, right, shape=(1, 6, 6, 8), axis=3, name="joined"))
    flat = g.reshape(g.conv(y, 4, activation="RELU"), 1, 144)
    weights = (g.rng.normal(size=(6, 144)) + 0.5).astype(np.float32)  # so that sums do not cancel, which costs decibels
    g.output(g.op("FULLY_CONNECTED", flat, g.const(weights), g.random(6), shape=(1, 6), name="table"))
    g.output(g.op("LOGISTIC", g.dense(flat, 3), name="chance"))
    return g


def rewired(op: Op, index: int, value: np.ndarray) -> None:
    op.inputs[index] = constant(f"{op.inputs[index].name}/planted", value.astype(np.float32))


def small_operand(seed: int, rng: np.random.Generator) -> Planted:
    """Weights and bias of a head that is joined."""
    g = network(seed - seed % 2)  # without TANH, whose scale is fixed
    [join] = [op for op in g.graph.ops if op.kind == "CONCATENATION"]
    chosen = join.inputs[int(rng.integers(2))]
    [op] = [o for o in g.graph.ops if chosen in o.outputs]
    for i in (1, 2):
        rewired(op, i, op.inputs[i].array * 1e-3)
    return Planted(g.bytes(), {"joined"}, (chosen.name, "scale with larger values"))


def small_column(seed: int, rng: np.random.Generator) -> Planted:
    g = network(seed)
    op = next(o for o in g.graph.ops if o.kind == "FULLY_CONNECTED")
    column = int(rng.integers(6))
    weights, bias = op.inputs[1].array.copy(), op.inputs[2].array.copy()
    weights[column] *= 1e-3
    bias[column] *= 1e-3
    rewired(op, 1, weights)
    rewired(op, 2, bias)
    return Planted(g.bytes(), {op.output_name}, (f"[..., {column}]", "scale with larger values"))


def infinite_pad(seed: int, rng: np.random.Generator) -> Planted:
    """In front of a sum, where it is no padding that a maximum ignores."""
    g = network(seed)
    op = next(o for o in g.graph.ops if o.kind in ("ADD", "DEPTHWISE_CONV_2D"))
    x = op.inputs[0]
    padded = Tensor("padded", (1, 14, 14, 8), "float32")
    cut = Tensor("cut", x.shape, "float32")
    pads = g.const(np.int32([[0, 0], [1, 1], [1, 1], [0, 0]]))
    at = g.graph.ops.index(op)
    slices = g.const(np.int32([0, 0, 0, 0])), g.const(np.int32([1, 12, 12, 8]))
    g.graph.ops[at:at] = [
        make_op("PADV2", [x, pads, g.const(np.float32(-np.inf))], [padded]),
        make_op("SLICE", [padded, *slices], [cut]),
    ]
    op.inputs[0] = cut
    return Planted(g.bytes(), {"padded"}, ("not finite",))


def integer(seed: int, rng: np.random.Generator) -> Model:
    return read_bytes(fullint.quantize(network(seed).bytes(), pictures(rng), threads=1).model)


def halved_scale(seed: int, rng: np.random.Generator) -> Planted:
    model = integer(seed, rng)
    uses = Uses(model.main)
    able = [op for op in model.main.ops if (row := ROWS.get(op.kind)) is not None and isinstance(row.output(0), Observed)]
    op = able[int(rng.integers(len(able)))]
    t = op.outputs[0]
    t.quant = Quant.of(t.quant.scale / 2, t.quant.zero_point)
    near = {op.output_name, *(o.output_name for o, _ in uses.of(t)), t.name}
    return Planted(write_model(model), near, ("scale", "at the end of"))


def clipping_requantize(seed: int, rng: np.random.Generator) -> Planted:
    """A QUANTIZE to a third of the range in front of a convolution, whose bias is made right for it."""
    model = integer(seed, rng)
    able = [op for op in model.main.ops if op.kind in ("CONV_2D", "FULLY_CONNECTED") and op.inputs[0] not in model.main.inputs]
    op = able[int(rng.integers(len(able)))]
    x = op.inputs[0]
    y = twin(x, f"{x.name}/clipped")
    y.quant = Quant.of(x.quant.scale / 3, x.quant.zero_point)
    step = make_op("QUANTIZE", [x], [y])
    model.main.ops.insert(model.main.ops.index(op), step)
    row, _, w, b = weighted(op)
    op.inputs[row.data] = y
    real = b.array * b.quant.scale.astype(np.float64)
    quant = Quant.of(bias_scales(float(y.quant.scale[0]), w.quant.scale))
    op.inputs[row.bias] = constant("bias", np.rint(real / quant.scale).astype(np.int32), quant)
    model.main.sync_tensors()
    return Planted(write_model(model), {y.name}, ("cuts off",))


def violated_scale(seed: int, rng: np.random.Generator) -> Planted:
    model = integer(seed | 1, rng)  # with TANH
    able = [op for op in model.main.ops if (row := ROWS.get(op.kind)) is not None and isinstance(row.output(0), Fixed)]
    op = able[int(rng.integers(len(able)))]
    op.outputs[0].quant = Quant.of(float(op.outputs[0].quant.scale[0]) * float(rng.choice([0.5, 2.0, 3.0])), 0)
    return Planted(write_model(model), {op.output_name}, ("the kernel requires",))


DAMAGE: tuple[Callable[[int, np.random.Generator], Planted], ...] = (
    small_operand,
    small_column,
    infinite_pad,
    halved_scale,
    clipping_requantize,
    violated_scale,
)


def said(planted: Planted, rng: np.random.Generator) -> list[tuple[str, str]]:
    """(place, cause) of everything that quantize or audit say of a file."""
    samples = pictures(rng)
    model = read_bytes(planted.data)
    found = []
    if any(t.is_float for t in model.main.inputs):
        audited = fullint.audit(planted.data).findings
        try:
            fullint.quantize(planted.data, samples, threads=1)
        except (AccuracyError, FullintError) as e:
            found.append((str(e), str(e)))
    else:
        audited = fullint.audit(planted.data, samples=samples).findings
    worth = [f for f in audited if f.level != "note" and f.rule not in ("not-quantized", "float-io")]
    return found + [(f.output, f.cause) for f in worth]


def named(seed: int) -> bool:
    rng = np.random.default_rng(seed)
    planted = DAMAGE[seed % len(DAMAGE)](seed, rng)
    return any(
        any(name in place for name in planted.near) and any(word in cause for word in planted.words)
        for place, cause in said(planted, rng)
    )


@pytest.mark.slow
def test_damage_is_named_with_operator_and_cause() -> None:
    missed = [seed for seed in range(COUNT) if not named(seed)]
    assert len(missed) <= 0.05 * COUNT, [(s, DAMAGE[s % len(DAMAGE)].__name__) for s in missed]


def test_some_damage_is_named() -> None:
    missed = [seed for seed in range(CORE) if not named(seed)]
    assert len(missed) <= 1, [(s, DAMAGE[s % len(DAMAGE)].__name__) for s in missed]


@pytest.mark.parametrize("seed", some_slow(range(COUNT), CORE))
def test_a_sound_file_gives_no_warning(seed: int) -> None:
    rng = np.random.default_rng(seed)
    result = fullint.quantize(network(seed).bytes(), pictures(rng), threads=1)
    assert result.report.warnings == ()
    assert [f for f in fullint.audit(result.model, samples=pictures(rng)).findings if f.level != "note"] == []


SENSELESS = ((0.0, 0), (1e-45, 0), (0.1, -(2**63)), (0.1, 2**62), (float("inf"), 0), (float("nan"), 5))


@pytest.mark.parametrize(("scale", "zero"), SENSELESS)
def test_parameters_without_sense_are_findings(scale: float, zero: int) -> None:
    """Of any tensor: no rule divides by them."""
    data = Path(demo.__file__).with_name("half.tflite").read_bytes()
    for i in range(sum(len(g.tensors) for g in read_bytes(data).graphs)):
        model = read_bytes(data)
        t = [t for g in model.graphs for t in g.tensors][i]
        if t.quant is None or t.quant.per_channel or not t.quant.scale.size:
            continue
        t.quant = replace(t.quant, scale=np.float32([scale]), zero_point=np.int64([zero]))
        damaged = write_model(model)
        fullint.audit(damaged)
        for look in (fullint.inspect, fullint.partition):
            with contextlib.suppress(FullintError):
                look(damaged)
