"""Repair: from the file alone where it says enough, with samples where not, and judged against the given model."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import CORPUS, assert_audit_is_content, corpus, run
from half import Half
from test_audit import CASES, remembered

import fullint
from fullint.auditing.audit import audit
from fullint.auditing.rules import RULES_BY_NAME
from fullint.errors import AccuracyError, NotIntegerError, UsageError
from fullint.model.census import count_float
from fullint.model.ir import Model, Quant, Tensor
from fullint.model.numerics import dequantize, quantize, representable
from fullint.model.ranges import Range
from fullint.model.tflite import read_bytes, read_model, write_model
from fullint.ops.builder import Builder
from fullint.ops.make import make_op
from fullint.passes import prepare
from fullint.quantization.given_ranges import known_ranges
from fullint.repairing.interval_bounds import bounds
from fullint.repairing.pipeline import Repaired, repair, repair_plan
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import WorkerProcess, model_file
from fullint.verification.contract import contract_problems
from fullint.verification.metrics import Score, mean_sqnr

UNREPAIRABLE = {
    "custom-operator": NotIntegerError,
    "float-type": NotIntegerError,
    "no-integer-form": NotIntegerError,
    "scale-out-of-range": NotIntegerError,
    "not-quantized": UsageError,
    "dynamic-shape": UsageError,
}
"""What cannot be mended from the file: its model is refused, with the cause."""


def sound(result: Repaired) -> Model:
    """The repaired model, its contract checked once more, here."""
    model = read_bytes(result.model)
    assert count_float(model) == 0
    assert list(contract_problems(model)) == []
    assert_audit_is_content(result.model, clips=True)
    return model


@pytest.mark.parametrize("name", sorted(CASES))
def test_what_every_rule_finds_is_repaired_or_refused_by_name(name: str) -> None:
    g = Half()
    CASES[name](g, True)
    data = g.bytes()
    if name in UNREPAIRABLE:
        with pytest.raises(UNREPAIRABLE[name]):
            repair(data, min_sqnr=0)
        return
    result = repair(data, min_sqnr=0, unsafe_fixes=True)
    if not RULES_BY_NAME[name].bearable:
        sound(result)
    repairable = RULES_BY_NAME[name].mend.value != "none"
    assert (name in {f.rule for f in result.report.fixed}) == repairable
    assert name not in {f.rule for f in result.report.left} or name == "requantize" or RULES_BY_NAME[name].bearable


def test_a_sandwich_needs_no_data() -> None:
    """The parameters around are kept, the bias has s_in * s_w, and what comes out is what the given model gives."""
    g = Half()
    x = g.coded(1, 6, 6, 3)
    g.output(g.sandwich(x))
    result = repair(g.bytes())
    model = sound(result)
    [conv] = model.main.ops
    assert conv.kind == "CONV_2D"
    assert conv.outputs[0].quant.same_as(Quant.of(0.1, 0))
    assert conv.inputs[1].dtype == "int8"
    assert conv.inputs[2].dtype == "int32"
    np.testing.assert_allclose(conv.inputs[2].quant.scale, np.float32(0.05) * conv.inputs[1].quant.scale, rtol=1e-6)
    codes = np.random.default_rng(1).integers(-128, 128, (1, 6, 6, 3)).astype(np.int8)
    before, after = run(g.bytes(), [codes])[0], run(result.model, [codes])[0]
    assert np.abs(before.astype(int) - after).max() <= 1
    c = result.report.result.certificate
    assert c.drawn
    assert c.reference == "the given model"
    assert any("random inputs within the input ranges" in a for a in result.report.assumptions)


def test_each_consumer_of_a_shared_constant_gets_its_own() -> None:
    g = Half()
    zeros = g.const(np.zeros(4, np.float32), name="zeros")
    x = g.coded(1, 6, 6, 4)
    for scale in (0.1, 0.2, 0.3):
        x = g.sandwich(x, zeros, scale)
    g.output(x)
    model = sound(repair(g.bytes()))
    biases = [op.inputs[2] for op in model.main.ops]
    assert len({id(b.buffer) for b in biases}) == 3
    assert len({float(b.quant.scale[0]) for b in biases}) == 3


def test_weights_follow_the_file() -> None:
    """One scale per tensor where the integer part has it so, else one per channel; both can be asked for."""
    g = Half()
    x = g.int_conv(g.coded(1, 6, 6, 4), per_tensor=True)
    g.output(g.sandwich(x))
    sizes = {w: sound(repair(g.bytes(), weights=w)).main.ops[1].inputs[1].quant.scale.size for w in ("auto", "per-channel")}
    assert sizes == {"auto": 1, "per-channel": 4}
    h = Half()
    h.output(h.sandwich(h.int_conv(h.coded(1, 6, 6, 4))))
    assert sound(repair(h.bytes())).main.ops[1].inputs[1].quant.scale.size == 4
    with pytest.raises(UsageError, match="weights must be"):
        repair(g.bytes(), weights="channel")


def test_an_island_of_several_operators_follows_from_its_neighbours() -> None:
    """RELU6 is fused, its bound is 6; LOGISTIC is fixed; their product is bounded by both."""
    g = Half()
    a, b = (g.dequantize(g.int_conv(g.coded(1, 6, 6, 3), scale=0.02)) for _ in range(2))
    product = g.op("MUL", g.op("LOGISTIC", a), g.op("RELU6", b))
    g.output(g.quantize(g.op("ADD", product, b), 0.05, -40))
    result = repair(g.bytes())
    sound(result)
    assert result.report.result.certificate.sqnr_db > 25
    assert any("derived from neighbours" in a for a in result.report.assumptions)


def island(terms: int) -> Half:
    """DEQUANTIZE -> FULLY_CONNECTED -> SIN -> FULLY_CONNECTED -> QUANTIZE: between them nothing is known."""
    g = Half()
    x = g.dequantize(g.coded(1, terms))
    y = g.dense(x, terms)
    g.output(g.quantize(g.dense(g.op("TANH", g.dense(y, terms)), 4), 0.02, 0))
    return g


def test_loose_bounds_ask_for_samples() -> None:
    g = island(512)
    with pytest.raises(AccuracyError, match=r"these ranges are only bounds, and too wide.*a sum of 512 terms(.|\n)*-c DATA"):
        repair(g.bytes(), min_sqnr=30)
    rng = np.random.default_rng(0)
    result = repair(g.bytes(), [rng.normal(size=(1, 512)).astype(np.float32) for _ in range(40)], min_sqnr=20)
    sound(result)
    assert any("measured by running the given model" in a for a in result.report.assumptions)
    assert not result.report.result.certificate.drawn


def test_nothing_bounds_a_float_input() -> None:
    g = Half()
    x = g.input(1, 6, 6, 3)
    g.output(g.quantize(g.conv(g.conv(x)), 0.1, 0))
    g.output(g.int_conv(g.coded(1, 6, 6, 3)))
    with pytest.raises(NotIntegerError, match=r'the file gives no range for "input"(.|\n)*-c DATA'):
        repair(g.bytes())
    rng = np.random.default_rng(0)
    draw = [(rng.normal(size=(1, 6, 6, 3)).astype(np.float32), np.zeros((1, 6, 6, 3), np.int8)) for _ in range(20)]
    assert sound(repair(g.bytes(), draw)).main.inputs[0].dtype == "int8"


def test_a_wrong_bias_scale_is_mended_to_what_the_file_says() -> None:
    """On request: the given model counts the bias four times too little; the mended one as the file says."""
    g = Half()
    x = g.coded(1, 6, 6, 3)
    g.output(g.int_conv(x, scale=0.05, bias_factor=4.0))
    conv = g.graph.ops[-1]
    meant = dequantize(conv.inputs[2].array, conv.inputs[2].quant)
    result = repair(g.bytes(), unsafe_fixes=True)
    mended = sound(result).main.ops[0]
    np.testing.assert_allclose(dequantize(mended.inputs[2].array, mended.inputs[2].quant), meant, atol=1e-4)
    np.testing.assert_array_equal(mended.inputs[1].array, conv.inputs[1].array)
    told = result.report.result
    assert told.certificate.reference == "the given model"
    assert told.certificate.sqnr_db < 20
    assert told.corrected.reference == "the given model, with its faulty operators corrected"
    assert told.corrected.sqnr_db > 30
    assert any("bias-wrong-scale" in a for a in result.report.assumptions)
    assert not result.report.fixed[0].safe
    assert f"{told.corrected.sqnr_db:.1f} dB against the given model, with its faulty" in str(result.report)


def test_what_a_working_model_computes_is_left_alone() -> None:
    """Nobody reads the scale of an int8 convolution's bias: the file goes on as it is, and the finding is listed."""
    g = Half()
    g.output(g.int_conv(g.coded(1, 6, 6, 3), scale=0.05, bias_factor=4.0))
    result = repair(g.bytes())
    assert result.model == g.bytes()
    assert [f.rule for f in result.report.unsafe] == ["bias-wrong-scale"]
    assert result.report.status == "nothing-to-repair"
    assert "--unsafe-fixes" in str(result.report)


def test_a_bias_of_zeros_only_gets_its_scale() -> None:
    g = Half()
    g.output(g.int_conv(g.coded(1, 6, 6, 3), bias_factor=4.0, bias=np.zeros(4, np.float32)))
    [found] = audit(g.bytes()).findings
    assert found.level == "note"
    result = repair(g.bytes())
    sound(result)
    assert result.report.result.certificate.reference == "the given model"
    assert result.report.result.certificate.sqnr_db == pytest.approx(200)


def test_a_conflict_of_scales_gets_a_requantize() -> None:
    g = Half()
    a, b = g.coded(1, 4, scale=0.05, zero=3), g.coded(1, 4, scale=0.02, zero=-7)
    g.output(g.int_op("CONCATENATION", a, b, scale=0.05, zero=3, shape=(1, 8), axis=1))
    model = sound(repair(g.bytes()))
    assert [op.kind for op in model.main.ops] == ["QUANTIZE", "CONCATENATION"]
    codes = np.arange(-20, 20, 10, dtype=np.int8).reshape(1, 4)
    out = run(repair(g.bytes()).model, [codes, codes])[0]
    real = np.concatenate([dequantize(codes, a.quant), dequantize(codes, b.quant)], axis=1)
    np.testing.assert_allclose(dequantize(out, Quant.of(0.05, 3)), real, atol=0.026)


def test_a_fixed_output_gets_the_kernels_parameters() -> None:
    g = Half()
    y = g.int_op("LOGISTIC", g.coded(1, 4), scale=0.003, zero=-120)
    g.output(g.int_op("ABS", y, scale=0.004, zero=-128))
    model = sound(repair(g.bytes()))
    assert model.main.ops[0].kind == "LOGISTIC"
    assert model.main.ops[0].outputs[0].quant.same_as(Quant.of(1 / 256, -128))


def uint8_network() -> Half:
    """Two convolutions and a SOFTMAX in the uint8 scheme, weights with a zero point."""
    g = Half()
    x = g.coded(1, 6, 6, 3, scale=0.03, zero=120, dtype="uint8")
    for scale in (0.05, 0.06):
        w = g.rng.normal(size=(4, 3, 3, x.shape[3])).astype(np.float32) * 0.2
        low, high = float(w.min()), float(w.max())
        wq = Quant.of((high - low) / 255, round(-low / ((high - low) / 255)))
        bq = Quant.of(float(x.quant.scale[0]) * float(wq.scale[0]))
        bias = g.codes_of(g.rng.normal(size=4).astype(np.float32) * 0.1, bq, "int32")
        y = g.op(
            "CONV_2D",
            x,
            g.codes_of(w, wq, "uint8"),
            bias,
            shape=(1, 6, 6, 4),
            dtype="uint8",
            stride_w=1,
            stride_h=1,
            padding=0,
            fused_activation_function=1,
        )
        y.quant = Quant.of(scale, 0)
        x = y
    y = g.op("SOFTMAX", x, dtype="uint8", beta=1.0)
    y.quant = Quant.of(1 / 256, 0)
    g.output(y)
    return g


def test_a_uint8_model_becomes_int8() -> None:
    g = uint8_network()
    result = repair(g.bytes())
    model = sound(result)
    assert {t.dtype for t in model.main.tensors} == {"int8", "int32"}
    assert [op.inputs[1].quant.scale.size for op in model.main.ops[:2]] == [4, 4]
    assert model.main.inputs[0].quant.same_as(Quant.of(0.03, -8))
    assert result.report.result.certificate.sqnr_db > 30
    assert repair(g.bytes(), io="uint8").report.result.certificate.sqnr_db > 30


def test_float_ends_become_int8_or_stay() -> None:
    g = Half()
    x = g.quantize(g.input(1, 6, 6, 3), 0.05, 3)
    g.output(g.dequantize(g.int_conv(x)))
    model = sound(repair(g.bytes()))
    assert [op.kind for op in model.main.ops] == ["CONV_2D"]
    assert model.main.inputs[0].name == "input"
    assert model.main.inputs[0].quant.same_as(Quant.of(0.05, 3))
    with pytest.raises(UsageError, match="unknown rule"):
        repair(g.bytes(), skip="float-oi")
    assert repair(g.bytes(), skip="float-io").report.status == "nothing-to-repair"


def test_stray_pairs_are_cancelled() -> None:
    g = Half()
    y = g.int_conv(g.coded(1, 6, 6, 3), scale=0.1)
    y = g.quantize(g.dequantize(y), 0.1, 0)
    y = g.quantize(y, 0.1, 0)
    z = g.int_conv(y, scale=0.2)
    g.output(g.quantize(g.dequantize(z), 0.3, 0))
    model = sound(repair(g.bytes()))
    assert [op.kind for op in model.main.ops] == ["CONV_2D", "CONV_2D"]
    assert model.main.outputs[0].quant.same_as(Quant.of(0.3, 0))


def test_only_and_skip_choose() -> None:
    g = Half()
    y = g.sandwich(g.coded(1, 6, 6, 3))
    y = g.quantize(g.op("NEG", g.dequantize(y)), 0.1, 0)
    g.output(g.int_conv(y, scale=0.2, bias_factor=4.0))
    all_rules = {f.rule for f in audit(g.bytes()).findings}
    assert all_rules == {"constant-without-parameters", "float-border", "no-int8-kernel", "bias-wrong-scale"}
    skipped = repair(g.bytes(), skip="no-int8-kernel", unsafe_fixes=True)
    assert [op.kind for op in read_bytes(skipped.model).main.ops if any(t.is_float for t in op.values())] == [
        "DEQUANTIZE",
        "NEG",
        "QUANTIZE",
    ]
    assert [k.kind for k in skipped.report.result.kept_float] == ["NEG"]
    only = repair(g.bytes(), only=["bias-wrong-scale"], unsafe_fixes=True)
    left = {f.rule for f in only.report.left}
    assert left == {"constant-without-parameters", "float-border", "no-int8-kernel"}
    kept = repair(g.bytes(), skip="bias-wrong-scale")
    assert {f.rule for f in kept.report.left} == {"bias-wrong-scale"}


def test_the_plan_says_what_would_be_done() -> None:
    g = Half()
    g.output(g.quantize(g.op("NEG", g.dequantize(g.quantize(g.int_conv(g.coded(1, 6, 6, 3)), 0.3, 1)))))
    plan = repair_plan(g.bytes(), skip="no-int8-kernel")
    assert Counter(f.rule for f in plan.fix) == {}
    assert Counter(f.rule for f in plan.leave) == {"no-int8-kernel": 1, "float-border": 2, "requantize": 1}
    assert plan.refused == ()
    whole = repair_plan(g.bytes())
    assert Counter(f.rule for f in whole.fix) == {"no-int8-kernel": 1, "float-border": 2}


def test_the_plan_says_what_would_stop_it() -> None:
    g = Half()
    x, y = g.dequantize(g.coded(1, 4, zero=-128)), g.dequantize(g.coded(1, 4, zero=-128))
    g.output(g.quantize(g.op("DIV", x, y), 0.1, 0))
    [blocker] = repair_plan(g.bytes()).refused
    assert "the file gives no range for" in blocker.cause
    assert "-c DATA" in blocker.way_out
    assert "--keep-float 2" in blocker.way_out
    assert repair_plan(g.bytes(), keep_float=2).refused == ()
    h = Half()
    h.output(h.quantize(h.conv(h.input(1, 6, 6, 3)), 0.1, 0), h.int_conv(h.coded(1, 6, 6, 3)))
    assert "--keep-float" not in repair_plan(h.bytes()).refused[0].way_out
    with pytest.raises(UsageError, match="dynamic-shape cannot be skipped"):
        repair(g.bytes(), skip="dynamic-shape")


def test_scales_that_make_no_sense_are_beyond_repair() -> None:
    g = Half()
    g.output(g.int_op("ABS", g.coded(1, 4), scale=0.05, zero=3))
    model = g.model()
    for scale in (np.nan, np.inf, 0.0):
        model.main.inputs[0].quant = Quant.of(scale, 0)
        data = write_model(model)
        assert not audit(data).findings[0].repairable
        with pytest.raises(NotIntegerError, match="scale"):
            repair(data)


def test_samples_only_judge_where_the_file_says_all() -> None:
    g = Half()
    g.output(g.sandwich(g.coded(1, 6, 6, 3)))
    rng = np.random.default_rng(0)
    result = repair(g.bytes(), [rng.normal(size=(1, 6, 6, 3)).astype(np.float32) * 2 for _ in range(5)])
    sound(result)
    c = result.report.result.certificate
    assert (c.samples, c.drawn, c.held_back) == (5, False, True)
    assert result.report.assumptions == ()


def test_signatures_follow_their_tensors() -> None:
    """Inputs and outputs of a uint8 model become int8 in its signature, too, and a cancelled QUANTIZE's output."""
    g = uint8_network()
    model = read_bytes(repair(g.bytes(signature="serve")).model)
    [s] = model.signatures
    assert [t for _, t in s.inputs] == model.main.inputs
    assert [t for _, t in s.outputs] == model.main.outputs
    h = Half()
    h.output(h.quantize(h.int_conv(h.coded(1, 6, 6, 3), scale=0.1), 0.1, 0))
    model = read_bytes(repair(h.bytes(signature="serve")).model)
    assert [op.kind for op in model.main.ops] == ["CONV_2D"]
    assert model.signatures[0].outputs[0][1] is model.main.outputs[0]


def test_a_conversion_between_two_outputs_stays() -> None:
    """Taken out, two outputs would be one tensor."""
    g = Half()
    y = g.int_conv(g.coded(1, 6, 6, 3), scale=0.1)
    z = g.quantize(y, 0.1, 0)
    g.output(y, z)
    model = read_bytes(repair(g.bytes()).model)
    assert len({t.name for t in model.main.outputs}) == 2


def test_nothing_to_repair_is_copied() -> None:
    g = Half()
    g.output(g.int_conv(g.coded(1, 6, 6, 3)))
    result = repair(g.bytes())
    assert result.model == g.bytes()
    assert result.report.status == "nothing-to-repair"


def test_repairing_twice_changes_nothing() -> None:
    g = Half()
    g.output(g.sandwich(g.sandwich(g.coded(1, 6, 6, 4))))
    once = repair(g.bytes()).model
    assert repair(once).model == once
    assert repair(g.bytes()).model == once


def test_half_int8_operators_keep_their_codes() -> None:
    """What was integer stays as it was, to the bit."""
    g = Half()
    x = g.int_conv(g.coded(1, 6, 6, 4))
    g.output(g.int_conv(g.sandwich(x)))
    before = read_bytes(g.bytes()).main.ops
    after = sound(repair(g.bytes())).main.ops
    for old, new in ((before[0], after[0]), (before[-1], after[-1])):
        np.testing.assert_array_equal(old.inputs[1].array, new.inputs[1].array)
        np.testing.assert_array_equal(old.inputs[2].array, new.inputs[2].array)
        assert old.outputs[0].quant.same_as(new.outputs[0].quant)


def test_state_of_unknown_size_asks_for_samples() -> None:
    """y = x + what it was before: no bound, but samples tell."""
    g = Half()
    x = g.dequantize(g.coded(1, 4))
    y = Tensor("y", (1, 4), "float32")
    old = remembered(g, y)
    keep = g.graph.ops.pop()
    half = g.op("MUL", old, g.const(0.5))
    g.graph.ops += [make_op("ADD", [x, half], [y]), keep]
    g.output(g.quantize(y, 0.1, 0))
    with pytest.raises(NotIntegerError, match=r"the file gives no range for(.|\n)*-c DATA"):
        repair(g.bytes())
    rng = np.random.default_rng(0)
    sound(repair(g.bytes(), [rng.normal(size=(1, 4)).astype(np.float32) for _ in range(20)]))


def test_a_branch_that_is_quantized_inside_only() -> None:
    """IF with float borders: inside and outside get one scale."""
    branches = []
    for kind in ("RELU", "ABS"):
        b = Half(name=kind)
        y = b.int_op(kind, b.quantize(b.input(1, 4), 0.05, 3), scale=0.05, zero=3)
        b.output(b.dequantize(y))
        branches.append(b.model().main)
    g = Half()
    flag, x = g.input(1, dtype="bool"), g.dequantize(g.coded(1, 4))
    y = g.op("IF", flag, x, shape=(1, 4), dtype="float32", then_subgraph_index=branches[0], else_subgraph_index=branches[1])
    g.output(g.quantize(y))
    assert sound(repair(g.bytes())).main.ops[0].kind == "IF"


# Bounds


def interval(g: Builder, known: dict[str, tuple[float, float]]) -> dict[str, Range]:
    model = read_bytes(g.bytes())
    spans = {t: Range(*known[t.name]) for t in model.main.inputs if t.name in known}
    with WorkerProcess() as box:

        def evaluate(part: Model) -> list[np.ndarray]:
            with model_file(part) as path:
                box.call(Open(path, "builtin", 1))
                return box.call(Run([]))

        prepare(model, evaluate)
        found = bounds(model, spans, evaluate)
    return {t.name: r for t, r in found.ranges.items()}


@pytest.mark.parametrize("seed", range(20))
def test_bounds_are_sound(seed: int) -> None:
    """No input within the known ranges passes a bound, through a random chain of operators."""
    g, rng = Builder(seed), np.random.default_rng(seed)
    x = g.input(1, 4, 4, 4, name="x")
    pool = [x]
    for _ in range(8):
        a, b = pool[rng.integers(len(pool))], pool[rng.integers(len(pool))]
        pick = rng.integers(9)
        pool.append(
            [
                lambda a=a, b=b: g.op("ADD", a, b),
                lambda a=a, b=b: g.op("SUB", a, b),
                lambda a=a, b=b: g.op("MUL", a, b),
                lambda a=a, b=b: g.op("MAXIMUM", a, b),
                lambda a=a: g.conv(a, 4, 3, activation="RELU6"),
                lambda a=a: g.op("TANH", a),
                lambda a=a: g.op("SIN", a),
                lambda a=a, b=b: g.op("SQUARED_DIFFERENCE", a, b),
                lambda a=a: g.depthwise(a),
            ][pick]()
        )
    g.output(*pool[1:])
    ranges = interval(g, {"x": (-1.5, 2.0)})
    model = read_bytes(g.bytes())
    for _ in range(5):
        values = run(g.bytes(), [rng.uniform(-1.5, 2.0, (1, 4, 4, 4)).astype(np.float32)])
        for t, v in zip(model.main.outputs, values, strict=True):
            if t.name in ranges:
                low, high = ranges[t.name]
                slack = 1e-4 * max(abs(low), abs(high), 1.0)
                assert low - slack <= v.min(), (t.name, low, v.min())
                assert v.max() <= high + slack, (t.name, high, v.max())
    assert sum(t.name in ranges for t in model.main.outputs) >= 6


def test_rows_of_a_softmax_average(g: Builder) -> None:
    x, v = g.input(1, 8, 8, name="x"), g.input(1, 8, 4, name="v")
    g.output(g.op("BATCH_MATMUL", g.op("SOFTMAX", x, beta=1.0), v, shape=(1, 8, 4), name="y"))
    assert interval(g, {"x": (-9, 9), "v": (-1, 3)})["y"] == Range(-1, 3)


def test_a_reciprocal_near_zero_has_no_bound(g: Builder) -> None:
    g.output(g.op("DIV", g.const(np.float32(1)), g.input(1, 4, name="x"), name="y"))
    assert "y" not in interval(g, {"x": (0.0, 4.0)})


# Real models


def outputs(path: object, samples: list[list[np.ndarray]], model: Model) -> list[list[np.ndarray]]:
    found = []
    with WorkerProcess() as box:
        box.call(Open(str(path), "xnnpack", 2))
        for sample in samples:
            ready = [
                quantize(a, t.quant, t.dtype) if t.dtype != "float32" else a
                for a, t in zip(sample, model.main.inputs, strict=True)
            ]
            values = box.call(Run(ready))
            ends = model.main.outputs
            found.append([v if v.dtype.kind == "f" else dequantize(v, t.quant) for v, t in zip(values, ends, strict=True)])
    return found


def sqnr(reference: list[list[np.ndarray]], result: list[list[np.ndarray]]) -> float:
    scores = [Score() for _ in reference[0]]
    for a, b in zip(reference, result, strict=True):
        for score, x, y in zip(scores, a, b, strict=True):
            score.add(x, y)
    value = mean_sqnr(scores)
    assert value is not None
    return value


@pytest.mark.skipif(not CORPUS, reason="no corpus")
def test_the_half_quantized_model_of_the_case() -> None:
    """82 of 82, without data and without the original, at most 0.3 dB below what the half-quantized model gives."""
    half, original = corpus("models", "issue57758_like_half.tflite")[0], corpus("models", "issue57758_like_float.tflite")[0]
    result = repair(half)
    sound(result)
    conv = result.report.result.conv_2d
    assert (conv.int8_weights_int32_bias, conv.total) == (82, 82)
    floats, halves, repaired = read_model(original), read_model(half), read_bytes(result.model)
    rng = np.random.default_rng(5)
    samples = [[rng.normal(size=t.shape).astype(np.float32) for t in floats.main.inputs] for _ in range(8)]
    reference, before = outputs(original, samples, floats), outputs(half, samples, halves)
    with model_file(result.model) as path:
        after = outputs(path, samples, repaired)
    assert sqnr(reference, before) == pytest.approx(26.2, abs=0.1)
    assert sqnr(reference, after) >= sqnr(reference, before) - 0.3
    assert sqnr(before, after) >= 25.7


@pytest.mark.skipif(not CORPUS, reason="no corpus")
@pytest.mark.parametrize(
    ("name", "scale", "floor"),
    [
        ("terryky_hand_landmark_3d_256_integer_quant", None, 40),
        ("cartoon_whitebox_cartoon_gan_int8", 0.5, 20),
        ("lyra_soundstream_encoder", 0.1, 18),
        ("aeq_partly_quantized_mnist", 0.5, 20),
        ("silentface_half_tf221", 1.0, 40),
        ("coral_mobilenet_v1_0_25_128_quant", None, 20),
        ("tflm_person_detect", None, 30),
    ],
)
def test_real_half_quantized_models(name: str, scale: float | None, floor: float) -> None:
    """`scale`: of normal samples, where the file does not say all."""
    path = corpus("models", f"{name}.tflite")[0]
    if scale is not None:
        with pytest.raises((NotIntegerError, AccuracyError), match="-c DATA"):
            repair(path)
    rng = np.random.default_rng(0)
    shape = read_model(path).main.inputs[0].shape
    draw = None if scale is None else [rng.normal(size=shape).astype(np.float32) * scale for _ in range(12)]
    result = repair(path, draw)
    sound(result)
    assert result.report.result.certificate.sqnr_db >= floor


@pytest.mark.skipif(not CORPUS, reason="no corpus")
def test_what_cannot_be_repaired_says_why() -> None:
    path = corpus("models", "tflm_keyword_scrambled_8bit.tflite")[0]
    with pytest.raises(NotIntegerError, match="LiteRT's kernel requires int16; its state is integer"):
        repair(path)


def test_the_public_names() -> None:
    assert fullint.repair is repair
    assert representable(Quant.of(1.0, 0)) == Range(-128.0, 127.0)


@pytest.mark.parametrize("alone", [True, False])
def test_a_quantize_says_what_only_it_reads(alone: bool) -> None:
    """Where another operator reads more than its parameters hold, the range has to be found otherwise."""
    g = Half()
    e = g.op("EXP", g.dequantize(g.coded(1, 4)))
    q = g.quantize(e, 0.002, -128)
    g.output(q, *([] if alone else [g.op("SQRT", e)]))
    known = known_ranges(SimpleNamespace(model=g.model(), pinned={}))
    assert (known.get(e) == representable(q.quant)) == alone


@pytest.mark.parametrize("dtype", ["int8", "int16"])
def test_a_pad_value_that_lost_its_parameters_gets_them_back(dtype: str) -> None:
    """Those of what is padded; the codes stay."""
    g = Half()
    zero = 3 if dtype == "int8" else 0
    x = g.coded(1, 4, 4, 2, zero=zero, dtype=dtype)
    pads = g.const(np.int32([[0, 0], [1, 1], [1, 1], [0, 0]]))
    value = g.codes_of(np.float32(-0.5), x.quant, dtype)
    value.quant = None
    g.output(g.int_op("PADV2", x, pads, value, scale=0.05, zero=zero, dtype=dtype, shape=(1, 6, 6, 2)))
    assert [f.rule for f in audit(g.bytes()).findings if f.level == "error"] == ["kernel-type-mismatch"]
    result = repair(g.bytes())
    [pad] = sound(result).main.ops
    assert pad.inputs[2].quant.same_as(x.quant)
    assert pad.inputs[2].array == value.array
    assert not result.report.unsafe


def test_parameters_that_nothing_tells_are_a_refusal() -> None:
    g = Half()
    x = g.coded(1, 4, 4, 2)
    y = g.int_conv(x)
    g.output(g.int_op("ABS", y, scale=0.05, zero=3))
    y.quant = None
    with pytest.raises(NotIntegerError, match="has no scale, and nothing in the file says what it was"):
        repair(g.bytes())


def test_a_model_with_small_weights_is_quantized() -> None:
    g = Half()
    weights = g.codes_of(g.rng.normal(size=(4, 3, 3, 2)).astype(np.float32), Quant.of(0.02))
    x = g.input(1, 6, 6, 2)
    g.output(g.op("CONV_2D", x, weights, g.random(4), shape=(1, 6, 6, 4), padding=0, stride_w=1, stride_h=1))
    samples = [g.rng.normal(size=(1, 6, 6, 2)).astype(np.float32) for _ in range(12)]
    with pytest.raises(UsageError, match="stored in fewer bits: give samples"):
        repair(g.bytes())
    result = repair(g.bytes(), samples)
    sound(result)
    assert result.report.status == "quantized"
    assert result.report.result.certificate.sqnr_db > 25


def test_the_given_model_is_what_a_repair_is_compared_with() -> None:
    """Where it runs; where it does not, the report says so."""
    g = Half()
    g.output(g.sandwich(g.coded(1, 6, 6, 3)))
    assert repair(g.bytes()).report.result.certificate.reference == "the given model"
    broken = Half()
    y = broken.int_op("LOGISTIC", broken.coded(1, 4), scale=0.003, zero=-120)
    broken.output(broken.int_op("ABS", y, scale=0.004, zero=-128))
    told = repair(broken.bytes(), min_sqnr=0).report.result
    given_runs = told.certificate.reference == "the given model"
    assert given_runs or any("the given model does not run" in w for w in told.warnings)


def test_the_bar_of_a_repair_is_explained() -> None:
    g = Half()
    g.output(g.sandwich(g.coded(1, 6, 6, 3)))
    with pytest.raises(AccuracyError, match="a repair has a higher bar"):
        repair(g.bytes(), min_sqnr=190)
