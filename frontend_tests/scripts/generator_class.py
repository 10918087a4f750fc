"""Samples by an object that can be called."""

import numpy as np
import tensorflow as tf

from fullint.compat import TFLiteConverter


class Calibration:
    """Reads pictures, so to say, and scales them."""

    def __init__(self, size, count=32):
        self.size, self.count = size, count

    def __call__(self):
        for index in range(self.count):
            picture = np.random.RandomState(index).randint(0, 255, (*self.size, 3), dtype=np.uint8)
            yield [np.expand_dims(picture / 255.0, axis=0).astype(np.float32)]


model = tf.keras.Sequential(
    [
        tf.keras.Input((18, 24, 3)),
        tf.keras.layers.ZeroPadding2D(1),
        tf.keras.layers.DepthwiseConv2D(3, depth_multiplier=2),
        tf.keras.layers.ReLU(6.0),
        tf.keras.layers.AveragePooling2D(2),
    ]
)
converter = TFLiteConverter.from_keras_model(model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = Calibration((18, 24))
converter.inference_input_type = tf.int8
converter.inference_output_type = tf.int8
tflite_model = converter.convert()
