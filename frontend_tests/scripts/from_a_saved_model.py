"""Saved first, converted from the folder, the result written with pathlib."""

import pathlib
import tempfile

import numpy as np
import tensorflow as tf

from fullint.compat import TFLiteConverter

model = tf.keras.Sequential([tf.keras.Input((32,)), tf.keras.layers.Dense(16, "relu"), tf.keras.layers.Dense(1, "sigmoid")])
folder = pathlib.Path(tempfile.mkdtemp())
model.export(str(folder / "saved"), verbose=False)
converter = TFLiteConverter.from_saved_model(str(folder / "saved"))
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: ([np.random.default_rng(i).normal(size=(1, 32)).astype(np.float32)] for i in range(50))
converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
converter.inference_input_type = tf.int8
converter.inference_output_type = tf.int8
tflite_model = converter.convert()
(folder / "model_quant.tflite").write_bytes(tflite_model)
