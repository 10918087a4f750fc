"""Two inputs; samples as dicts by name."""

import numpy as np
import tensorflow as tf

from fullint.compat import TFLiteConverter

image = tf.keras.Input((12, 12, 3), name="image")
facts = tf.keras.Input((5,), name="facts")
h = tf.keras.layers.Flatten()(tf.keras.layers.Conv2D(4, 3, activation="relu")(image))
h = tf.keras.layers.Concatenate()([h, tf.keras.layers.Dense(8, activation="relu")(facts)])
model = tf.keras.Model([image, facts], tf.keras.layers.Dense(3, name="scores")(h))
rng = np.random.default_rng(0)


def samples():
    for _ in range(40):
        yield {"facts": rng.normal(size=(1, 5)).astype(np.float32), "image": rng.random((1, 12, 12, 3), np.float32)}


converter = TFLiteConverter.from_keras_model(model)
converter.optimizations = {tf.lite.Optimize.DEFAULT}
converter.representative_dataset = samples
tflite_model = converter.convert()
