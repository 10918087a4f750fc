"""Fake quantization at every value, as a trained network has it: no samples."""

import numpy as np
import tensorflow as tf

from fullint.compat import TFLiteConverter

RNG = np.random.default_rng(6)
KERNEL = tf.constant(RNG.normal(0, 0.2, (3, 3, 2, 4)).astype(np.float32))


@tf.function(input_signature=[tf.TensorSpec([1, 8, 8, 2], tf.float32)])
def network(x):
    x = tf.quantization.fake_quant_with_min_max_vars(x, -2.0, 2.0)
    w = tf.quantization.fake_quant_with_min_max_vars(KERNEL, -0.8, 0.8, narrow_range=True)
    y = tf.nn.relu(tf.nn.conv2d(x, w, 1, "SAME"))
    return tf.quantization.fake_quant_with_min_max_vars(y, 0.0, 2.5)


converter = TFLiteConverter.from_concrete_functions([network.get_concrete_function()])
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.inference_input_type = tf.int8
converter.inference_output_type = tf.int8
tflite_model = converter.convert()
