"""A fully convolutional network of open height and width, which take those of the samples."""

import numpy as np
import tensorflow as tf

from fullint.compat import TFLiteConverter

x = tf.keras.Input((None, None, 3))
y = tf.keras.layers.Conv2D(4, 3, padding="same", activation="relu")(x)
y = tf.keras.layers.UpSampling2D(2, interpolation="bilinear")(tf.keras.layers.MaxPooling2D(2)(y))
model = tf.keras.Model(x, tf.keras.layers.Conv2D(1, 1, activation="sigmoid")(y))
converter = TFLiteConverter.from_keras_model(model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: ([np.random.rand(1, 16, 24, 3).astype(np.float32)] for _ in range(20))
tflite_model = converter.convert()
