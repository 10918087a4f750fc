"""int16 activations with int8 weights."""

import numpy as np
import tensorflow as tf

from fullint.compat import TFLiteConverter

model = tf.keras.Sequential(
    [tf.keras.Input((20, 20, 1)), tf.keras.layers.Conv2D(6, 5, activation="relu"), tf.keras.layers.Conv2D(2, 1)]
)
converter = TFLiteConverter.from_keras_model(model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: ([np.random.rand(1, 20, 20, 1).astype("float32")] for _ in range(24))
converter.target_spec.supported_ops = [tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8]
converter.inference_input_type = tf.int16
converter.inference_output_type = tf.int16
tflite_model = converter.convert()
