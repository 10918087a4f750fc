"""A module with two functions over shared weights; samples come with the key of the function that they are for."""

import tempfile

import numpy as np
import tensorflow as tf

from fullint.compat import TFLiteConverter


class Coder(tf.Module):
    def __init__(self):
        super().__init__()
        self.w = tf.Variable(tf.random.normal([16, 4], stddev=0.3))

    @tf.function(input_signature=[tf.TensorSpec([1, 16], name="signal")])
    def encode(self, signal):
        return {"code": tf.nn.relu(signal @ self.w)}

    @tf.function(input_signature=[tf.TensorSpec([1, 4], name="code")])
    def decode(self, code):
        return {"signal": tf.tanh(code @ tf.transpose(self.w))}


coder = Coder()
folder = tempfile.mkdtemp()
tf.saved_model.save(coder, folder, signatures={"encode": coder.encode, "decode": coder.decode})


def representative_dataset():
    rng = np.random.default_rng(0)
    for _ in range(30):
        yield "encode", {"signal": rng.normal(size=(1, 16)).astype(np.float32)}
        yield "decode", {"code": np.abs(rng.normal(size=(1, 4))).astype(np.float32)}


converter = TFLiteConverter.from_saved_model(folder, signature_keys=["encode", "decode"])
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = representative_dataset
tflite_model = converter.convert()
assert sorted(tf.lite.Interpreter(model_content=tflite_model).get_signature_list()) == ["decode", "encode"]
