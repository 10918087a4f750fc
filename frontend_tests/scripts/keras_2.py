"""tf_keras, as TF_USE_LEGACY_KERAS has it."""

import numpy as np
import tensorflow as tf
import tf_keras as keras

from fullint.compat import TFLiteConverter

model = keras.Sequential(
    [keras.Input((12, 12, 1)), keras.layers.DepthwiseConv2D(3), keras.layers.Flatten(), keras.layers.Dense(4)]
)
converter = TFLiteConverter.from_keras_model(model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: ([np.random.rand(1, 12, 12, 1).astype(np.float32)] for _ in range(25))
tflite_model = converter.convert()
