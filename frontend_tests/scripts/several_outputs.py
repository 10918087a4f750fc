"""A dict of outputs, and a residual network behind it."""

import numpy as np
import tensorflow as tf

from fullint.compat import TFLiteConverter

inputs = tf.keras.Input((16, 16, 3), name="pixels")
h = tf.keras.layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
s = tf.keras.layers.Conv2D(8, 3, padding="same")(h)
h = tf.keras.layers.ReLU()(tf.keras.layers.Add()([h, s]))
boxes = tf.keras.layers.Conv2D(4, 1, name="boxes")(h)
scores = tf.keras.layers.Conv2D(2, 1, activation="softmax", name="scores")(h)
detector = tf.keras.Model(inputs, {"boxes": boxes, "scores": scores})
converter = TFLiteConverter.from_keras_model(detector)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: ([np.random.rand(1, 16, 16, 3).astype(np.float32)] for _ in range(24))
converter.inference_input_type = tf.uint8
tflite_model = converter.convert()
assert [o.name for o in converter.report.outputs] == ["boxes", "scores"]
