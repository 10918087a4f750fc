"""A sine for a microcontroller: int8 throughout, and a C array of the result."""

import math

import numpy as np
import tensorflow as tf

from fullint.compat import TFLiteConverter

x_values = np.random.uniform(low=0, high=2 * math.pi, size=500).astype(np.float32)
model = tf.keras.Sequential(
    [
        tf.keras.layers.Input(shape=(1,)),
        tf.keras.layers.Dense(16, activation="relu"),
        tf.keras.layers.Dense(16, activation="relu"),
        tf.keras.layers.Dense(1),
    ]
)
model.compile(optimizer="adam", loss="mse")
model.fit(x_values, np.sin(x_values), epochs=2, batch_size=16, verbose=0)


def representative_dataset():
    for i in range(len(x_values[:200])):
        yield [x_values[i].reshape(1, 1)]


converter = TFLiteConverter.from_keras_model(model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
converter.inference_input_type = tf.int8
converter.inference_output_type = tf.int8
converter.representative_dataset = representative_dataset
tflite_model = converter.convert()
text = ", ".join(f"0x{b:02x}" for b in tflite_model)
assert f"const unsigned char model[] = {{{text}}};".count("0x") == len(tflite_model)
