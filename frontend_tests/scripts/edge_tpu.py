"""As for the Edge TPU compiler: uint8 at both ends, operators of other kinds refused."""

import tensorflow as tf

from fullint.compat import TFLiteConverter

base = tf.keras.applications.MobileNet(input_shape=(32, 32, 3), alpha=0.25, include_top=False, weights=None)
model = tf.keras.Sequential([base, tf.keras.layers.GlobalAveragePooling2D(), tf.keras.layers.Dense(5, activation="softmax")])


def representative_data_gen():
    for i in range(24):
        image = tf.random.stateless_uniform([1, 32, 32, 3], seed=[i, 0], minval=-1, maxval=1)
        yield [image]


converter = TFLiteConverter.from_keras_model(model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = representative_data_gen
converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
converter.target_spec.supported_types = [tf.int8]
converter.inference_input_type = tf.uint8
converter.inference_output_type = tf.uint8
converter.min_sqnr = 0
tflite_model = converter.convert()
