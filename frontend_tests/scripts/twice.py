"""convert() twice, with other types the second time."""

import numpy as np
import tensorflow as tf

from fullint.compat import TFLiteConverter

model = tf.keras.Sequential([tf.keras.Input((6,)), tf.keras.layers.Dense(8, "relu"), tf.keras.layers.Dense(2)])
converter = TFLiteConverter.from_keras_model(model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: ([v] for v in np.random.default_rng(3).normal(size=(40, 1, 6)).astype(np.float32))
first = converter.convert()
assert converter.convert() == first
converter.inference_input_type = converter.inference_output_type = tf.int8
tflite_model = converter.convert()
assert tflite_model != first
