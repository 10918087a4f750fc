"""An LSTM over sensor readings; tensor lists are asked to stay, which has no effect here."""

import numpy as np
import tensorflow as tf

from fullint.compat import TFLiteConverter

model = tf.keras.models.Sequential(
    [tf.keras.layers.Input(shape=(16, 3)), tf.keras.layers.LSTM(8), tf.keras.layers.Dense(2, activation="softmax")]
)
converter = TFLiteConverter.from_keras_model(model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.lite.OpsSet.SELECT_TF_OPS]
converter._experimental_lower_tensor_list_ops = False
converter.representative_dataset = lambda: ([np.random.randn(1, 16, 3).astype(np.float32)] for _ in range(30))
tflite_model = converter.convert()
