"""A float and an integer model compared: damage is found where it was done, whoever rescaled or renamed what."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from damages import DAMAGES, Damage, clipped, half_scale, no_bias, one_channel, shifted_zero, steps_of_bias, weighted, weights

import fullint
from fullint.cli import main
from fullint.comparing import operator_run, ranking
from fullint.comparing import pipeline as comparing
from fullint.comparing.excuses import excused_activations
from fullint.comparing.figures import Sums
from fullint.comparing.groups import OperatorGroup
from fullint.comparing.matching import plain_name
from fullint.comparing.operator_run import MeasuredActivation
from fullint.errors import RuntimeFailure
from fullint.model.ir import Buffer, Tensor
from fullint.model.tflite import read_bytes, write_model
from fullint.ops.builder import Builder

DEMO = Path(fullint.__file__).parent / "demo"
FLOAT = DEMO / "digits.tflite"
SAMPLES = 16


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    with np.load(DEMO / "test.npz") as tests:
        return tests["image"][:SAMPLES].astype(np.float32)


@pytest.fixture(scope="module")
def results() -> dict[str, bytes]:
    """What quantize makes, per channel and per tensor, with channels rescaled."""
    made = {name: fullint.quantize(FLOAT, DEMO / "calibration.npz", per_tensor=name == "per tensor") for name in KINDS}
    assert all(any(c.rule == "equalize" for c in r.report.changes) for r in made.values())
    return {name: r.model for name, r in made.items()}


KINDS = ("per channel", "per tensor")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_sound_has_no_suspects(kind: str, results: dict[str, bytes], images: np.ndarray) -> None:
    report = fullint.compare(FLOAT, results[kind], images)
    assert report.suspects == () and report.unmatched == () and report.equalized > 0
    assert report.sqnr_db is not None and report.sqnr_db > 30
    assert {o.exact for o in report.outputs} == {"digit", "drawing"}
    for o in report.operators:
        assert o.added_db is not None and o.excess_db is not None and o.added_db > 25


@pytest.mark.parametrize("name", ["attention", "residual", "spread_residual", "lstm_loop", "lstm_unrolled"])
def test_biases_that_take_back_earlier_errors_are_no_damage(name: str, images: np.ndarray) -> None:
    """Nor are values cut off where a SOFTMAX makes nothing of them, 16 bits in the middle, states in loops, channels that were
    rescaled by 1000, or constants that moved."""
    network = Path(__file__).parent / "networks" / f"{name}.tflite"
    made = fullint.quantize(network, DEMO / "calibration.npz").model
    assert fullint.compare(network, made, images).suspects == ()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("number", [0, 1])
def test_the_damaged_operator_is_first(
    kind: str, damage: Damage, number: int, results: dict[str, bytes], images: np.ndarray
) -> None:
    model = read_bytes(results[kind])
    op = sorted(weighted(model), key=lambda o: -steps_of_bias(o))[0 if damage is no_bias else number]
    damage(op, model)
    report = fullint.compare(FLOAT, write_model(model), images)
    first = report.operators[0]
    assert first.suspect and first.output == op.outputs[0].name, [(o.output, o.excess_db) for o in report.operators[:3]]
    assert first.cause and first.fix


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (half_scale, "0.5 times as large"),
        (one_channel, "1 channel of"),
        (shifted_zero, "check its zero point"),
        (clipped, "values are cut off"),
    ],
)
def test_what_the_error_looks_like(damage: Damage, text: str, results: dict[str, bytes], images: np.ndarray) -> None:
    model = read_bytes(results["per channel"])
    damage(weighted(model)[0], model)
    first = fullint.compare(FLOAT, write_model(model), images).operators[0]
    assert text in f"{first.cause}; {first.fix}".replace("0.499", "0.5").replace("0.501", "0.5")


def test_a_channel_that_the_data_does_not_use_is_told_by_its_weights(g: Builder) -> None:
    """RELU is never reached in it."""
    w, bias = np.random.default_rng(0).normal(size=(8, 16)).astype(np.float32), np.zeros(8, np.float32)
    bias[5] = -1000
    y = g.op("FULLY_CONNECTED", g.input(1, 16), g.const(w), g.const(bias), shape=(1, 8), fused_activation_function=1)
    g.output(g.dense(y, 4))
    samples = np.random.default_rng(1).normal(size=(40, 1, 16)).astype(np.float32)
    model = read_bytes(fullint.quantize(g.bytes(), samples).model)
    [op] = weighted(model)
    codes = weights(op).array.copy()
    codes[5] = np.rint(codes[5] * 0.3)
    weights(op).buffer = Buffer.of(codes)
    first = fullint.compare(g.bytes(), write_model(model), samples).operators[0]
    assert (
        first.suspect
        and first.output == op.outputs[0].name
        and "1 channel of 8 differ in size: 5 (0.3" in first.cause.replace("0.29", "0.3")
    )


def test_a_lost_bias_is_found_however_small(g: Builder) -> None:
    """Its loss is far below rounding; that it is zero, and the float model's is not, tells."""
    x = g.conv(g.input(1, 8, 8, 4), 6, bias=g.const(np.full(6, 2e-3, np.float32)), activation="RELU")
    x.name = "first"
    g.output(g.conv(x, 6, bias=False))
    samples = np.random.default_rng(0).normal(size=(16, 8, 8, 4)).astype(np.float32)
    model = read_bytes(fullint.quantize(g.bytes(), samples, effort="fast").model)
    assert fullint.compare(g.bytes(), write_model(model), samples).suspects == ()
    no_bias(model.main.ops[0], model)
    first = fullint.compare(g.bytes(), write_model(model), samples).operators[0]
    assert (first.output, first.suspect, first.cause) == ("first", True, "its bias is zero, and that of the float model is not")
    assert first.added_db > 30


def test_a_suspect_that_costs_the_outputs_more_comes_first(g: Builder) -> None:
    """A constant channel whose bias was cut off is far beyond rounding, and hardly read; the second layer is all there is."""
    rng = np.random.default_rng(0)
    w, v = rng.normal(size=(6, 3, 3, 4)).astype(np.float32), rng.normal(size=(6, 1, 1, 6)).astype(np.float32)
    w[5], v[..., 5] = 0, 1e-3
    bias = np.float32([0, 0, 0, 0, 0, 9])
    x = g.conv(g.input(1, 8, 8, 4), weights=g.const(w), bias=g.const(bias), activation="RELU")
    y = g.conv(x, weights=g.const(v), activation="RELU")
    x.name, y.name = "constant", "second"
    g.output(g.conv(y, 3))
    samples = rng.normal(size=(16, 8, 8, 4)).astype(np.float32)
    model = read_bytes(fullint.quantize(g.bytes(), samples, effort="fast").model)
    first, second = weighted(model)[:2]
    b, u = first.inputs[2], weights(first)
    assert b is not None and b.quant is not None and u.quant is not None and b.array[5] > 0
    tiny = np.where(np.arange(6) == 5, np.float32(1e-11), 1)
    u.quant, b.quant = replace(u.quant, scale=u.quant.scale * tiny), replace(b.quant, scale=b.quant.scale * tiny)
    b.buffer = Buffer.of(np.where(np.arange(6) == 5, 2**31 - 1, b.array).astype(np.int32))
    alone = fullint.compare(g.bytes(), write_model(model), samples).suspects
    assert [o.output for o in alone] == ["constant"]
    assert alone[0].cause.startswith("the bias of 1 of its 6 channels is at an end of int32") and alone[0].outputs_db > 30
    one_channel(second, model)
    both = fullint.compare(g.bytes(), write_model(model), samples).suspects
    assert [o.output for o in both] == ["second", "constant"]
    assert both[0].added_db > both[1].added_db and both[0].outputs_db < both[1].outputs_db - 10


def test_what_excuses_a_difference(g: Builder) -> None:
    """In the run nearer than alone; or far off, and its reader near."""
    x, y = Tensor("x", (1, 4), "int8"), Tensor("y", (1, 4), "int8")
    op = g.op("ADD", g.input(1, 4), g.random(1, 4)) and g.graph.ops[0]
    groups = [OperatorGroup((op,), (), (x,), (op,), True), OperatorGroup((op,), (x,), (y,), (op,), True)]
    exact = np.float32([[1, -2, 3, -4]])

    def measured(in_run: float, alone: float) -> MeasuredActivation:
        sums = Sums(Tensor("f", (1, 4), "float32"), 0.01, 1)
        sums.add(exact, exact * (1 + in_run))
        sums.add_alone(exact, exact * (1 + alone), exact, None)
        return MeasuredActivation(sums, None)

    assert excused_activations(groups, {x: measured(0.01, 0.1), y: measured(0.1, 0.1)}) == {x: "compensates"}
    assert excused_activations(groups, {x: measured(0.5, 0.5), y: measured(0.01, 0.01)}) == {x: "heals"}
    assert excused_activations(groups, {x: measured(0.5, 0.5), y: measured(0.4, 0.01)}) == {}


def test_a_group_that_is_refused_takes_no_others_with_it(
    results: dict[str, bytes], images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = operator_run._Portion._opened

    def refuse(self, files, worker, made):
        if any(op.output_name.startswith("fourth") for g in self.groups for op in g.ops):
            self._failed(worker, RuntimeFailure("refused"))
            return None
        return opened(self, files, worker, made)

    monkeypatch.setattr(operator_run._Portion, "_opened", refuse)
    report = fullint.compare(FLOAT, results["per channel"], images)
    assert [o.output for o in report.operators if o.added_db is None] == ["fourth/add"]
    assert len(report.operators) > 10
    assert "some operators could not be run alone: refused" in report.notes


def test_the_float_model_may_be_one_of_a_framework(
    results: dict[str, bytes], images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A front end makes the float .tflite of it; `frontend_tests` run real ones."""
    made = SimpleNamespace(model=FLOAT.read_bytes())
    monkeypatch.setattr(comparing, "convert_with", lambda model, framework, *_: made if framework.name == "keras" else None)
    (tmp_path / "digits.keras").touch()
    report = fullint.compare(tmp_path / "digits.keras", results["per channel"], images)
    assert (report.exact, report.suspects) == ("digits.keras", ())


def test_activations_are_found_without_their_names(results: dict[str, bytes], images: np.ndarray) -> None:
    model = read_bytes(results["per channel"])
    ends = {*model.main.inputs, *model.main.outputs}
    for i, t in enumerate(t for op in model.main.ops for t in op.outputs if t not in ends):
        t.name = f"tensor_{i}"
    report = fullint.compare(FLOAT, write_model(model), images)
    assert {o.matched_by for o in report.operators} >= {"operands"}
    assert report.unmatched == () and report.suspects == ()


def test_operators_that_became_one_are_compared_as_one(g: Builder) -> None:
    x = g.input(1, 8, 8, 3)
    y = g.op("RELU", g.op("ADD", g.conv(x, 8), g.random(8), name="sum"), name="y")
    g.output(g.dense(g.reshape(y, 1, -1), 4))
    samples = np.random.default_rng(0).normal(size=(40, 1, 8, 8, 3)).astype(np.float32)
    result = fullint.quantize(g.bytes(), samples)
    [conv] = [o for o in fullint.compare(g.bytes(), result.model, samples).operators if o.kind == "CONV_2D"]
    assert conv.exact == ("CONV_2D", "ADD", "RELU") and conv.operators == 1


def test_what_one_operator_became_is_compared_as_one(g: Builder) -> None:
    """SQUARED_DIFFERENCE in int16 is SUB and MUL."""
    x = g.input(1, 64)
    g.output(g.op("SQUARED_DIFFERENCE", x, g.random(64), name="y"))
    samples = np.random.default_rng(0).normal(size=(40, 1, 64)).astype(np.float32)
    result = fullint.quantize(g.bytes(), samples, activations="int16")
    kinds = [op.kind for op in read_bytes(result.model).main.ops]
    report = fullint.compare(g.bytes(), result.model, samples)
    assert len(kinds) == 2 and report.unmatched == ()
    assert [(o.operators, o.exact) for o in report.operators] == [(2, ("SQUARED_DIFFERENCE",))]


def test_the_error_is_added_where_it_arises_and_inherited_behind(results: dict[str, bytes], images: np.ndarray) -> None:
    model = read_bytes(results["per channel"])
    op = weighted(model)[0]
    half_scale(op, model)
    report = fullint.compare(FLOAT, write_model(model), images)
    rows = {o.output: o for o in report.operators}
    assert rows[op.outputs[0].name].added_db == pytest.approx(rows[op.outputs[0].name].sqnr_db, abs=0.5)
    behind = [o for o in report.operators if o.inherited_db is not None and o.inherited_db < 15]
    assert behind and all(o.added_db is not None and o.added_db > 25 for o in behind)


def test_a_float_operator_left_over_adds_nothing(images: np.ndarray) -> None:
    report = fullint.compare(FLOAT, DEMO / "half.tflite", images)
    floats = [o for o in report.operators if o.saturated is None and o.kind == "CONV_2D"]
    assert floats and all(o.added_db is None or o.added_db > 60 for o in floats)


def test_without_samples_inputs_are_drawn_and_that_is_said(results: dict[str, bytes]) -> None:
    report = fullint.compare(FLOAT, results["per channel"])
    assert report.drawn and "drawn at random: give some with -c" in str(report)


def test_accuracy_by_labels(results: dict[str, bytes]) -> None:
    report = fullint.compare(FLOAT, results["per channel"], DEMO / "test.npz", labels="label", num_samples=60)
    assert report.accuracy is not None and report.accuracy.rows == 60 and report.accuracy.after > 0.8
    assert report.outputs[0].top5_agreement == 1.0


def test_a_sample_that_gives_no_finite_output_is_named(g: Builder) -> None:
    x = g.input(1, 4)
    g.output(g.op("LOG", g.op("ADD", x, g.const(2.0))))
    samples = np.random.default_rng(0).uniform(0, 1, (40, 1, 4)).astype(np.float32)
    result = fullint.quantize(g.bytes(), samples)
    samples[3] = -5
    with pytest.raises(fullint.SamplesError, match="sample 3: output"):
        fullint.compare(g.bytes(), result.model, samples)


def test_models_of_different_networks_are_refused(g: Builder, results: dict[str, bytes]) -> None:
    g.output(g.dense(g.input(1, 5), 4))
    with pytest.raises(fullint.UsageError, match="different models"):
        fullint.compare(g.bytes(), results["per channel"])


def test_command(results: dict[str, bytes], tmp_path: Path) -> None:
    sound, broken, table = tmp_path / "sound.tflite", tmp_path / "broken.tflite", tmp_path / "table.csv"
    sound.write_bytes(results["per channel"])
    model = read_bytes(results["per channel"])
    half_scale(weighted(model)[0], model)
    broken.write_bytes(write_model(model))
    given = ["compare", str(FLOAT), str(sound), "-c", str(DEMO / "test.npz"), "--num-samples", "16"]
    done = CliRunner().invoke(main, [*given, "--json", "--csv", str(table)])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["schema_version"] == 1 and report["operator_samples"] == 16
    rows = [*csv.DictReader(table.read_text().splitlines())]
    assert len(rows) == len(report["operators"]) and float(rows[0]["added_db"]) == report["operators"][0]["added_db"]
    given[2] = str(broken)
    found = CliRunner().invoke(main, given)
    assert found.exit_code == 1 and "more error of its own than rounding explains" in found.stdout


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("conv/Relu_int8", "conv/Relu"),
        ("conv/int8", "conv/Relu"[:4]),
        ("x_quantized", "x"),
        ("x/dequantize", "x"),
        ("y_requantized1", "y"),
        ("int8", "int8"),
        ("quantize_me", "quantize_me"),
    ],
)
def test_names_without_what_quantizers_add(name: str, plain: str) -> None:
    assert plain_name(Tensor(name, (1,), "int8")) == plain


def test_open_dimensions_of_the_float_model_are_those_of_the_integer_model(g: Builder) -> None:
    y = g.conv(g.input(1, -1, -1, 3), activation="RELU")
    y.shape_signature = (1, -1, -1, 4)
    g.output(y)
    samples = np.random.default_rng(0).normal(size=(16, 12, 8, 3)).astype(np.float32)
    made = fullint.quantize(g.bytes(), samples, shape="1,12,8,3").model
    report = fullint.compare(g.bytes(), made, samples)
    assert report.suspects == () and report.sqnr_db is not None and report.sqnr_db > 35
    with pytest.raises(fullint.UsageError, match="does not fix them: quantize with --shape"):
        fullint.compare(g.bytes(), g.bytes(), samples)


def test_what_it_costs_the_outputs_comes_before_how_suspicious_it_is() -> None:
    m = MeasuredActivation(Sums(Tensor("f", (1, 4), "float32"), 0.01, 1), None)
    costly, suspicious, unknown = (ranking._key(m, n, db, undone=False) for n, db in ((2, 10.0), (0, 40.0), (1, None)))
    assert costly < suspicious < unknown < ranking._key(m, None, None, undone=True)
