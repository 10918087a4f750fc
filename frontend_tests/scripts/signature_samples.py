"""Samples with the key of the signature, as TensorFlow takes them for SavedModels."""

import tempfile

import numpy as np
import tensorflow as tf

from fullint.compat import TFLiteConverter


class Model(tf.Module):
    @tf.function
    def scale(self, values, factors):
        return {"product": values * factors, "total": tf.reduce_sum(values, axis=-1)}


module, folder = Model(), tempfile.mkdtemp()
specs = [tf.TensorSpec([1, 9], tf.float32, name=n) for n in ("values", "factors")]
tf.saved_model.save(module, folder, signatures={"scale": module.scale.get_concrete_function(*specs)})
converter = TFLiteConverter.from_saved_model(folder, signature_keys=["scale"])
converter.optimizations = [tf.lite.Optimize.DEFAULT]


def representative_dataset():
    rng = np.random.default_rng(8)
    for _ in range(30):
        yield "scale", {n: rng.normal(size=(1, 9)).astype(np.float32) for n in ("values", "factors")}


converter.representative_dataset = representative_dataset
tflite_model = converter.convert()
