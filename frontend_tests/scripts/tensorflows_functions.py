"""A network of tf functions, with resizing and normalisation inside the graph."""

import numpy as np
import tensorflow as tf

from fullint.compat import TFLiteConverter

WEIGHTS = tf.constant(np.random.default_rng(5).normal(0, 0.2, (3, 3, 3, 6)).astype(np.float32))


@tf.function(input_signature=[tf.TensorSpec([1, 20, 20, 3], tf.float32)])
def network(image):
    image = tf.image.resize(image, [16, 16])
    image = (image - 0.45) / 0.22
    features = tf.nn.relu6(tf.nn.conv2d(image, WEIGHTS, 2, "SAME"))
    return tf.math.l2_normalize(tf.reduce_mean(features, axis=[1, 2]), axis=-1)


converter = TFLiteConverter.from_concrete_functions([network.get_concrete_function()])
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: ([tf.random.uniform([1, 20, 20, 3])] for _ in range(30))
tflite_model = converter.convert()
