"""A bidirectional GRU with an embedding in front."""

import numpy as np
import tensorflow as tf

from fullint.compat import TFLiteConverter

words = tf.keras.Input((12,), dtype="int32", name="words")
h = tf.keras.layers.Embedding(50, 8)(words)
h = tf.keras.layers.Bidirectional(tf.keras.layers.GRU(6))(h)
model = tf.keras.Model(words, tf.keras.layers.Dense(3)(h))
converter = TFLiteConverter.from_keras_model(model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: ([np.random.randint(0, 50, (1, 12)).astype(np.int32)] for _ in range(40))
tflite_model = converter.convert()
