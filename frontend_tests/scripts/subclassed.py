"""A subclassed model, called once before."""

import numpy as np
import tensorflow as tf

from fullint.compat import TFLiteConverter


class Net(tf.keras.Model):
    def __init__(self):
        super().__init__()
        self.conv = tf.keras.layers.Conv2D(8, 3, activation="relu")
        self.pool = tf.keras.layers.GlobalMaxPooling2D()
        self.out = tf.keras.layers.Dense(5)

    def call(self, x, training=False):
        return self.out(self.pool(self.conv(x)))


net = Net()
calibration = np.random.rand(32, 14, 14, 3).astype(np.float32)
net(calibration[:1])
converter = TFLiteConverter.from_keras_model(net)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: ([x[None, ...]] for x in calibration)
converter.inference_input_type = tf.int8
converter.inference_output_type = tf.int8
tflite_model = converter.convert()
