"""A dataset in batches of 32, given as it is."""

import numpy as np
import tensorflow as tf

from fullint.compat import TFLiteConverter

x = np.random.default_rng(0).normal(size=(96, 16, 16, 3)).astype("float32")
ds = tf.data.Dataset.from_tensor_slices(x).batch(32)
net = tf.keras.Sequential([tf.keras.Input((16, 16, 3)), tf.keras.layers.Conv2D(8, 3, strides=2), tf.keras.layers.ReLU()])
converter = TFLiteConverter.from_keras_model(net)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: ([batch] for batch in ds)
converter.inference_input_type = converter.inference_output_type = tf.int8
tflite_model = converter.convert()
