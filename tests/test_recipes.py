"""Recipes: what is asked of a run and of single operators, in a file; `--plan` prints one that makes the same again."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import quantized
from half import Half
from op_examples import EXAMPLES

import fullint
from fullint import Recipe, RecipeRule, demo
from fullint.compat import Optimize, TFLiteConverter
from fullint.errors import UsageError
from fullint.model.ir import Model, Op
from fullint.model.numerics import activation_params
from fullint.model.ranges import Range
from fullint.model.tflite import read_bytes
from fullint.ops.builder import Builder, samples_like
from fullint.options import QuantizeOptions, with_recipe
from fullint.quantization.tensor_groups import with_zero_point_0


def network(g: Builder) -> None:
    """Two convolutions with an ADD each that becomes part of them, as batch normalization leaves it; a sum; a head."""
    x = g.input(1, 6, 6, 4, name="picture")
    a = g.op("ADD", _named(g.conv(x, 4, bias=False), "first/conv"), g.random(4), name="first/bias")
    b = g.op("ADD", _named(g.conv(a, 4, bias=False), "second/conv"), g.random(4), name="second/bias")
    y = g.op("ADD", a, b, name="sum")
    g.output(g.op("SOFTMAX", _named(g.dense(g.reshape(y, 1, -1), 5), "scores"), beta=1.0, name="classes"))


def _named(t, name: str):
    t.name = name
    return t


def made(g: Builder, *rules: RecipeRule, **options: object) -> tuple[Model, fullint.Result]:
    network(g)
    result = quantized(g, 24, recipe=Recipe(rules=rules), min_sqnr=-100.0, **options)
    return read_bytes(result.model), result


def int16(model: Model) -> list[str]:
    """Outputs of operators that compute in int16."""
    return [op.output_name for op in model.main.ops if op.kind != "QUANTIZE" and op.outputs[0].dtype == "int16"]


def op(model: Model, name: str) -> Op:
    return next(o for o in model.main.ops if o.output_name == name)


TEXT = """
schema_version = 1
[options]
effort = "fast"
shape = ["1,6,6,4"]
[[rules]]
match = ["block/*", 3]
int16 = true
[[rules]]
match = "SOFTMAX"
keep_float = true
"""


def test_a_recipe_is_read_and_written_alike() -> None:
    recipe = Recipe.parse(TEXT)
    assert recipe.options == {"effort": "fast", "shape": ["1,6,6,4"]}
    assert recipe.rules == (RecipeRule(match=("block/*", 3), int16=True), RecipeRule(match="SOFTMAX", keep_float=True))
    assert Recipe.parse(str(recipe)) == recipe == Recipe.of_tables(json.loads(json.dumps(recipe.tables())), "report")
    assert 'match = ["block/*", 3]' in str(recipe)


WRONG = {
    "[[rules]]\nmatch='a'\nint61=true": r'rule 1: there is no "int61"; did you mean "int16"',
    "[[rules]]\nint16=true": "rule 1: match is missing",
    "[[rules]]\nmatch='a'\nint16='yes'": "rule 1: int16 must be true or false",
    "[[rules]]\nmatch='a'": "rule 1: it says nothing",
    "[[rules]]\nmatch=[]\nint16=true": "rule 1: match names nothing",
    "[[rules]]\nmatch=[1.5]\nint16=true": "match must be text or a whole number or a list",
    "[[rules]]\nmatch='a'\nint16=true\nkeep_float=true": "exclude each other",
    "[[rules]]\nmatch='a'\neffort='best'": "effort of a rule must be fast or balanced",
    "[[rules]]\nmatch='a'\nranges='b=mse'": "must be a method",
    "[[rules]]\nmatch='a'\nranges='mean'": 'there is no method "mean"',
    "[rules]\nmatch='a'": r"each under \[\[rules\]\]",
    "options=3": r"options must be a table",
    "schema_version=2": "schema_version must be 1, not 2",
    "[option]\neffort='fast'": 'there is no "option"; did you mean "options"',
    "[options]\nefort='fast'": 'options for quantize: there is no "efort"; did you mean "effort"',
    "[options]\neffort='slow'": "effort must be fast",
    "[options]\nrecipe='b.toml'": 'there is no "recipe"',
    "[options]\nmodel='b.tflite'": 'there is no "model"',
    "what = [": "not TOML",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_faulty_recipe_says_where(g: Builder, tmp_path: Path, text: str) -> None:
    network(g)
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=WRONG[text]):
        fullint.plan(g.bytes(), samples_like(g.model(), 8), recipe=path)


def test_files_that_are_no_recipes(tmp_path: Path) -> None:
    for name, data, said in (("a", b"\xff\xfe", "UTF-8"), ("b", b"#" * 5_000_000, "larger than"), ("c", None, "No such file")):
        if data is not None:
            (tmp_path / name).write_bytes(data)
        with pytest.raises(UsageError, match=said):
            Recipe.read(tmp_path / name)
    with pytest.raises(UsageError, match="directory"):
        Recipe.read(tmp_path)
    with pytest.raises(UsageError, match="not TOML"):
        Recipe.parse("a = " + "[" * 100_000)
    with pytest.raises(UsageError, match="must be a path, a Recipe or its tables"):
        fullint.quantize(b"", [], recipe=3)


@pytest.mark.parametrize("match", ["CONV_2D", "*/conv", ("first/conv", "second/conv"), (0, 2), ("0", "3"), ("*bias",)])
def test_names_patterns_types_and_indices_reach_what_others_were_folded_into(g: Builder, match: object) -> None:
    """The ADD behind each convolution has become its bias."""
    model, result = made(g, RecipeRule(match=match, int16=True))
    assert int16(model) == ["first/bias", "second/bias"]
    assert not [w for w in result.report.warnings if "no effect" in w]


def test_a_type_does_not_mean_what_became_part_of_another(g: Builder) -> None:
    """Of the three ADDs, two are biases now; --int16 has the same grammar."""
    assert int16(made(g, RecipeRule(match="ADD", int16=True))[0]) == ["sum"]
    assert int16(read_bytes(quantized(g, 24, int16="A?D", min_sqnr=-100.0).model)) == ["sum"]


def test_what_has_no_effect_is_said(g: Builder) -> None:
    x = g.input(1, 4, 4, 3)
    g.output(g.op("RELU", g.conv(x, 4), name="clipped"))
    result = quantized(g, 8, int16="RELU", recipe=Recipe(rules=(RecipeRule(match="SOFTMAX", per_tensor=True),)), min_sqnr=-100.0)
    assert 'int16: "RELU" has no effect: it became part of other operators' in result.report.warnings
    assert "recipe: the model has no SOFTMAX, which a rule names" in result.report.warnings
    assert int16(read_bytes(result.model)) == []
    with pytest.raises(UsageError, match='nothing matches "conv9"'):
        quantized(g, 8, recipe=Recipe(rules=(RecipeRule(match="conv9", int16=True),)))


def test_later_rules_and_options_of_the_call_count_more(g: Builder) -> None:
    rules = (RecipeRule(match="*", int16=True), RecipeRule(match=("CONV_2D", "FULLY_CONNECTED"), int16=False))
    model, _ = made(g, *rules)
    assert "sum" in int16(model)
    assert not {"first/bias", "second/bias", "scores"} & {*int16(model)}
    samples = samples_like(g.model(), 24)
    result = fullint.quantize(g.bytes(), samples, recipe=Recipe(rules=rules[:1]), keep_float="scores", min_sqnr=-100.0)
    assert [k.output for k in result.report.kept_float] == ["scores"]


def test_float_by_a_rule_and_not(g: Builder) -> None:
    network(g)
    rules = (RecipeRule(match="*/conv", keep_float=True), RecipeRule(match="first/conv", keep_float=False))
    result = fullint.quantize(g.bytes(), samples_like(g.model(), 24), recipe=Recipe(rules=rules), min_sqnr=-100.0)
    assert [k.output for k in result.report.kept_float] == ["second/conv"]


def test_zero_points_of_0(g: Builder) -> None:
    """Outputs, what shares their scale, and inputs; a SOFTMAX has the zero point that its kernel demands, and a note."""
    rules = (RecipeRule(match="*", symmetric=True), RecipeRule(match="picture", symmetric=True))
    model, result = made(g, *rules)
    by_name = {t.name: t for t in model.main.tensors}
    for name in ("picture", "first/bias", "second/bias", "sum", "scores"):
        assert by_name[name].quant.zero_point.tolist() == [0], name
    assert by_name["classes"].quant.zero_point.tolist() == [-128]
    assert any(n.startswith('symmetric: "classes": a zero point is demanded') for n in result.report.notes)
    assert result.report.certificate.sqnr_db > 25
    plain = read_bytes(quantized(g, 24, min_sqnr=-100.0).model)
    assert {t.name: t for t in plain.main.tensors}["picture"].quant.zero_point[0] != 0


def test_symmetric_codes_hold_all_values(g: Builder) -> None:
    """One step is as small as it can be: the largest value has code 127 or the smallest -128."""
    x = g.input(1, 8, name="x")
    g.output(g.op("MUL", x, g.const(np.float32([1, 2, -3, 4] * 2)), name="y"))
    samples = samples_like(g.model(), 64)
    rules = (RecipeRule(match=("x", "y"), symmetric=True),)
    model = read_bytes(fullint.quantize(g.bytes(), samples, recipe=Recipe(rules=rules), min_sqnr=10.0).model)
    mul = op(model, "y")
    values = np.concatenate([s["x"] for s in samples])
    step = max(values.max() / 127, -values.min() / 128)
    assert mul.inputs[0].quant.scale[0] == pytest.approx(step, rel=0.12)  # and room
    assert [t.quant.zero_point[0] for t in (*mul.inputs, *mul.outputs)] == [0, 0, 0]


@pytest.mark.parametrize("span", [Range(-1.0, 2.0), Range(-2.0, 1.0), Range(0.0, 3.0), Range(-3.0, 0.0)])
def test_the_smallest_step_with_zero_point_0(span: Range) -> None:
    params = activation_params(with_zero_point_0(span))
    assert params.zero_point.tolist() == [0]
    codes = span.low / params.scale[0], span.high / params.scale[0]
    assert min(abs(codes[0] + 128), abs(codes[1] - 127)) < 1e-3
    assert codes[0] > -128.001
    assert codes[1] < 127.001


def test_one_scale_per_tensor_for_some(g: Builder) -> None:
    model, _ = made(g, RecipeRule(match="first/conv", per_tensor=True))
    assert [op(model, n).inputs[1].quant.scale.size for n in ("first/bias", "second/bias")] == [1, 4]
    model, _ = made(Builder(), RecipeRule(match="first/conv", per_tensor=False), per_tensor=True)
    assert [op(model, n).inputs[1].quant.scale.size for n in ("first/bias", "second/bias")] == [4, 1]


def test_effort_and_ranges_for_some(g: Builder) -> None:
    """The codes of the one that is fast are the nearest ones; the range of one is of the least squared error."""
    fast, _ = made(g, effort="fast")
    all_fast, _ = made(Builder(), RecipeRule(match="*", effort="fast"))
    assert [t.array.tobytes() for t in weights(all_fast)] == [t.array.tobytes() for t in weights(fast)]
    mixed, _ = made(Builder(), RecipeRule(match="scores", effort="fast"))
    balanced, _ = made(Builder())
    codes = [[op(m, name).inputs[1].array.tobytes() for name in ("second/bias", "scores")] for m in (fast, mixed, balanced)]
    assert codes[1] == [codes[2][0], codes[0][1]]
    assert codes[2][0] != codes[0][0]
    assert codes[2][1] != codes[0][1]
    _, result = made(Builder(), RecipeRule(match="second/conv", ranges="percentile:99"))
    assert [t.tensor for t in result.report.ranges.tensors] == ["second/bias"]


def weights(model: Model):
    return [o.inputs[1] for o in model.main.ops if o.kind in ("CONV_2D", "FULLY_CONNECTED")]


def test_16_bits_that_fullint_would_choose_can_be_refused(g: Builder) -> None:
    x = g.input(1, 4, 16)
    axis = g.const(np.int32([2]))
    y = g.op("MEAN", g.op("MUL", x, x, name="square"), axis, shape=(1, 4, 1), keep_dims=True, name="mean")
    g.output(g.op("MUL", x, g.op("RSQRT", g.op("ADD", y, g.const(1e-6)), name="root"), name="normal"))
    samples = [{"input": s} for s in np.random.default_rng(0).normal(size=(24, 1, 4, 16)).astype(np.float32)]
    for i, s in enumerate(samples):
        s["input"] *= 10.0 ** -(i % 4)
    plain = fullint.quantize(g.bytes(), samples, min_sqnr=-100.0).model
    assert {"square", "mean"} <= {*int16(read_bytes(plain))}
    refused = Recipe(rules=(RecipeRule(match="*", int16=False),))
    assert int16(read_bytes(fullint.quantize(g.bytes(), samples, min_sqnr=-100.0, recipe=refused).model)) == []


def test_options_of_the_call_count_more_than_those_of_the_recipe() -> None:
    recipe = Recipe({"effort": "fast", "seed": 3, "mean": [1.0, 2.0, 3.0]}, (RecipeRule(match="a", int16=True),))
    options = with_recipe(QuantizeOptions("m.tflite", [], recipe=recipe, seed=5))
    assert (options.effort, options.seed, options.mean) == ("fast", 5, [1.0, 2.0, 3.0])
    assert options.rules == recipe.rules
    assert with_recipe(options).effort == "fast"


def test_the_report_has_the_recipe_of_the_run(g: Builder) -> None:
    network(g)
    samples = samples_like(g.model(), 24)
    recipe = Recipe({"effort": "fast"}, (RecipeRule(match="SOFTMAX", int16=True),))
    first = fullint.quantize(g.bytes(), samples, recipe=recipe, per_tensor=True, min_sqnr=-100.0)
    saved = json.loads(first.report.to_json())["recipe"]
    assert saved["options"] == {"effort": "fast", "per_tensor": True, "min_sqnr": -100.0}
    assert fullint.quantize(g.bytes(), samples, recipe=saved).model == first.model
    again = json.loads(first.report.to_json())["options"] | {"model": g.bytes(), "samples": samples}
    assert fullint.quantize(**again).model == first.model


def fullint_command(folder: Path, *words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "fullint", *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "options",
    [
        ["--mixed", "6"],
        ["--int16", "sum", "--ranges", "scores=mse"],
        ["--effort", "best", "--seed", "2"],
        ["--mixed", "9", "--effort", "best", "--ranges", "scores=mse"],
    ],
)
def test_what_plan_prints_makes_the_same_bytes(g: Builder, tmp_path: Path, options: list[str]) -> None:
    network(g)
    (tmp_path / "m.tflite").write_bytes(g.bytes())
    np.savez(tmp_path / "s.npz", picture=np.concatenate([s["picture"] for s in samples_like(g.model(), 40)]))
    given = ["quantize", "m.tflite", "-c", "s.npz"]
    (tmp_path / "recipe.toml").write_text(fullint_command(tmp_path, *given, *options, "--plan"))
    fullint_command(tmp_path, *given, *options, "-o", "a.tflite")
    fullint_command(tmp_path, *given, "--recipe", "recipe.toml", "-o", "b.tflite")
    assert (tmp_path / "a.tflite").read_bytes() == (tmp_path / "b.tflite").read_bytes()
    tables = json.loads(fullint_command(tmp_path, *given, *options, "--plan", "--json"))["recipe"]
    assert Recipe.of_tables(tables, "plan") == Recipe.read(tmp_path / "recipe.toml")
    assert "# picture: int8" in (tmp_path / "recipe.toml").read_text()


def test_layers_of_which_something_is_asked_are_not_joined(g: Builder) -> None:
    """The sum of two layers becomes one layer, which would have lost what was asked of them."""
    x, h = g.input(1, 16, name="x"), g.input(1, 16, name="h")
    g.output(g.op("ADD", _named(g.dense(x, 16, bias=False), "wx"), _named(g.dense(h, 16), "wh")))
    samples = samples_like(g.model(), 24)
    plain = read_bytes(fullint.quantize(g.bytes(), samples).model)
    assert len(weights(plain)) == 1
    rules = (RecipeRule(match="FULLY_CONNECTED", per_tensor=True),)
    asked = read_bytes(fullint.quantize(g.bytes(), samples, recipe=Recipe(rules=rules)).model)
    assert [w.quant.scale.size for w in weights(asked)] == [1, 1]


def test_operators_that_come_of_one_place_are_told_apart(g: Builder) -> None:
    """x relu6(x + 3) / 6 becomes HARD_SWISH or what is left of it; --int16 ADD is not about the product."""
    x = g.conv(g.input(1, 6, 6, 4), 4)
    clipped = g.op("RELU6", g.op("ADD", x, g.const(3.0)))
    g.output(g.op("MUL", g.op("MUL", x, clipped), g.const(1 / 6), name="swish"))
    model = read_bytes(fullint.quantize(g.bytes(), samples_like(g.model(), 24), int16="ADD").model)
    assert "swish" not in int16(model)


def test_the_last_rule_counts_for_float_and_16_bits(g: Builder) -> None:
    rules = (RecipeRule(match="sum", keep_float=True), RecipeRule(match="sum", int16=True))
    model, result = made(g, *rules)
    assert result.report.kept_float == ()
    assert "sum" in int16(model)


def test_rules_in_python_are_checked_like_files(g: Builder) -> None:
    network(g)
    for rule, said in (
        (RecipeRule(match="sum", int16="false"), "int16 must be true or false"),
        ({"match": "sum", "what": 1}, 'there is no "what"'),
        (RecipeRule(match="picture", int16=True), '"picture" is an input of the model'),
    ):
        with pytest.raises(UsageError, match=said):
            fullint.plan(g.bytes(), samples_like(g.model(), 8), recipe=Recipe(rules=(rule,)))
    assert RecipeRule(match=["a", "b"], int16=True).items == ("a", "b")
    absent = Recipe(rules=(RecipeRule(match="TANH", ranges="mse"),))
    report = fullint.quantize(g.bytes(), samples_like(g.model(), 12), recipe=absent, min_sqnr=-100.0).report
    assert "recipe: the model has no TANH, which a rule names" in report.warnings
    with pytest.raises(UsageError, match="per_tensor must be true or false"):
        fullint.plan(g.bytes(), samples_like(g.model(), 8), recipe=Recipe({"per_tensor": "no"}))


def test_repair_takes_a_recipe() -> None:
    g = Half()
    x = g.dequantize(g.coded(1, 6, 6, 4))
    g.output(g.quantize(g.conv(g.conv(x, 4), 4)))
    samples = samples_like(g.model(), 12)
    recipe = Recipe({"seed": 1}, (RecipeRule(match="CONV_2D", per_tensor=True),))
    done = fullint.repair(g.bytes(), samples, recipe=recipe)
    model = read_bytes(done.model)
    assert [t.quant.scale.size for t in weights(model)] == [1, 1]
    assert done.report.options["seed"] == 1
    assert done.report.result.recipe["options"] == {"seed": 1}
    kept = fullint.repair_plan(g.bytes(), samples, recipe=Recipe({"keep_float": "CONV_2D"}))
    assert len(kept.fix) < len(fullint.repair_plan(g.bytes(), samples).fix)
    with pytest.raises(UsageError, match='options for repair: there is no "activations"'):
        fullint.repair(g.bytes(), samples, recipe=Recipe({"activations": "int16"}))


def test_the_drop_in_takes_a_recipe(g: Builder, tmp_path: Path) -> None:
    network(g)
    (tmp_path / "recipe.toml").write_text('[[rules]]\nmatch = "sum"\nint16 = true\n')
    samples = samples_like(g.model(), 12)
    converter = TFLiteConverter.from_tflite(g.bytes())
    converter.optimizations = [Optimize.DEFAULT]
    converter.representative_dataset = lambda: iter(samples)
    converter.min_sqnr = -100.0
    converter.recipe = tmp_path / "recipe.toml"
    assert "sum" in int16(read_bytes(converter.convert()))


def test_a_kernel_that_clamps_by_its_type_keeps_its_zero_point(g: Builder) -> None:
    """SVDF has no RELU but the end of int8: with zero point 0, negative values would pass."""
    values = EXAMPLES["SVDF"](g)
    samples = [dict(zip((t.name for t in g.graph.inputs), [v * s for v in values], strict=True)) for s in np.linspace(0.3, 1, 12)]
    rules = (RecipeRule(match="SVDF", symmetric=True),)
    plain = fullint.quantize(g.bytes(), samples, min_sqnr=-100.0)
    result = fullint.quantize(g.bytes(), samples, recipe=Recipe(rules=rules), min_sqnr=-100.0)
    assert result.model == plain.model
    assert any(w.startswith("symmetric: SVDF") for w in result.report.warnings) == any(
        o.options.get("fused_activation_function") for o in g.graph.ops
    )


def test_loops_are_not_widened_by_name_and_left_out_of_patterns() -> None:
    network = Path(__file__).parent / "networks" / "gru_loop.tflite"
    calibration = Path(demo.__file__).parent / "calibration.npz"
    with pytest.raises(UsageError, match=r"int16: WHILE .* only passes on|int16: WHILE .* passes on"):
        fullint.plan(network, calibration, int16="WHILE")
    rules = (RecipeRule(match="*", int16=True),)
    result = fullint.quantize(network, calibration, recipe=Recipe(rules=rules), num_samples=24, min_sqnr=-100.0)
    assert result.report.float_operators == 0
    assert int16(read_bytes(result.model))
    kept = Recipe(rules=(RecipeRule(match="*while*", keep_float=True), RecipeRule(match="SOFTMAX", keep_float=True)))
    report = fullint.quantize(network, calibration, recipe=kept, num_samples=24, min_sqnr=-100.0).report
    assert "SOFTMAX" in [k.kind for k in report.kept_float]


def test_names_with_control_characters_are_escaped(g: Builder) -> None:
    g.output(_named(g.conv(g.input(1, 4, 4, 2), 3), "e\x01f\x1b[2J\x7f\nx = 1"))
    plan = fullint.plan(g.bytes(), samples_like(g.model(), 8), per_tensor=True)
    assert Recipe.parse(str(plan)) == plan.recipe
    assert "\x1b" not in str(plan)


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_bytes(b"\xef\xbb\xbf[options]\neffort = 'fast'\n")
    assert Recipe.read(tmp_path / "r.toml").options == {"effort": "fast"}
