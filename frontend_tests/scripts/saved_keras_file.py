"""Trained elsewhere, loaded from a .keras file."""

import os
import tempfile

import numpy as np
import tensorflow as tf

from fullint.compat import TFLiteConverter

path = os.path.join(tempfile.mkdtemp(), "model.keras")
original = tf.keras.Sequential(
    [tf.keras.Input((10, 10, 1)), tf.keras.layers.Conv2D(3, 3, activation="elu"), tf.keras.layers.Flatten()]
)
original.save(path)
model = tf.keras.models.load_model(path)
converter = TFLiteConverter.from_keras_model(model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: ([np.random.uniform(-1, 1, (1, 10, 10, 1)).astype(np.float32)] for _ in range(25))
tflite_model = converter.convert()
