"""The drop-in converter without TensorFlow: every attribute honoured or refused, misspelt ones an error."""

import ast
import csv
import enum
import inspect
import io
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fullint import NotIntegerError, SamplesError, UsageError
from fullint.calibration.samples.first import first_sample
from fullint.compat import OpsSet, Optimize, QuantizationDebugger, QuantizationDebugOptions, TargetSpec, TFLiteConverter
from fullint.compat.attribute_types import ConverterAttributes
from fullint.compat.attributes import ATTRIBUTES, OWN, TARGET_ATTRIBUTES
from fullint.model.tflite import read_bytes
from fullint.ops.builder import Builder


def network() -> bytes:
    g = Builder(seed=7)
    x = g.conv(g.input(1, 8, 8, 3, name="image"), 6, activation="RELU")
    y = g.dense(g.reshape(x, 1, -1), 4)
    y.name = "scores"
    g.output(y)
    return g.bytes("serving_default")


def samples():
    rng = np.random.default_rng(0)
    for _ in range(12):
        yield [rng.normal(size=(1, 8, 8, 3)).astype(np.float32)]


def converter(model: object = None) -> TFLiteConverter:
    c = TFLiteConverter.from_tflite(network() if model is None else model)
    c.optimizations = [Optimize.DEFAULT]
    c.representative_dataset = samples
    c.target_spec.supported_ops = [OpsSet.TFLITE_BUILTINS_INT8]
    return c


def io_of(data: bytes) -> list[str]:
    main = read_bytes(data).main
    return [main.inputs[0].dtype, main.outputs[0].dtype]


def test_the_script_of_the_case() -> None:
    c = converter()
    c.experimental_new_quantizer = True
    c._experimental_disable_per_channel = True
    c.target_spec.supported_ops = [OpsSet.TFLITE_BUILTINS_INT8, OpsSet.SELECT_TF_OPS]
    c.inference_input_type = np.int8
    c.inference_output_type = np.int8
    data = c.convert()
    assert isinstance(data, bytes)
    assert io_of(data) == ["int8", "int8"]
    assert c.report.float_operators == 0 and c.report.options["per_tensor"]
    assert c.float_model == network() and c.conversion is None
    conv = next(op for op in read_bytes(data).main.ops if op.kind == "CONV_2D")
    assert conv.inputs[1].quant.scale.size == 1


def test_from_a_path(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(network())
    assert converter(str(path)).convert() == converter(path).convert() == converter().convert()


@pytest.mark.parametrize(
    ("into", "out", "found"),
    [
        (None, None, ["float32", "float32"]),
        ("int8", None, ["int8", "float32"]),
        (np.uint8, "int8", ["uint8", "int8"]),
        (SimpleNamespace(name="int8"), SimpleNamespace(name="float32"), ["int8", "float32"]),
        ("float32", "uint8", ["float32", "uint8"]),
    ],
)
def test_inputs_and_outputs_each_have_a_type(into: object, out: object, found: list[str]) -> None:
    c = converter()
    if into is not None:
        c.inference_input_type = into
    if out is not None:
        c.inference_output_type = out
    assert io_of(c.convert()) == found


def test_sixteen_bit_activations() -> None:
    c = converter()
    c.target_spec.supported_ops = [OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8]
    c.inference_input_type = c.inference_output_type = np.int16
    data = c.convert()
    assert io_of(data) == ["int16", "int16"] and c.report.options["activations"] == "int16"


def test_dense_layers_per_tensor() -> None:
    c = converter()
    c._experimental_disable_per_channel_quantization_for_dense_layers = True
    ops = read_bytes(c.convert()).main.ops
    sizes = {op.kind: op.inputs[1].quant.scale.size for op in ops if op.kind in ("CONV_2D", "FULLY_CONNECTED")}
    assert sizes == {"CONV_2D": 6, "FULLY_CONNECTED": 1}


class Other(enum.Enum):
    """As TensorFlow's own: another class, the same names."""

    DEFAULT = "DEFAULT"
    TFLITE_BUILTINS_INT8 = "TFLITE_BUILTINS_INT8"


def test_tensorflows_own_enumerations_and_target_spec() -> None:
    c = converter()
    c.optimizations = {Other.DEFAULT}
    c.target_spec = SimpleNamespace(supported_ops=[Other.TFLITE_BUILTINS_INT8], supported_types=[])
    assert isinstance(c.target_spec, TargetSpec)
    c.convert()
    assert c.report.float_operators == 2  # QUANTIZE and DEQUANTIZE at the ends: inputs and outputs are float by default


@pytest.mark.parametrize(
    "dataset",
    [
        samples,
        list(samples()),
        lambda: ({"image": s[0]} for s in samples()),
        lambda: (s[0] for s in samples()),
        SimpleNamespace(input_gen=samples),
    ],
)
def test_every_form_of_samples_gives_the_same_bytes(dataset: object) -> None:
    c = converter()
    c.representative_dataset = dataset
    assert c.convert() == converter().convert()


@pytest.mark.parametrize(
    ("owner", "name", "meant"),
    [
        ("converter", "inference_inptu_type", "inference_input_type"),
        ("converter", "representative_data_set", "representative_dataset"),
        ("converter", "experimental_new_quantiser", "experimental_new_quantizer"),
        ("converter", "min_sqrn", "min_sqnr"),
        ("target_spec", "suported_ops", "supported_ops"),
    ],
)
def test_misspelt_attributes_are_errors(owner: str, name: str, meant: str) -> None:
    c = converter()
    where = c if owner == "converter" else c.target_spec
    with pytest.raises(AttributeError, match=f"did you mean '{meant}'"):
        setattr(where, name, 1)
    with pytest.raises(AttributeError):
        getattr(where, name)


def test_results_are_not_set() -> None:
    with pytest.raises(AttributeError):
        converter().report = None


REFUSED = {
    "_experimental_calibrate_only": True,
    "_experimental_low_bit_qat": True,
    "_experimental_strict_qdq": True,
    "_experimental_qdq_conversion_mode": "STATIC",
    "_experimental_sparsify_model": True,
    "_experimental_reduce_type_precision": True,
    "experimental_use_stablehlo_quantizer": True,
    "experimental_stablehlo_quantizer_config": object(),
    "_experimental_quantization_options": object(),
    "_experimental_tf_quantization_mode": "DEFAULT",
    "experimental_lower_to_saved_model": False,
    "_experimental_full_integer_quantization_bias_type": "float32",
    "inference_input_type": "float16",
    "inference_output_type": "int4",
    "optimizations": [Optimize.EXPERIMENTAL_SPARSITY],
    "representative_dataset": 5,
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_cannot_be_honoured_is_refused_with_a_sentence(name: str) -> None:
    c = converter()
    with pytest.raises(UsageError, match=rf"^{re.escape(name)}: \w.* \w"):
        setattr(c, name, REFUSED[name])


TARGET_REFUSED = {
    "supported_ops": [OpsSet.EXPERIMENTAL_STABLEHLO_OPS],
    "supported_types": ["float16"],
    "experimental_select_user_tf_ops": {"MyOp"},
    "experimental_supported_backends": ["GPU"],
    "_experimental_custom_op_registerers": [print],
    "_experimental_supported_accumulation_type": "float16",
}


@pytest.mark.parametrize("name", sorted(TARGET_REFUSED))
def test_what_a_target_cannot_have_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"^{name}: "):
        setattr(converter().target_spec, name, TARGET_REFUSED[name])
    assert set(TARGET_REFUSED) == set(TARGET_ATTRIBUTES)


def test_both_integer_sets_at_once_are_refused() -> None:
    sixteen = OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
    with pytest.raises(UsageError, match="only one of the two sets"):
        converter().target_spec.supported_ops = [OpsSet.TFLITE_BUILTINS_INT8, sixteen]


@pytest.mark.parametrize("name", sorted(ATTRIBUTES))
def test_defaults_of_tensorflow_are_taken(name: str) -> None:
    """A script that writes a default down is no error; every row says what is made of it."""
    c = converter()
    if name not in ("target_spec",):
        setattr(c, name, ATTRIBUTES[name].default)
    assert ATTRIBUTES[name].says
    assert ATTRIBUTES[name].says != "refused" or name in REFUSED


def test_a_float_model_is_not_made_in_silence() -> None:
    c = TFLiteConverter.from_tflite(network())
    with pytest.raises(UsageError, match="which means a float model"):
        c.convert()
    c.optimizations = [Optimize.DEFAULT]
    with pytest.raises(UsageError, match="an all-integer model needs samples"):
        c.convert()


@pytest.mark.parametrize("error", [KeyError, ValueError, TypeError, StopAsyncIteration, IndexError])
def test_what_a_generator_raises_comes_with_its_own_traceback(error: type[Exception]) -> None:
    def load(name: str) -> np.ndarray:
        raise error(name)

    def dataset():
        yield [np.zeros((1, 8, 8, 3), np.float32)]
        yield [load("picture 2")]

    c = converter()
    c.representative_dataset = dataset
    with pytest.raises(error, match="picture 2") as raised:
        c.convert()
    assert [t.name for t in raised.traceback][-2:] == ["dataset", "load"]
    with pytest.raises(error, match="first"):
        first_sample(lambda: (load("first") for _ in range(1)))


def test_what_cannot_be_integer_raises_the_audit() -> None:
    g = Builder()
    g.output(g.op("CUSTOM", g.conv(g.input(1, 4, 4, 2), 3), shape=(1, 4, 4, 3)))
    g.graph.ops[-1].custom_code = "Mystery"
    c = converter(g.bytes())
    c.representative_dataset = lambda: ([np.zeros((1, 4, 4, 2), np.float32)] for _ in range(3))
    with pytest.raises(NotIntegerError) as e:
        c.convert()
    assert re.search(r'op 1 Mystery "custom.*": a custom operator', str(e.value))


def test_options_of_fullint_are_attributes_too() -> None:
    c = converter()
    c.num_samples, c.min_sqnr, c.keep_float = 6, 1.0, "FULLY_CONNECTED"
    c.convert()
    assert c.report.options["num_samples"] == 6 and [k.kind for k in c.report.kept_float] == ["FULLY_CONNECTED"]
    assert set(OWN) <= set(c.report.options) | {"threads"}


def test_without_tensorflow_keras_models_say_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorflow", None)
    c = TFLiteConverter.from_keras_model(object())
    c.optimizations, c.representative_dataset = [Optimize.DEFAULT], samples
    with pytest.raises(UsageError, match="pip install tensorflow"):
        c.convert()


def test_functions_that_are_none() -> None:
    with pytest.raises(UsageError, match="list with exactly one"):
        TFLiteConverter.from_concrete_functions([])
    with pytest.raises(UsageError, match="get_concrete_function"):
        TFLiteConverter.from_concrete_functions([print])


def test_type_checkers_know_every_attribute() -> None:
    tree = ast.parse(Path(inspect.getfile(ConverterAttributes)).read_text())
    own = next(n for n in ast.walk(tree) if isinstance(n, ast.ClassDef))
    block = next(n for n in own.body if isinstance(n, ast.If))
    named = {n.target.id for n in block.body}
    assert named == {*ATTRIBUTES, *OWN, "report", "conversion", "float_model"}


@pytest.mark.slow
def test_a_type_checker_finds_what_is_misspelt(tmp_path: Path) -> None:
    script = tmp_path / "user.py"
    script.write_text(
        "from fullint import quantize\n"
        "from fullint.compat import OpsSet, TFLiteConverter\n"
        "c = TFLiteConverter.from_tflite('m.tflite')\n"
        "c.target_spec.supported_ops = [OpsSet.TFLITE_BUILTINS_INT8]\n"
        "c._experimental_disable_per_channel = True\n"
        "size: int = len(c.convert())\n"
        "sqnr: float | None = quantize('m.tflite', []).report.float_operators\n"
        "c.inference_inptu_type = 'int8'\n"
        "quantize('m.tflite', [], activation='int16')\n"
    )
    words = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--cache-dir", str(tmp_path), str(script)]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    errors = [line for line in done.stdout.splitlines() if "user.py" in line and "error" in line]
    assert [int(line.split(":")[1]) for line in errors] == [8, 9], done.stdout


def test_what_grows_in_place_is_checked_when_it_counts() -> None:
    c = converter()
    c.target_spec.supported_types = []
    c.target_spec.supported_types.append("float16")
    with pytest.raises(UsageError, match="supported_types"):
        c.convert()


def test_converters_share_nothing() -> None:
    first = converter()
    first.target_spec.experimental_select_user_tf_ops.add("MyOp")
    first.optimizations = first.optimizations
    TFLiteConverter.from_tflite(network()).optimizations.add(Optimize.DEFAULT)
    assert not converter().target_spec.experimental_select_user_tf_ops
    assert not TFLiteConverter.from_tflite(network()).optimizations


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("target_spec", None, "a TargetSpec"),
        ("_experimental_disable_per_channel", "no", "True or False"),
        ("allow_custom_ops", 1, "True or False"),
    ],
)
def test_values_of_another_kind_are_refused(name: str, value: object, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        setattr(converter(), name, value)


def test_biases_are_what_the_kernels_want() -> None:
    c = converter()
    c._experimental_full_integer_quantization_bias_type = "int64"
    with pytest.raises(UsageError, match="the bias type must be int32"):
        c.convert()


@pytest.mark.parametrize(
    ("dataset", "says"),
    [
        (lambda: None, "returns NoneType"),
        (lambda: iter([[[[1.0, 2.0], [3.0]]]]), "cannot be made into an array"),
        (lambda: iter(()), "there are no samples"),
    ],
)
def test_samples_that_are_none(dataset: object, says: str) -> None:
    c = converter()
    c.representative_dataset = dataset
    with pytest.raises(SamplesError, match=says):
        c.convert()


def test_samples_with_the_key_of_a_signature() -> None:
    c = converter()
    c.representative_dataset = lambda: (("serving_default", {"image": s[0]}) for s in samples())
    assert c.convert() == converter().convert()


def test_the_debugger_says_where_error_comes_from() -> None:
    """The guide's recipe: statistics as a table, the worst layers stay float."""
    c = converter()
    debugger = QuantizationDebugger(converter=c, debug_dataset=samples)
    debugger.run()
    table = io.StringIO()
    debugger.layer_statistics_dump(table)
    rows = list(csv.DictReader(io.StringIO(table.getvalue())))
    assert [r["op_name"] for r in rows] == ["QUANTIZE", "CONV_2D", "RESHAPE", "FULLY_CONNECTED"]
    for row in rows:
        square, mean, deviation = (float(row[n]) for n in ("mean_squared_error", "mean_error", "stddev"))
        assert np.isclose(square, mean**2 + deviation**2) and float(row["max_abs_error"]) ** 2 >= square > 0
        assert 0.1 < np.sqrt(square) / float(row["scale"]) < 0.7  # rounding alone: 1 / sqrt(12), or twice that
    assert int(rows[1]["num_elements"]) == 8 * 8 * 6
    main = read_bytes(debugger.get_nondebug_quantized_model()).main
    (conv,) = [op for op in main.ops if op.kind == "CONV_2D"]
    assert (
        main.tensors[int(rows[1]["tensor_idx"])] is conv.outputs[0] and float(rows[1]["scale"]) == conv.outputs[0].quant.scale[0]
    )
    assert debugger.layer_statistics[rows[1]["tensor_name"]]["stddev"] == float(rows[1]["stddev"])
    assert debugger.model_statistics["sqnr_db"] > 30
    debugger.options = QuantizationDebugOptions(denylisted_nodes=[rows[1]["tensor_name"]])
    kept = read_bytes(debugger.get_nondebug_quantized_model()).main
    assert [op.outputs[0].dtype for op in kept.ops if op.kind == "CONV_2D"] == ["float32"]
    assert c.keep_float is None


def test_the_debugger_compares_two_files(tmp_path: Path) -> None:
    (tmp_path / "float.tflite").write_bytes(network())
    (tmp_path / "integer.tflite").write_bytes(converter().convert())
    debugger = QuantizationDebugger(str(tmp_path / "integer.tflite"), None, str(tmp_path / "float.tflite"), None, samples)
    with pytest.raises(UsageError, match=r"call run\(\) first"):
        debugger.report.ranked  # noqa: B018
    debugger.run()
    assert len(debugger.layer_statistics) >= 3
    with pytest.raises(UsageError, match="need the converter"):
        debugger.options = QuantizationDebugOptions(denylisted_ops=["CONV_2D"])
    with pytest.raises(UsageError, match="functions of arrays are not supported"):
        QuantizationDebugOptions(layer_debug_metrics={"mine": len})
    with pytest.raises(UsageError, match="give converter, or"):
        QuantizationDebugger(debug_dataset=samples)
