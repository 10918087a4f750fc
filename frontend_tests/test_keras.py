"""The drop-in converter beside a loaded TensorFlow. Run in an environment that has both: `make test-keras`."""

import contextlib
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras_networks import case_like, layer, samples, selected_like, silentface_like, two_of_each
from tensorflow.lite.python import convert
from tensorflow.lite.python.optimize import calibrator

from fullint import ConversionError, FullintError, NotIntegerError, audit
from fullint.compat import TFLiteConverter
from fullint.model.census import count_conv
from fullint.model.tflite import read_bytes

APPLICATIONS = {
    "MobileNetV2": (-1, 1),
    "MobileNetV3Small": (0, 255),
    "EfficientNetB0": (0, 255),
    "ResNet50": (-1, 1),
    "DenseNet121": (-1, 1),
    "NASNetMobile": (-1, 1),
    "ConvNeXtTiny": (0, 255),
}
"""Networks of keras.applications and the range of their pixels."""


def as_in_the_case(c: TFLiteConverter, dataset: object) -> bytes:
    """The case's lines, nothing changed but where the class comes from."""
    c.experimental_new_quantizer = True
    c._experimental_disable_per_channel = True
    c.optimizations = [tf.lite.Optimize.DEFAULT]
    c.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.lite.OpsSet.SELECT_TF_OPS]
    c.inference_input_type = tf.int8
    c.inference_output_type = tf.int8
    c.representative_dataset = dataset
    return c.convert()


def all_integer(data: bytes, c: TFLiteConverter, least: float) -> None:
    """Every operator and every convolution; and the float model is TensorFlow's to the last digits."""
    model = read_bytes(data)
    convs = count_conv(model)
    assert convs.int8_weights_int32_bias == convs.total
    assert c.report.float_operators == 0
    assert not [f for f in audit(data).findings if f.level == "error"]
    assert c.conversion.sqnr_db > 90
    assert c.report.certificate.sqnr_db > least


def test_the_case(record_property) -> None:
    model = case_like()

    def representative_dataset_gen():
        yield from samples(model, 30)

    c = TFLiteConverter.from_keras_model(model)
    data = as_in_the_case(c, representative_dataset_gen)
    all_integer(data, c, 20)
    kinds = [op.kind for op in read_bytes(data).main.ops]
    assert kinds.count("CONV_2D") == 7 and kinds.count("TRANSPOSE_CONV") == 2 and "STRIDED_SLICE" in kinds
    record_property("sqnr", c.report.certificate.sqnr_db)


def test_one_that_tensorflow_leaves_in_float(tmp_path: Path) -> None:
    """PReLU as GREATER, MUL, SELECT, by a converter that asks for constants to be kept: all CONV_2D stay float, in silence."""
    data = silentface_like()
    rng = np.random.default_rng(0)
    values = [rng.normal(size=(1, 24, 24, 3)).astype(np.float32) for _ in range(20)]

    def representative_dataset_gen():
        yield from ([v] for v in values)

    calibrated = calibrator.Calibrator(data).calibrate(representative_dataset_gen)
    options = {"disable_per_channel": True, "input_data_type": tf.int8, "output_data_type": tf.int8}
    theirs = count_conv(read_bytes(bytes(convert.mlir_quantize(calibrated, **options))))
    assert theirs.total == 4 and theirs.int8_weights_int32_bias == 0
    c = TFLiteConverter.from_tflite(data)
    ours = as_in_the_case(c, representative_dataset_gen)
    assert count_conv(read_bytes(ours)).int8_weights_int32_bias == 4
    assert c.report.float_operators == 0 and c.report.certificate.sqnr_db > 25


def test_the_same_network_by_tensorflows_own_way() -> None:
    """The activations of the last test written in TensorFlow."""
    net = selected_like()

    def representative_dataset_gen():
        rng = np.random.default_rng(0)
        for _ in range(20):
            yield [rng.normal(size=(1, 24, 24, 3)).astype(np.float32)]

    c = TFLiteConverter.from_concrete_functions([net.__call__.get_concrete_function()], net)
    data = as_in_the_case(c, representative_dataset_gen)
    all_integer(data, c, 20)
    assert count_conv(read_bytes(data)).total == 4
    assert read_bytes(data).signatures[0].outputs[0][0] == "liveness"


@pytest.mark.parametrize(
    "name", ["LSTM", "GRU", "Bidirectional", "MultiHeadAttention", "LayerNormalization", "GroupNormalization"]
)
def test_layers(name: str) -> None:
    model = layer(name)
    c = TFLiteConverter.from_keras_model(model)
    all_integer(as_in_the_case(c, lambda: iter(samples(model))), c, 20)


@pytest.mark.parametrize("name", sorted(APPLICATIONS))
def test_applications(name: str, record_property) -> None:
    """Random weights; the logits, since random weights leave nothing of a softmax over a thousand classes."""
    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(weights=None, classifier_activation=None)
    low, high = APPLICATIONS[name]
    sizes = [n or 96 for n in model.inputs[0].shape[1:]]

    def representative_dataset_gen():
        rng = np.random.default_rng(0)
        for _ in range(10):
            yield [rng.uniform(low, high, (1, *sizes)).astype(np.float32)]

    c = TFLiteConverter.from_keras_model(model)
    c.optimizations = [tf.lite.Optimize.DEFAULT]
    c.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    c.inference_input_type = c.inference_output_type = tf.int8
    c.representative_dataset = representative_dataset_gen
    data = c.convert()
    all_integer(data, c, 20)
    print(f"\n{name}: {c.report.certificate.sqnr_db:.1f} dB, {c.report.operators} operators, {len(data) / 1e6:.1f} MB")


def test_vanishing_activations() -> None:
    """MobileNetV2 as it is initialised ends in values of 1e-10: a RELU6 whose 6 does not fit the kernels' 32 bits."""
    keras.utils.set_random_seed(0)
    model = keras.applications.MobileNetV2((96, 96, 3), weights=None)
    c = TFLiteConverter.from_keras_model(model)
    c.min_sqnr = -200.0
    as_in_the_case(c, lambda: iter([[s[0] * 1e-4] for s in samples(model, 6)]))
    assert c.report.float_operators == 0


def test_names_and_order_are_the_models() -> None:
    model = two_of_each()
    c = TFLiteConverter.from_keras_model(model)
    data = as_in_the_case(c, lambda: iter(samples(model)))
    main = read_bytes(data).main
    assert [t.name for t in main.inputs] == ["zeta", "alpha"]
    assert [t.name for t in main.outputs] == ["scores", "odds"]


def test_a_saved_model_and_its_order(tmp_path: Path) -> None:
    """Samples as lists come in the order TensorFlow's converter has; the float file gives TensorFlow's numbers."""
    model = two_of_each()
    model.export(tmp_path / "saved", verbose=False)
    theirs = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "saved")).convert()
    order = [
        d["name"].removeprefix("serving_default_").split(":")[0]
        for d in tf.lite.Interpreter(model_content=theirs).get_input_details()
    ]
    c = TFLiteConverter.from_saved_model(str(tmp_path / "saved"))
    data = as_in_the_case(c, lambda: ([s[0], s[1]] for s in samples(model)))
    assert [t.name for t in read_bytes(data).main.inputs] == order
    with pytest.raises(ConversionError, match="no signature nothing"):
        as_in_the_case(TFLiteConverter.from_saved_model(str(tmp_path / "saved"), signature_keys=["nothing"]), lambda: iter(()))


def test_a_subclassed_model() -> None:
    class Net(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.dense = keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.Dense(3)

        def call(self, x):
            return {"flat": self.dense(keras.ops.mean(self.conv(x), (1, 2)))}

    model = Net()
    c = TFLiteConverter.from_keras_model(model)
    with pytest.raises(ConversionError, match="call it once"):
        as_in_the_case(c, lambda: iter(()))
    model(np.zeros((1, 8, 8, 2), np.float32))
    c = TFLiteConverter.from_keras_model(model)
    data = as_in_the_case(c, lambda: ([np.random.default_rng(i).normal(size=(1, 8, 8, 2)).astype(np.float32)] for i in range(20)))
    all_integer(data, c, 20)


def outputs_of(data: bytes, named: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """By TensorFlow's interpreter, names by the signature; float inputs and outputs."""
    return tf.lite.Interpreter(model_content=data).get_signature_runner()(**named)


def float_ends(model: keras.Model, dataset: object) -> tuple[TFLiteConverter, bytes]:
    c = TFLiteConverter.from_keras_model(model)
    c.optimizations, c.representative_dataset = [tf.lite.Optimize.DEFAULT], dataset
    return c, c.convert()


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_outputs_keep_their_names_whatever_their_order() -> None:
    keras.utils.set_random_seed(0)
    a, b = keras.Input((4,), name="zed"), keras.Input((4,), name="abc")
    ends = OrderedDict([("zz", keras.layers.Dense(3, name="q")(a)), ("aa", keras.layers.Dense(3, name="p")(b))])
    model = keras.Model(OrderedDict([("zed", a), ("abc", b)]), ends)
    _, data = float_ends(model, lambda: ({"abc": random(1, 4, seed=i), "zed": random(1, 4, seed=-i - 1 + 99)} for i in range(40)))
    x = {"zed": random(1, 4, seed=7), "abc": random(1, 4, seed=8)}
    made = outputs_of(data, x)
    assert np.abs(made["q"] - model.get_layer("q")(x["zed"])).max() < 0.1
    assert np.abs(made["p"] - model.get_layer("p")(x["abc"])).max() < 0.1


def test_a_subclassed_model_of_a_dict() -> None:
    class Net(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(3)

        def call(self, x):
            return {"sum": self.dense(x["u"]) + x["v"], "twice": x["v"] * 2}

    model = Net()
    model({"u": random(1, 4), "v": random(1, 3)})
    _, data = float_ends(model, lambda: ({"u": random(1, 4, seed=i), "v": random(1, 3, seed=i + 50)} for i in range(40)))
    x = {"v": random(1, 3, seed=7), "u": random(1, 4, seed=8)}
    made, expected = outputs_of(data, x), model(x)
    assert all(np.abs(made[k] - expected[k]).max() < 0.1 for k in ("sum", "twice"))


def test_a_stateful_network() -> None:
    model = keras.Sequential([keras.Input(batch_shape=(1, 7, 4)), keras.layers.LSTM(5, stateful=True), keras.layers.Dense(2)])
    c, _ = float_ends(model, lambda: ([random(1, 7, 4, seed=i)] for i in range(20)))
    assert c.conversion.sqnr_db > 90


def test_the_users_variables_stay_as_they_are() -> None:
    class Sum(tf.Module):
        def __init__(self) -> None:
            self.total = tf.Variable(np.zeros((1, 4), np.float32))

        @tf.function(input_signature=[tf.TensorSpec([1, 4], name="x")])
        def add(self, x: tf.Tensor) -> tf.Tensor:
            self.total.assign_add(x)
            return self.total * 2.0

    net = Sum()
    c = TFLiteConverter.from_concrete_functions([net.add.get_concrete_function()], net)
    c.optimizations, c.representative_dataset = [tf.lite.Optimize.DEFAULT], lambda: ([random(1, 4, seed=i)] for i in range(9))
    c.min_sqnr = -200.0
    with contextlib.suppress(FullintError):  # a sum that grows for ever has no range: named or far off, but no crash
        c.convert()
    assert not net.total.numpy().any()


@pytest.mark.parametrize(
    "dataset",
    [
        random(20, 7, 3),
        lambda: ([random(7, 3, seed=i)] for i in range(20)),
        lambda: ({"x": random(1, 7, 3, seed=i)} for i in range(20)),
        tf.data.Dataset.from_tensor_slices(random(20, 1, 7, 3)),
    ],
)
def test_open_dimensions_are_those_of_the_samples(dataset: object) -> None:
    model = keras.Sequential([keras.Input((None, 3), name="x"), keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(2)])
    _, data = float_ends(model, dataset)
    assert read_bytes(data).main.inputs[0].shape == (1, 7, 3)


@pytest.mark.parametrize("model", [None, 5, "x"])
def test_what_is_no_model(model: object) -> None:
    with pytest.raises(ConversionError, match="expected a Keras model"):
        float_ends(model, lambda: iter(()))


def test_fake_quantization_is_honoured() -> None:
    """Quantization-aware training in TensorFlow: the grids it trained on are the grids of the result."""
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 3, 3, 8)).astype(np.float32)
    most = np.abs(kernel).max((0, 1, 2)) * np.linspace(0.8, 1.2, 8).astype(np.float32)

    @tf.function(input_signature=[tf.TensorSpec([1, 16, 16, 3], name="x")])
    def net(x):
        x = tf.quantization.fake_quant_with_min_max_vars(x, -2.0, 2.0)
        w = tf.quantization.fake_quant_with_min_max_vars_per_channel(kernel, -most, most, narrow_range=True)
        y = tf.quantization.fake_quant_with_min_max_vars(tf.nn.relu6(tf.nn.conv2d(x, w, 1, "SAME")), 0.0, 6.0)
        return tf.quantization.fake_quant_with_min_max_vars(tf.reduce_mean(y, [1, 2]), -1.0, 5.0)

    c = TFLiteConverter.from_concrete_functions([net.get_concrete_function()])
    c.optimizations, c.target_spec.supported_ops = [tf.lite.Optimize.DEFAULT], [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    c.inference_input_type = c.inference_output_type = tf.int8
    c.representative_dataset = lambda: ([rng.normal(size=(1, 16, 16, 3)).astype(np.float32)] for _ in range(20))
    main = read_bytes(c.convert()).main
    conv = next(op for op in main.ops if op.kind == "CONV_2D")
    assert np.isclose(main.inputs[0].quant.scale[0], 4 / 255) and np.isclose(conv.outputs[0].quant.scale[0], 6 / 255)
    assert np.allclose(conv.inputs[1].quant.scale, most / 127, rtol=1e-5)
    assert np.isclose(main.outputs[0].quant.scale[0], 6 / 255)


FLEX = {
    "erf": tf.math.erf,
    "erfinv": lambda x: tf.math.erfinv(tf.tanh(x) * 0.9),
    "asin": lambda x: tf.asin(tf.tanh(x) * 0.95),
    "tan": lambda x: tf.tan(x * 0.3),
    "avg_pool3d": lambda x: tf.nn.avg_pool3d(tf.reshape(x, [1, 4, 4, 4, 1]), 3, [1, 1, 2, 1, 1], "SAME"),
    "max_pool3d": lambda x: tf.nn.max_pool3d(tf.reshape(x, [1, 4, 4, 4, 1]), [1, 2, 3, 2, 1], [1, 1, 2, 2, 1], "VALID"),
}


def of_function(function: object) -> TFLiteConverter:
    kernel = tf.constant(np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32) * 0.1)
    net = tf.function(lambda x: function(x @ kernel), input_signature=[tf.TensorSpec([None, 64], name="x")])
    return TFLiteConverter.from_concrete_functions([net.get_concrete_function()])


def numbers():
    rng = np.random.default_rng(0)
    for _ in range(30):
        yield [rng.normal(size=(1, 64)).astype(np.float32)]


@pytest.mark.parametrize("name", sorted(FLEX))
def test_tensorflows_own_operators_are_written_with_builtins(name: str) -> None:
    c = of_function(FLEX[name])
    all_integer(as_in_the_case(c, numbers), c, 20)


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (lambda x: tf.linalg.inv(tf.reshape(x, [1, 8, 8])), "FlexMatrixInverse"),
        (lambda x: tf.linalg.cross(x[:, :3], x[:, 3:6]), "Cross"),
    ],
)
def test_those_that_cannot_be_are_named(function: object, kind: str) -> None:
    with pytest.raises(NotIntegerError, match=kind) as e:
        as_in_the_case(of_function(function), numbers)
    assert e.value.blockers[0].output and e.value.blockers[0].way_out


def test_tensorflow_and_litert_live_in_two_processes(tmp_path: Path) -> None:
    """TensorFlow is loaded and used here, before and after; LiteRT's interpreter never is."""
    script = tmp_path / "user.py"
    script.write_text(
        "import sys\n"
        "import numpy as np, tensorflow as tf\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from keras_networks import layer, samples\n"
        "from fullint.compat import TFLiteConverter\n"
        "model = layer('LSTM')\n"
        "before = model(samples(model, 1)[0][0]).numpy()\n"
        "for _ in range(2):\n"
        "    c = TFLiteConverter.from_keras_model(model)\n"
        "    c.optimizations = [tf.lite.Optimize.DEFAULT]\n"
        "    c.representative_dataset = lambda: iter(samples(model))\n"
        "    data = c.convert()\n"
        "    tf.lite.Interpreter(model_content=tf.lite.TFLiteConverter.from_keras_model(layer('LayerNormalization')).convert())\n"
        "assert np.array_equal(before, model(samples(model, 1)[0][0]).numpy())\n"
        "loaded = [m for m in sys.modules if m.startswith('ai_edge_litert')]\n"
        "assert not [m for m in loaded if 'interpreter' in m or 'pywrap' in m], loaded\n"
        "print('alive', c.report.certificate.sqnr_db > 20)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip().endswith("alive True")
