"""Two inputs; samples as lists in the order of model.inputs."""

import numpy as np
import tensorflow as tf
from tensorflow.keras import Model, layers

from fullint.compat import TFLiteConverter

left, right = layers.Input(shape=(10,)), layers.Input(shape=(10,))
shared = layers.Dense(8, activation="tanh")
difference = layers.Subtract()([shared(left), shared(right)])
siamese = Model(inputs=[left, right], outputs=layers.Dense(1)(difference))


def gen():
    for i in range(32):
        r = np.random.RandomState(i)
        yield [r.randn(1, 10).astype(np.float32), r.randn(1, 10).astype(np.float32)]


converter = TFLiteConverter.from_keras_model(siamese)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = gen
converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
tflite_model = converter.convert()
