"""Keras networks of the tests; `python keras_networks.py FOLDER` writes some as files."""

import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops


def case_like() -> keras.Model:
    """Encoder and decoder as in the case.

    Convolutions without bias and an addition of one shared constant of zeros, transposed convolutions, a strided slice.
    """
    keras.utils.set_random_seed(0)
    zeros = {n: np.zeros(n, np.float32) for n in (8, 16)}

    def conv(x, filters: int, stride: int = 1):
        x = layers.Conv2D(filters, 3, stride, "same", use_bias=False)(x)
        return ops.relu(ops.add(x, zeros[filters]))

    image = keras.Input((33, 33, 4), name="image")
    x = image[:, :32, :32, :3]
    first = conv(x, 8)
    x = conv(conv(conv(first, 16, 2), 16), 16, 2)
    for filters in (16, 8):
        x = layers.Conv2DTranspose(filters, 3, 2, "same", use_bias=False)(x)
        x = ops.relu(ops.add(x, zeros[filters]))
        x = conv(x, filters)
    x = ops.add(x, first)
    return keras.Model(image, layers.Conv2D(3, 3, padding="same", name="picture")(x))


def selected_like() -> tf.Module:
    """PReLU written as GREATER, MUL, SELECT on each channel."""
    rng = np.random.default_rng(0)

    class Net(tf.Module):
        def __init__(self) -> None:
            self.weights = []
            channels = 3
            for filters in (8, 8, 16, 16):
                self.weights.append(tf.Variable((rng.normal(size=(3, 3, channels, filters)) * 0.25).astype(np.float32)))
                self.weights.append(tf.Variable(rng.uniform(0.1, 0.4, filters).astype(np.float32)))
                channels = filters

        @tf.function(input_signature=[tf.TensorSpec([1, 24, 24, 3], name="face")])
        def __call__(self, face):
            x = face
            for w, slope in zip(self.weights[::2], self.weights[1::2], strict=True):
                x = tf.nn.conv2d(x, w, 1, "SAME")
                x = tf.where(tf.greater(x, 0.0), x, x * slope)
            return {"liveness": tf.reduce_mean(x, [1, 2])}

    return Net()


def silentface_like() -> bytes:
    """The same as a `.tflite` by a converter that marks its constants as StableHLO's, as litert-torch does.

    TensorFlow's quantizer then finds no constant weights, and leaves every convolution in float.
    """
    from fullint.model.ir import Buffer
    from fullint.model.tflite import write_model
    from fullint.ops.builder import Builder

    g = Builder(seed=3)
    x = g.input(1, 24, 24, 3, name="face")
    for filters in (8, 8, 16, 16):
        x = g.conv(x, filters)
        sloped = g.op("MUL", x, g.const(np.full((1, 1, 1, filters), 0.25, np.float32)))
        x = g.op("SELECT", g.op("GREATER", x, g.const(np.float32(0.0))), x, sloped)
    g.output(g.op("MEAN", x, g.const(np.int32([1, 2])), shape=(1, 16)))
    model = g.model("serving_default")
    model.metadata.append(("keep_stablehlo_constant", Buffer.of(np.frombuffer(b"true", np.uint8))))
    return write_model(model)


def layer(name: str) -> keras.Model:
    """One layer between two dense ones."""
    keras.utils.set_random_seed(0)
    x = keras.Input((12, 8), name="sequence")
    y = {
        "LSTM": lambda: layers.LSTM(16, return_sequences=True)(x),
        "GRU": lambda: layers.GRU(16)(x),
        "Bidirectional": lambda: layers.Bidirectional(layers.LSTM(8))(x),
        "MultiHeadAttention": lambda: layers.MultiHeadAttention(2, 8)(x, x),
        "LayerNormalization": lambda: layers.LayerNormalization()(layers.Dense(8)(x)),
        "GroupNormalization": lambda: layers.GroupNormalization(4)(layers.Dense(8)(x)),
    }[name]()
    return keras.Model(x, layers.Dense(4, name="result")(y))


def two_of_each() -> keras.Model:
    """Inputs and outputs whose order is not that of their names."""
    keras.utils.set_random_seed(0)
    a, b = keras.Input((16, 16, 3), name="zeta"), keras.Input((16, 16, 3), name="alpha")
    x = layers.Conv2D(8, 3, activation="relu", bias_initializer="ones")(layers.concatenate([a, b]))
    pooled = layers.GlobalAveragePooling2D()(x)
    scores = layers.Dense(4, name="scores")(pooled)
    return keras.Model([a, b], [scores, layers.Dense(2, activation="softmax", name="odds")(pooled)])


def samples(model: keras.Model, count: int = 40, seed: int = 1) -> list[list[np.ndarray]]:
    """Normal random numbers for each input."""
    rng = np.random.default_rng(seed)
    shapes = [(1, *[224 if n is None else n for n in i.shape[1:]]) for i in model.inputs]
    return [[rng.normal(size=s).astype(np.float32) for s in shapes] for _ in range(count)]


def main(folder: Path) -> None:
    model = two_of_each()
    model.save(folder / "two.keras")
    model.save(folder / "two.h5")
    model.export(folder / "two_saved", verbose=False)
    values = samples(model)
    named = {i.name: np.concatenate([s[k] for s in values]) for k, i in enumerate(model.inputs)}
    np.savez(folder / "two.npz", **named)
    expected = model([named[i.name][:8] for i in model.inputs])
    np.savez(folder / "two_expected.npz", scores=expected[0], odds=expected[1])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
