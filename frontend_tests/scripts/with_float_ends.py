"""Nothing said of inputs and outputs: they stay float32, all between is integer."""

import numpy as np
import tensorflow as tf

from fullint.compat import TFLiteConverter

model = tf.keras.Sequential()
model.add(tf.keras.layers.Input((8, 8, 2)))
model.add(tf.keras.layers.Conv2D(4, 2, padding="valid"))
model.add(tf.keras.layers.BatchNormalization())
model.add(tf.keras.layers.LeakyReLU(negative_slope=0.2))
model.add(tf.keras.layers.Flatten())
model.add(tf.keras.layers.Dense(6))
conv = TFLiteConverter.from_keras_model(model)
conv.optimizations = [tf.lite.Optimize.OPTIMIZE_FOR_SIZE]


def data():
    for _ in range(30):
        yield [np.random.normal(size=(1, 8, 8, 2)).astype(np.float32)]


conv.representative_dataset = tf.lite.RepresentativeDataset(data)
tflite_model = conv.convert()
