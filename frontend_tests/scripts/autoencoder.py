"""Transposed convolutions, trained for a moment."""

import numpy as np
import tensorflow as tf

from fullint.compat import TFLiteConverter

x = np.random.default_rng(0).random((64, 16, 16, 1)).astype(np.float32)
encoder = [tf.keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")]
decoder = [
    tf.keras.layers.Conv2DTranspose(8, 3, strides=2, padding="same", activation="relu"),
    tf.keras.layers.Conv2D(1, 3, padding="same"),
]
model = tf.keras.Sequential([tf.keras.Input((16, 16, 1)), *encoder, *decoder])
model.compile(loss="mse")
model.fit(x, x, epochs=1, verbose=0)
converter = TFLiteConverter.from_keras_model(model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: [[i[None]] for i in x[:40]]
converter.inference_input_type = tf.int8
converter.inference_output_type = tf.int8
tflite_model = converter.convert()
