"""The guide of the quantization debugger: where error comes from, and a model without it."""

import csv
import tempfile

import numpy as np
import tensorflow as tf

from fullint.compat import QuantizationDebugger, QuantizationDebugOptions, TFLiteConverter

inputs = tf.keras.Input((16, 16, 3))
h = tf.keras.layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
h = tf.keras.layers.DepthwiseConv2D(3, padding="same", activation="relu6")(h)
h = tf.keras.layers.GlobalAveragePooling2D()(h)
model = tf.keras.Model(inputs, tf.keras.layers.Dense(4)(h))


def representative_dataset(count):
    def generate():
        rng = np.random.default_rng(0)
        for _ in range(count):
            yield {model.input.name: rng.normal(size=(1, 16, 16, 3)).astype(np.float32)}

    return generate


converter = TFLiteConverter.from_keras_model(model)
converter.representative_dataset = representative_dataset(40)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
debugger = QuantizationDebugger(converter=converter, debug_dataset=representative_dataset(20))
debugger.run()
with tempfile.NamedTemporaryFile("w+", suffix=".csv") as results:
    debugger.layer_statistics_dump(results)
    results.seek(0)
    layers = list(csv.DictReader(results))
suspected = [r["tensor_name"] for r in layers if np.sqrt(float(r["mean_squared_error"])) / float(r["scale"]) > 0.7]
options = QuantizationDebugOptions(denylisted_nodes=suspected, denylisted_ops=["FULLY_CONNECTED"])
debugger = QuantizationDebugger(converter=converter, debug_dataset=representative_dataset(20), debug_options=options)
selective_model = debugger.get_nondebug_quantized_model()
assert converter.report.float_operators >= 1
tflite_model = converter.convert()
