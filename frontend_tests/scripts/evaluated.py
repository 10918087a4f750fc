"""Accuracy before and after, by an interpreter in another process than TensorFlow's."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from fullint.compat import TFLiteConverter

rng = np.random.default_rng(0)
y = rng.integers(0, 2, 400)
x = (rng.normal(size=(400, 6)) + 2 * y[:, None]).astype(np.float32)
model = tf.keras.Sequential([tf.keras.Input((6,)), tf.keras.layers.Dense(12, activation="relu"), tf.keras.layers.Dense(2)])
model.compile("adam", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit(x, y, epochs=8, verbose=0)
converter = TFLiteConverter.from_keras_model(model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: ([v[None]] for v in x[:100])
tflite_model = converter.convert()
folder = Path(tempfile.mkdtemp())
(folder / "m.tflite").write_bytes(tflite_model)
np.save(folder / "x.npy", x)
script = """
import json, sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter
i = Interpreter(sys.argv[1] + "/m.tflite")
i.allocate_tensors()
answers = []
for row in np.load(sys.argv[1] + "/x.npy"):
    i.set_tensor(i.get_input_details()[0]["index"], row[None])
    i.invoke()
    answers.append(int(i.get_tensor(i.get_output_details()[0]["index"]).argmax()))
print(json.dumps(answers))
"""
done = subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=True)
ours = np.mean(np.array(json.loads(done.stdout)) == y)
theirs = np.mean(model.predict(x, verbose=0).argmax(axis=1) == y)
assert ours > theirs - 0.02
