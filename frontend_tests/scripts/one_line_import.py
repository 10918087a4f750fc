"""The script says tf.lite.TFLiteConverter; only that name is another one."""

import numpy as np
import tensorflow as tf

import fullint.compat

tf.lite.TFLiteConverter, given = fullint.compat.TFLiteConverter, tf.lite.TFLiteConverter
try:
    model = tf.keras.Sequential([tf.keras.Input((30,)), tf.keras.layers.Dense(10, activation="swish"), tf.keras.layers.Dense(4)])
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([np.random.randn(1, 30).astype(np.float32)] for _ in range(40))
    tflite_model = converter.convert()
finally:
    tf.lite.TFLiteConverter = given
