"""A small transformer block."""

import numpy as np
import tensorflow as tf

from fullint.compat import TFLiteConverter

tokens = tf.keras.Input((10, 16))
a = tf.keras.layers.MultiHeadAttention(num_heads=2, key_dim=8)(tokens, tokens)
h = tf.keras.layers.LayerNormalization()(tokens + a)
h = h + tf.keras.layers.Dense(16)(tf.keras.layers.Dense(32, activation="gelu")(h))
model = tf.keras.Model(tokens, tf.keras.layers.Dense(3)(tf.keras.layers.GlobalAveragePooling1D()(h)))
converter = TFLiteConverter.from_keras_model(model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: ([np.random.default_rng(i).normal(size=(1, 10, 16)).astype("f4")] for i in range(40))
tflite_model = converter.convert()
