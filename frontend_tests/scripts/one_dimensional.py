"""Conv1D on a time series, samples from windows of one long signal."""

import numpy as np
import tensorflow as tf

from fullint.compat import TFLiteConverter

signal = np.cumsum(np.random.default_rng(2).normal(size=2000)).astype(np.float32)
signal = (signal - signal.mean()) / signal.std()
windows = np.lib.stride_tricks.sliding_window_view(signal, 64)[::20][..., None]
model = tf.keras.Sequential(
    [
        tf.keras.Input((64, 1)),
        tf.keras.layers.Conv1D(8, 5, strides=2, activation="relu"),
        tf.keras.layers.MaxPooling1D(2),
        tf.keras.layers.Conv1D(8, 3, dilation_rate=2, padding="causal", activation="tanh"),
        tf.keras.layers.GlobalAveragePooling1D(),
        tf.keras.layers.Dense(1),
    ]
)
converter = TFLiteConverter.from_keras_model(model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: ([w[np.newaxis]] for w in windows)
tflite_model = converter.convert()
