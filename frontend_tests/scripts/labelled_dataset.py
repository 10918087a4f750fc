"""Pictures with their labels, mapped and prefetched; the labels are dropped in the generator."""

import numpy as np
import tensorflow as tf

from fullint.compat import TFLiteConverter

rng = np.random.default_rng(1)
AUTOTUNE = tf.data.AUTOTUNE
train_ds = tf.data.Dataset.from_tensor_slices((rng.integers(0, 256, (64, 24, 24, 3), np.uint8), rng.integers(0, 4, 64)))
train_ds = train_ds.map(lambda image, label: (tf.cast(image, tf.float32) / 255.0, label)).batch(8).prefetch(AUTOTUNE)
inputs = tf.keras.Input(shape=(24, 24, 3))
h = tf.keras.layers.Rescaling(2.0, offset=-1)(inputs)
h = tf.keras.layers.SeparableConv2D(16, 3, activation="relu")(h)
h = tf.keras.layers.GlobalAveragePooling2D()(h)
model = tf.keras.Model(inputs, tf.keras.layers.Dense(4, activation="softmax")(h))


def representative_dataset():
    for images, _ in train_ds.take(6):
        for image in images:
            yield [tf.expand_dims(image, 0)]


converter = TFLiteConverter.from_keras_model(model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = representative_dataset
tflite_model = converter.convert()
