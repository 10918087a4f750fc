"""Per-tensor weights, and the flags of older scripts."""

import numpy as np
import tensorflow as tf

from fullint.compat import TFLiteConverter

model = tf.keras.Sequential(
    [tf.keras.Input((9, 9, 4)), tf.keras.layers.Conv2D(8, 3, activation="relu6"), tf.keras.layers.Conv2D(4, 3)]
)
converter = TFLiteConverter.from_keras_model(model)
converter.experimental_new_converter = True
converter.experimental_new_quantizer = True
converter._experimental_disable_per_channel = True
converter.allow_custom_ops = True
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
converter.representative_dataset = lambda: ([np.random.rand(1, 9, 9, 4).astype(np.float32)] for _ in range(30))
tflite_model = converter.convert()
