"""fullint's own attributes beside TensorFlow's: the least SQNR, a look at the report."""

import numpy as np
import tensorflow as tf

from fullint.compat import TFLiteConverter

model = tf.keras.Sequential(
    [tf.keras.Input((40,), name="reading"), tf.keras.layers.Dense(20, "relu"), tf.keras.layers.Dense(3, name="state")]
)
converter = TFLiteConverter.from_keras_model(model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: ({"reading": np.random.randn(1, 40).astype(np.float32)} for _ in range(60))
converter.min_sqnr = 20.0
converter.num_samples = 50
tflite_model = converter.convert()
assert converter.report.certificate.sqnr_db > 20
assert [i.name for i in converter.report.inputs] == ["reading"] and [o.name for o in converter.report.outputs] == ["state"]
