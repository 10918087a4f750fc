"""A tf.Module and one of its concrete functions."""

import numpy as np
import tensorflow as tf

from fullint.compat import TFLiteConverter


class Filter(tf.Module):
    def __init__(self):
        super().__init__()
        self.kernel = tf.Variable(tf.random.stateless_normal([5, 5, 1, 4], seed=[1, 2]) * 0.2)

    @tf.function
    def apply(self, image):
        return tf.nn.relu(tf.nn.conv2d(image, self.kernel, strides=1, padding="SAME"))


module = Filter()
concrete = module.apply.get_concrete_function(tf.TensorSpec([1, 20, 20, 1], tf.float32, name="image"))
converter = TFLiteConverter.from_concrete_functions([concrete], module)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: ([np.random.default_rng(i).random((1, 20, 20, 1), np.float32)] for i in range(30))
converter.inference_input_type = tf.int8
converter.inference_output_type = tf.int8
tflite_model = converter.convert()
