"""Findings: for each rule a model made to trip it, and a near twin that must not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from conftest import corpus, quantized
from half import Half

import fullint
from fullint.auditing.audit import AuditReport, audit
from fullint.auditing.rules import RULES, RULES_BY_NAME
from fullint.errors import ModelFormatError, UsageError
from fullint.model.ir import Buffer, Op, Quant, Tensor, constant
from fullint.model.tflite import read_bytes, write_model
from fullint.ops.builder import Builder
from fullint.ops.make import make_op

Make = Callable[[Half, bool], None]
"""Fill a builder with a model that trips a rule, or, where the flag is off, with its twin."""
CASES: dict[str, Make] = {}


def case(name: str) -> Callable[[Make], Make]:
    """Register the model of a rule."""

    def keep(make: Make) -> Make:
        CASES[name] = make
        return make

    return keep


def findings(g: Builder, **options: object) -> AuditReport:
    return audit(g.bytes(), **options)


def rules(g: Builder, **options: object) -> Counter[str]:
    return Counter(f.rule for f in findings(g, **options).findings)


@case("custom-operator")
def _(g: Half, trip: bool) -> None:
    x = g.dequantize(g.coded(1, 4))
    y = g.op("RELU", x)
    if trip:
        g.graph.ops[-1] = Op("CUSTOM", [x], [y], custom_code="FlexSoftsign")
    g.output(g.quantize(y))


@case("float-type")
def _(g: Half, trip: bool) -> None:
    y = g.op(
        "CAST", g.dequantize(g.coded(1, 4)), dtype="float16" if trip else "int32", in_data_type=0, out_data_type=1 if trip else 2
    )
    g.output(y)


@case("non-finite-constant")
def _(g: Half, trip: bool) -> None:
    mask = np.array([-np.inf if trip else -9.0, 0, 0, 0], np.float32)
    g.output(g.quantize(g.op("ADD", g.dequantize(g.coded(1, 4)), g.const(mask))))


@case("no-integer-form")
def _(g: Half, trip: bool) -> None:
    x = g.dequantize(g.coded(1, 8, 8, 3))
    if trip:
        y = g.op("REVERSE_SEQUENCE", x, g.const(np.int32([5])), shape=x.shape, seq_dim=1)
    else:
        y = g.op("REVERSE_V2", x, g.const(np.int32([1])), shape=x.shape)
    g.output(g.quantize(y))


@case("control-flow-boundary")
def _(g: Half, trip: bool) -> None:
    branches = []
    for kind in ("RELU", "ABS"):
        b = Half(name=kind)
        inner = b.input(1, 4) if trip else b.coded(1, 4)
        y = b.op(kind, inner if trip else b.dequantize(inner))
        b.output(y if trip else b.quantize(y))
        branches.append(b.model().main)
    flag, x = g.input(1, dtype="bool"), g.coded(1, 4)
    x = g.dequantize(x) if trip else x
    y = g.op("IF", flag, x, shape=(1, 4), dtype=x.dtype, then_subgraph_index=branches[0], else_subgraph_index=branches[1])
    g.output(g.quantize(y) if trip else y)
    if not trip:
        y.quant = x.quant


@case("no-int8-kernel")
def _(g: Half, trip: bool) -> None:
    g.output(g.quantize(g.op("NEG" if trip else "ABS", g.dequantize(g.coded(1, 4)))))


@case("converter-float-only")
def _(g: Half, trip: bool) -> None:
    g.output(g.quantize(g.op("ELU" if trip else "ABS", g.dequantize(g.coded(1, 4)))))


@case("variable-state")
def _(g: Half, trip: bool) -> None:
    x = g.dequantize(g.coded(1, 4))
    old = remembered(g, x) if trip else g.dequantize(g.coded(1, 4))
    g.output(g.quantize(g.op("ADD", x, old)))


def remembered(g: Half, new: Tensor) -> Tensor:
    """What a variable holds from the run before, in which `new` was written to it; 0 at first."""
    names = {"container": "", "shared_name": "before"}
    start = Half(name="start")
    handle, own, old = Tensor("handle", (), "resource"), Tensor("own", (), "resource"), Tensor("old", new.shape, "float32")
    start.graph.ops.append(make_op("VAR_HANDLE", [], [handle], **names))
    start.graph.ops.append(make_op("ASSIGN_VARIABLE", [handle, start.const(np.zeros(new.shape, np.float32))], []))
    g.graph.ops.append(make_op("CALL_ONCE", [], [], init_subgraph_index=start.graph))
    g.graph.ops.append(make_op("VAR_HANDLE", [], [own], **names))
    g.graph.ops.append(make_op("READ_VARIABLE", [own], [old]))
    g.graph.ops.append(make_op("ASSIGN_VARIABLE", [own, new], []))
    return old


@case("hybrid-weights")
def _(g: Half, trip: bool) -> None:
    x, w = g.dequantize(g.coded(1, 8)), g.random(4, 8)
    weights = g.codes_of(w.array, Quant.of(np.abs(w.array).max() / 127)) if trip else w
    g.output(g.quantize(g.op("FULLY_CONNECTED", x, weights, None, shape=(1, 4))))


@case("not-quantized")
def _(g: Half, trip: bool) -> None:
    g.output(g.conv(g.input(1, 6, 6, 2)) if trip else g.sandwich(g.coded(1, 6, 6, 2)))


@case("kernel-type-mismatch")
def _(g: Half, trip: bool) -> None:
    a, b = g.coded(1, 4), g.coded(1, 4)
    g.output(g.quantize(g.op("ADD", g.dequantize(a), b if trip else g.dequantize(b), dtype="float32")))


@case("bias-not-vector")
def _(g: Half, trip: bool) -> None:
    bias = g.const(np.zeros((1, 1, 1, 4) if trip else (4,), np.float32))
    g.output(g.sandwich(g.coded(1, 6, 6, 2), bias))


@case("same-scale-conflict")
def _(g: Half, trip: bool) -> None:
    a, b = g.coded(1, 4, scale=0.05), g.coded(1, 4, scale=0.05 if not trip else 0.02)
    g.output(g.int_op("CONCATENATION", a, b, scale=0.05, zero=3, shape=(1, 8), axis=1))


@case("fixed-output-scale")
def _(g: Half, trip: bool) -> None:
    g.output(g.int_op("LOGISTIC", g.coded(1, 4), scale=1 / 256 if not trip else 0.003, zero=-128))


@case("shared-constant-conflict")
def _(g: Half, trip: bool) -> None:
    zeros = g.const(np.zeros(4, np.float32), name="zeros")
    x = g.coded(1, 6, 6, 4)
    y = g.sandwich(x, zeros)
    g.output(g.sandwich(y, zeros if trip else g.const(np.zeros(4, np.float32))))


@case("float-neighbour")
def _(g: Half, trip: bool) -> None:
    y = g.conv(g.dequantize(g.coded(1, 6, 6, 2)))
    g.output(g.quantize(y), g.quantize(g.op("SIN" if trip else "ABS", y if trip else g.dequantize(g.coded(1, 6, 6, 4)))))


@case("no-calibration-statistics")
def _(g: Half, trip: bool) -> None:
    y = g.conv(g.dequantize(g.coded(1, 6, 6, 2)))
    y = y if trip else g.dequantize(g.quantize(y))
    g.output(g.quantize(g.op("MAX_POOL_2D", y, shape=(1, 3, 3, 4), stride_w=2, stride_h=2, filter_width=2, filter_height=2)))


@case("constant-without-parameters")
def _(g: Half, trip: bool) -> None:
    x = g.coded(1, 6, 6, 2)
    g.output(g.sandwich(x) if trip else g.int_conv(x))


@case("stablehlo-constants")
def _(g: Half, trip: bool) -> None:
    g.description = "MLIR Converted."
    g.metadata = (("keep_stablehlo_constant", b"true" if trip else b"false"),)
    g.output(g.sandwich(g.coded(1, 6, 6, 2)))


@case("left-float")
def _(g: Half, trip: bool) -> None:
    a, b = g.coded(1, 4), g.coded(1, 4)
    if trip:
        g.output(g.quantize(g.op("ADD", g.dequantize(a), g.dequantize(b))))
    else:
        g.output(g.int_op("ADD", a, b, scale=0.1, zero=0))


@case("useless-requantize")
def _(g: Half, trip: bool) -> None:
    g.output(g.quantize(g.int_conv(g.coded(1, 6, 6, 2), scale=0.1), 0.1 if trip else 0.07, 0))


@case("float-io")
def _(g: Half, trip: bool) -> None:
    x = g.quantize(g.input(1, 6, 6, 2)) if trip else g.coded(1, 6, 6, 2)
    g.output(g.int_conv(x))


@case("float-border")
def _(g: Half, trip: bool) -> None:
    x = g.coded(1, 4)
    g.output(g.quantize(g.op("RELU", g.dequantize(x))) if trip else g.int_op("RELU", x, scale=0.05, zero=3))


@case("malformed-scale")
def _(g: Half, trip: bool) -> None:
    x = g.coded(1, 6, 6, 2)
    g.output(g.int_conv(x))
    bias = g.graph.ops[-1].inputs[2]
    bias.quant = Quant(bias.quant.scale, bias.quant.zero_point, 3 if trip else 0)


@case("bias-wrong-dtype")
def _(g: Half, trip: bool) -> None:
    g.output(g.int_conv(g.coded(1, 6, 6, 2)))
    op = g.graph.ops[-1]
    if trip:
        op.inputs[2] = constant("b", np.array([1, 2, 3, 4], np.int8), op.inputs[2].quant)


@case("missing-bias")
def _(g: Half, trip: bool) -> None:
    g.output(g.int_conv(g.coded(1, 6, 6, 2)))
    if trip:
        g.graph.ops[-1].inputs.pop()


@case("bias-wrong-scale")
def _(g: Half, trip: bool) -> None:
    g.output(g.int_conv(g.coded(1, 6, 6, 2), bias_factor=4.0 if trip else 1.0))


@case("weight-zero-point")
def _(g: Half, trip: bool) -> None:
    g.output(g.int_conv(g.coded(1, 6, 6, 2), weight_zero=3 if trip else 0))


@case("weight-range")
def _(g: Half, trip: bool) -> None:
    g.output(g.int_conv(g.coded(1, 6, 6, 2)))
    w = g.graph.ops[-1].inputs[1]
    value = w.array.copy()
    value.reshape(-1)[5] = -128 if trip else -127
    w.buffer = Buffer.of(value)


@case("scale-out-of-range")
def _(g: Half, trip: bool) -> None:
    g.output(g.int_op("ADD", g.coded(1, 4), g.coded(1, 4, scale=2e5 if trip else 0.2), scale=0.1, zero=0))


@case("legacy-uint8")
def _(g: Half, trip: bool) -> None:
    kind = "uint8" if trip else "int8"
    g.output(g.int_op("ADD", g.coded(1, 4, dtype=kind), g.coded(1, 4, dtype=kind), scale=0.1, zero=5, dtype=kind))


@case("op-version")
def _(g: Half, trip: bool) -> None:
    g.output(g.int_op("ADD", g.coded(1, 4), g.coded(1, 4), scale=0.1, zero=5))
    g.graph.ops[-1].version = 5 if trip else 2  # the audit below is for release 2.5


@case("op-version-low")
def _(g: Half, trip: bool) -> None:
    g.output(g.int_op("ADD", g.coded(1, 4), g.coded(1, 4), scale=0.1, zero=5))
    g.graph.ops[-1].version = 1 if trip else 2


@case("requantize")
def _(g: Half, trip: bool) -> None:
    y = g.int_conv(g.coded(1, 6, 6, 2), scale=0.1)
    g.output(g.quantize(y, 0.12, 0) if trip else y)


@case("requantize-clips")
def _(g: Half, trip: bool) -> None:
    y = g.int_conv(g.coded(1, 6, 6, 2), scale=0.1)
    g.output(g.quantize(y, 0.025 if trip else 0.11, 0))


@case("operand-wiped-out")
def _(g: Half, trip: bool) -> None:
    boxes = g.int_conv(g.coded(1, 6, 6, 2), scale=2.5)
    scores = g.int_op("LOGISTIC", g.coded(1, 6, 6, 2), scale=1 / 256, zero=-128)
    joined = [boxes, g.quantize(scores, 2.5, 0)] if trip else [boxes, g.int_conv(g.coded(1, 6, 6, 2), scale=2.5)]
    g.output(g.int_op("CONCATENATION", *joined, scale=2.5, zero=0, shape=(1, 6, 6, 4 + 2 * trip), axis=3))


@case("bias-saturated")
def _(g: Half, trip: bool) -> None:
    y = g.int_conv(g.coded(1, 6, 6, 2))
    b = g.graph.ops[-1].inputs[2]
    assert b is not None
    b.buffer = Buffer.of(np.int32([3, -(2**31) + 1 if trip else 2**30, 0, 7]))
    g.output(y)


@case("dynamic-shape")
def _(g: Half, trip: bool) -> None:
    x = g.input(1, -1 if trip else 6, 6, 2, dtype="int8")
    x.quant = Quant.of(0.05, 3)
    g.output(g.int_op("ABS", x, scale=0.05, zero=3))


def test_every_rule_has_a_case() -> None:
    assert {*CASES, "saturated-values"} == set(RULES_BY_NAME)  # that one needs samples: its own test


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_rule_trips_on_its_model_and_not_on_the_twin(name: str) -> None:
    bad, twin = Half(), Half()
    CASES[name](bad, True)
    CASES[name](twin, False)
    assert rules(bad, runtime="2.5.0")[name] >= 1
    assert rules(twin, runtime="2.5.0")[name] == 0


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_finding_says_where_why_and_what_to_do(name: str) -> None:
    g = Half()
    CASES[name](g, True)
    found = [f for f in findings(g, runtime="2.5.0").findings if f.rule == name]
    for f in found:
        ops = read_bytes(g.bytes()).graphs[f.graph].ops
        assert f.kind in ("INPUT", "OUTPUT") or (ops[f.index].custom_code or ops[f.index].kind) == f.kind
        assert f.output or f.kind == "ASSIGN_VARIABLE"
        assert f.cause
        assert f.fix
        assert f.level in ("error", "warning", "note")
        assert 0 <= f.macs_share <= 1


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.name)
def test_every_rule_has_its_manual_page(rule: object) -> None:
    page = rule.page
    assert page.startswith(f"{rule.name}: ")
    safety = "none" if rule.mend.value == "none" else "safe" if rule.safe else "unsafe"
    for heading in ("What it does:", "Why it matters:", "Seen in:", "Example:", f"Fix ({safety}):"):
        assert f"\n{heading}\n" in page, heading


def test_every_float_operator_has_exactly_one_cause() -> None:
    """What is float is explained once; conversions have a finding of their own."""
    for name, make in CASES.items():
        g = Half()
        make(g, True)
        model = read_bytes(g.bytes())
        floats = [(n, op.origin) for n, op in model.ops() if any(t.is_float for t in op.values())]
        found = Counter((f.graph, f.index) for f in audit(g.bytes()).findings if f.rule != "op-version")
        assert all(found[place] == 1 for place in floats), (name, floats, found)


def test_the_case() -> None:
    """Three convolutions share one bias of zeros, two another, one has its own; all else is integer."""
    g = Half()
    a, b = g.const(np.zeros(4, np.float32), name="a"), g.const(np.zeros(4, np.float32), name="b")
    x = g.coded(1, 6, 6, 4)
    for k, bias in enumerate((a, b, a, g.const(np.zeros(4, np.float32), name="own"), a, b)):
        x = g.int_conv(g.sandwich(x, bias, 0.1 + 0.01 * k), scale=0.1 + 0.02 * k)
    g.output(g.quantize(x, 0.5, 0))
    report = findings(g)
    counts = Counter(f.rule for f in report.findings)
    assert counts == {"shared-constant-conflict": 5, "constant-without-parameters": 1, "float-border": 12, "requantize": 1}
    first = next(f for f in report.findings if f.rule == "shared-constant-conflict")
    assert first.index == 1
    assert set(first.evidence["needed"]) == {"op 1 CONV_2D", "op 9 CONV_2D", "op 17 CONV_2D"}
    data, weights = x, g.graph.ops[1].inputs[1].array
    expected = 0.05 * np.abs(weights).max(axis=(1, 2, 3)) / 127
    assert first.evidence["needed"]["op 1 CONV_2D"]["largest"] == pytest.approx(expected.max(), rel=1e-5)
    assert data.quant is not None
    shares = [f.macs_share for f in report.findings if f.kind == "CONV_2D"]
    assert shares == pytest.approx([1 / 12] * 6, abs=1e-5)


def test_a_sound_model_has_no_finding(g: Builder) -> None:
    x = g.input(1, 8, 8, 3)
    y = g.depthwise(g.conv(x, activation="RELU6"))
    y = g.op("CONCATENATION", y, g.conv(x), shape=(1, 8, 8, 8), axis=3)
    g.output(g.op("SOFTMAX", g.dense(g.reshape(y, 1, -1), 5), beta=1.0))
    assert [f for f in audit(quantized(g).model).findings if f.level != "note"] == []


def test_a_dynamic_batch_is_a_note() -> None:
    g = Half()
    x = g.input(-1, 4, dtype="int8")
    x.quant = Quant.of(0.05, 3)
    g.output(g.int_op("ABS", x, scale=0.05, zero=3))
    assert [(f.rule, f.level) for f in findings(g).findings] == [("dynamic-shape", "note")]


def test_a_cause_follows_over_one_operator_in_between() -> None:
    """SELECT(x > 0, x, a x): the MUL is float because the convolution is, which is because of the comparison."""
    g = Half()
    zero = g.const(np.float32(0), name="zero")
    x = g.coded(1, 6, 6, 2)
    for scale in (0.1, 0.2):
        y = g.conv(g.dequantize(x), 2)
        a, b = g.quantize(y, scale, 0), g.quantize(g.op("MUL", y, g.const(np.float32(0.25))), scale, 0)
        x = g.int_op("SELECT", g.op("GREATER", y, zero), a, b, scale=scale, zero=0, shape=(1, 6, 6, 2))
    g.output(x)
    found = {f.index: f for f in findings(g).findings if f.kind in ("CONV_2D", "GREATER", "MUL")}
    by_kind = {f.kind: f for f in found.values()}
    assert by_kind["GREATER"].rule == "shared-constant-conflict"
    assert by_kind["CONV_2D"].rule == by_kind["MUL"].rule == "float-neighbour"
    assert by_kind["MUL"].evidence["because_of"]["kind"] == "GREATER"


def test_rules_are_selected_by_name() -> None:
    g = Half()
    g.output(g.sandwich(g.coded(1, 6, 6, 2)))
    assert set(rules(g, rule="float-border")) == {"float-border"}
    assert set(rules(g, rule=["float-border", "constant-without-parameters"])) == {"float-border", "constant-without-parameters"}
    with pytest.raises(UsageError, match='unknown rule "flaot-border"'):
        findings(g, rule="flaot-border")
    with pytest.raises(UsageError, match="target must be one of"):
        findings(g, target="gpu")
    with pytest.raises(UsageError, match=r"release such as 2\.5\.0"):
        findings(g, runtime="new")


def test_a_target_knows_releases() -> None:
    """The Edge TPU's compiler refuses CONV_2D version 6, LiteRT does not."""
    g = Half()
    g.output(g.int_conv(g.coded(1, 6, 6, 2)))
    g.graph.ops[-1].version = 6
    assert rules(g)["op-version"] == 0
    assert rules(g, target="edgetpu")["op-version"] == 1
    assert rules(g, target="edgetpu", runtime="2.9.0")["op-version"] == 0


def test_a_folder_is_one_report(tmp_path) -> None:
    g = Half()
    g.output(g.sandwich(g.coded(1, 6, 6, 2)))
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.tflite").write_bytes(g.bytes())
    (tmp_path / "deep" / "b.tflite").write_bytes(g.bytes())
    (tmp_path / "c.tflite").write_bytes(g.bytes()[:200])
    (tmp_path / "readme.txt").write_text("no model")
    report = audit(tmp_path)
    assert [f.error is None for f in report.files] == [True, False, True]
    assert report.worst() == "error"
    with pytest.raises(ModelFormatError):
        audit(tmp_path / "c.tflite")
    with pytest.raises(UsageError, match="no model found"):
        audit(_empty(tmp_path))


def _empty(folder):
    (folder / "empty").mkdir()
    return folder / "empty"


def test_scales_that_make_no_sense_are_findings_not_errors() -> None:
    g = Half()
    g.output(g.int_op("ABS", g.coded(1, 4), scale=0.05, zero=3))
    model = g.model()
    for scale in (np.nan, np.inf, 0.0, -1.0):
        model.main.outputs[0].quant = Quant.of(scale, 0)
        found = audit(write_model(model)).findings
        assert [f.rule for f in found if f.level == "error"] == ["malformed-scale"], scale


def test_the_layer_is_told_where_the_name_tells() -> None:
    g = Half()
    y = g.sandwich(g.coded(1, 6, 6, 2))
    g.graph.ops[1].outputs[0].name = "StatefulPartitionedCall/model/conv2d_7/Conv2D"
    g.output(y)
    assert next(f for f in findings(g).findings if f.kind == "CONV_2D").layer == "conv2d_7"


@pytest.mark.parametrize("path", corpus("models", "*.tflite") + corpus("singles", "*.tflite"), ids=lambda p: p.stem)
def test_real_models(path) -> None:
    """No crash; each float operator explained once; each cause names tensors of the file or says something general."""
    report = audit(path)
    model = read_bytes(path.read_bytes())
    floats = [(n, op.origin) for n, op in model.ops() if any(t.is_float for t in op.values())]
    found = Counter((f.graph, f.index) for f in report.findings if f.rule not in ("op-version", "dynamic-shape"))
    assert all(found[place] == 1 for place in floats)


SOUND = ("mlperf_pretrainedResnet_quant", "mlperf_vww_96_int8", "mlperf_ad01_int8", "mlperf_kws_ref_model")


@pytest.mark.parametrize("path", [p for p in corpus("models", "*.tflite") if p.stem in SOUND], ids=lambda p: p.stem)
def test_sound_models(path) -> None:
    assert {f.level for f in audit(path).findings} <= {"note"}


@pytest.mark.parametrize("path", corpus("models", "issue57758_like_half.tflite"), ids=lambda p: p.stem)
def test_the_half_quantized_model_of_the_case(path) -> None:
    report = audit(path)
    counts = Counter(f.rule for f in report.findings)
    assert counts == {"shared-constant-conflict": 5, "constant-without-parameters": 1, "float-border": 12, "requantize": 3}
    kinds = Counter(f.kind for f in report.findings if f.rule == "float-border")
    assert kinds == {"DEQUANTIZE": 6, "QUANTIZE": 6}
    groups = Counter(f.evidence["constant"] for f in report.findings if f.rule == "shared-constant-conflict")
    assert sorted(groups.values()) == [2, 3]


def test_the_public_names() -> None:
    assert fullint.audit is audit
    assert re.match(r"\d+\.\d+", fullint.__version__)


def test_a_change_of_type_alone_is_no_useless_requantize() -> None:
    """int8 to uint8 of the same scale and zero point: other real numbers."""
    g = Half()
    x = g.int_op("ADD", g.coded(1, 4), g.coded(1, 4), scale=0.05, zero=3)
    y = g.op("QUANTIZE", x, dtype="uint8")
    y.quant = x.quant
    g.output(y)
    assert rules(g)["useless-requantize"] == 0
