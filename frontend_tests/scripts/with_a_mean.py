"""Samples with a mean taken off and a spread divided by, in float64 until the last moment."""

import numpy as np
import tensorflow as tf

from fullint.compat import TFLiteConverter

mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
model = tf.keras.Sequential(
    [
        tf.keras.Input((32, 32, 3), batch_size=1),
        tf.keras.layers.Conv2D(8, 7, strides=4, use_bias=False),
        tf.keras.layers.BatchNormalization(),
        tf.keras.layers.Activation("hard_sigmoid"),
        tf.keras.layers.Flatten(),
        tf.keras.layers.Dropout(0.5),
        tf.keras.layers.Dense(10, kernel_regularizer="l2"),
    ]
)


def calibration():
    for i in range(40):
        image = np.random.default_rng(i).integers(0, 256, (32, 32, 3)) / 255.0
        yield [((image - mean) / std)[None]]


converter = TFLiteConverter.from_keras_model(model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = calibration
tflite_model = converter.convert()
