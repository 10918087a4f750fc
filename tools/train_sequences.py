"""Trains small transformers, recurrent networks, and networks whose channels differ a thousandfold, for tests/networks.

    pip install tensorflow scikit-learn && python tools/train_sequences.py [NAME ...]

Transformers as converters write them: one with LayerNormalization in front of its branches, on patches, and one with it behind
them, on rows of which some are missing, with a mask as its second input. Recurrent layers that converters do not fuse: the loops
of a GRU and an LSTM, and both unrolled. Last, convolutional networks whose channels were given other scales where ReLUs let
them pass: the function is the same, but one scale for all of them is too few.

Data: as in train_networks.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from digits import TEST, shortened, shuffled
from keras import layers, ops
from train_networks import HOME

WIDTH, HEADS = 32, 4
MASKED = -1e9


class Place(layers.Layer):
    """Adds what is learnt about each place of a sequence; with `token`, puts one that is learnt in front."""

    def __init__(self, token: bool = False) -> None:
        super().__init__()
        self.token = token

    def build(self, shape: tuple[int, ...]) -> None:
        self.first = self.add_weight(shape=(1, 1, shape[-1]), initializer="random_normal") if self.token else None
        self.places = self.add_weight(shape=(1, shape[1] + self.token, shape[-1]), initializer="random_normal")

    def call(self, x: tf.Tensor) -> tf.Tensor:
        if self.token:
            x = ops.concatenate([ops.repeat(self.first, ops.shape(x)[0], 0), x], 1)
        return x + self.places


def heads(x: tf.Tensor) -> tf.Tensor:
    """[batch, places, width] -> [batch, heads, places, width of one]."""
    return layers.Permute((2, 1, 3))(layers.Reshape((x.shape[1], HEADS, WIDTH // HEADS))(x))


def attended(x: tf.Tensor, hidden: tf.Tensor | None = None) -> tf.Tensor:
    """Attention of several heads. `hidden` [batch, 1, 1, places] is added to the scores."""
    query, key, value = (heads(layers.Dense(WIDTH)(x)) for _ in range(3))
    scores = ops.matmul(query, layers.Permute((1, 3, 2))(key)) * (WIDTH / HEADS) ** -0.5
    weights = ops.softmax(scores if hidden is None else scores + hidden)
    return layers.Dense(WIDTH)(layers.Reshape((x.shape[1], WIDTH))(layers.Permute((2, 1, 3))(ops.matmul(weights, value))))


def tanh_gelu(x: tf.Tensor) -> tf.Tensor:
    """As most encoders of text write it."""
    return 0.5 * x * (1 + ops.tanh(0.7978845608 * (x + 0.044715 * ops.power(x, 3.0))))


def vit(image: tf.Tensor) -> tf.Tensor:
    """A vision transformer: patches of 2 by 2, a class token, normalization in front of each branch."""
    x = layers.Reshape((16, WIDTH))(layers.Conv2D(WIDTH, 2, 2)(image))
    x = Place(token=True)(x)
    for _ in range(3):
        x = x + attended(layers.LayerNormalization(epsilon=1e-6)(x))
        y = layers.Dense(2 * WIDTH, activation="gelu")(layers.LayerNormalization(epsilon=1e-6)(x))
        x = x + layers.Dense(WIDTH)(y)
    return layers.Dense(10)(layers.LayerNormalization(epsilon=1e-6)(x)[:, 0])


def masked(rows: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """An encoder as for text: normalization behind each branch, and a mask (1: a row, 0: padding) that hides the rest."""
    hidden = (1 - layers.Reshape((1, 1, 8))(mask)) * MASKED
    x = layers.LayerNormalization(epsilon=1e-12)(Place()(layers.Dense(WIDTH)(rows)))
    for _ in range(2):
        x = layers.LayerNormalization(epsilon=1e-12)(x + attended(x, hidden))
        y = layers.Dense(WIDTH)(tanh_gelu(layers.Dense(2 * WIDTH)(x)))
        x = layers.LayerNormalization(epsilon=1e-12)(x + y)
    shown = layers.Reshape((8, 1))(mask)
    return layers.Dense(10)(ops.sum(x * shown, 1) / ops.sum(shown, 1))


def gru_loop(image: tf.Tensor) -> tf.Tensor:
    """A GRU, which becomes a WHILE."""
    return layers.Dense(10)(layers.GRU(32)(layers.Reshape((8, 8))(image)))


def gru_unrolled(image: tf.Tensor) -> tf.Tensor:
    """A GRU, its steps one after the other."""
    return layers.Dense(10)(layers.GRU(32, unroll=True)(layers.Reshape((8, 8))(image)))


def lstm_unrolled(image: tf.Tensor) -> tf.Tensor:
    """Convolutions and an LSTM, its steps one after the other, as in detectors of speech."""
    x = layers.Conv1D(16, 3, padding="same", activation="relu")(layers.Reshape((8, 8))(image))
    return layers.Dense(10)(ops.relu(layers.LSTM(32, unroll=True)(x)))


def lstm_loop(image: tf.Tensor) -> tf.Tensor:
    """An LSTM that no converter fuses, since its gates are hard sigmoids: a WHILE."""
    return layers.Dense(10)(layers.LSTM(40, recurrent_activation="hard_sigmoid")(layers.Reshape((8, 8))(image)))


def spread(image: tf.Tensor, most: float | None = None) -> tf.Tensor:
    """Depthwise separable convolutions behind ReLU, their channels scaled by `respread`."""
    x = layers.ReLU(most)(layers.BatchNormalization()(layers.Conv2D(16, 3, padding="same", use_bias=False)(image)))
    for channels, stride in ((24, 2), (32, 1), (32, 1)):
        x = layers.ReLU(most)(layers.BatchNormalization()(layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False)(x)))
        x = layers.ReLU(most)(layers.BatchNormalization()(layers.Conv2D(channels, 1, use_bias=False)(x)))
    return layers.Dense(10)(layers.GlobalAveragePooling2D()(x))


def spread_clipped(image: tf.Tensor) -> tf.Tensor:
    """The same behind RELU6, its channels made smaller only."""
    return spread(image, 6.0)


def spread_residual(image: tf.Tensor) -> tf.Tensor:
    """Inverted residuals without an activation at their ends, as in MobileNetV2, their channels scaled by `respread`."""
    x = layers.BatchNormalization()(layers.Conv2D(16, 3, padding="same", use_bias=False)(image))
    for stride in (2, 1, 1):
        y = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(32, 1, use_bias=False)(x)))
        y = layers.ReLU()(layers.BatchNormalization()(layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False)(y)))
        y = layers.BatchNormalization()(layers.Conv2D(16, 1, use_bias=False)(y))
        x = y if stride == 2 else layers.Add()([x, y])
    return layers.Dense(10)(layers.GlobalAveragePooling2D()(x))


def respread(model: keras.Model, low: float, high: float) -> None:
    """Give each channel another scale, log-uniform from `low` to `high`, and take it off again where it is read.

    The factor goes to the normalization that makes the channel, and its inverse to the weights of the layers behind; a ReLU, a
    mean and a sum let it pass, and what a sum adds up gets the same. So the function stays (but for what RELU6 no longer clips).
    """
    random = np.random.default_rng(1)
    passing = layers.ReLU | layers.Add | layers.GlobalAveragePooling2D
    done: set[layers.Layer] = set()
    for normal in model.layers:
        if not isinstance(normal, layers.BatchNormalization) or normal in done:
            continue
        stream, makers, readers = [normal], set(), set()
        for layer in stream:  # grows
            if isinstance(layer, layers.BatchNormalization):
                makers.add(layer)
            behind = [node.operation for node in layer._outbound_nodes]
            in_front = [t._keras_history.operation for t in layer.input] if isinstance(layer, layers.Add) else []
            stream += [one for one in in_front + [b for b in behind if isinstance(b, passing)] if one not in stream]
            readers |= {one for one in behind if not isinstance(one, passing)}
        factors = np.exp(random.uniform(np.log(low), np.log(high), normal.gamma.shape))
        for maker in makers:
            maker.gamma.assign(maker.gamma * factors)
            maker.beta.assign(maker.beta * factors)
        for reader in readers:
            reader.kernel.assign(reader.kernel / factors.reshape(-1, 1))  # [.., channels, multiplier or outputs]
        done |= makers


Made = Callable[..., tf.Tensor]
NETWORKS: dict[str, Made] = {
    f.__name__: f
    for f in (vit, masked, gru_loop, gru_unrolled, lstm_unrolled, lstm_loop, spread, spread_clipped, spread_residual)
}
SCALED = {"spread": (0.03, 30.0), "spread_clipped": (0.001, 1.0), "spread_residual": (0.03, 30.0)}
EPOCHS = {"vit": 60, "lstm_loop": 80, "lstm_unrolled": 60}


def given(name: str, batch: int | None) -> list[keras.KerasTensor]:
    """The network's inputs."""
    if name == "masked":
        return [keras.Input((8, 8), batch, name="rows"), keras.Input((8,), batch, name="mask")]
    return [keras.Input((8, 8, 1), batch, name="image")]


def data(name: str) -> tuple[tuple[list[np.ndarray], np.ndarray], tuple[list[np.ndarray], np.ndarray]]:
    """((inputs, labels) to train on, the same to test on)."""
    images, labels = shuffled()
    parts = (images[:-TEST], labels[:-TEST]), (images[-TEST:], labels[-TEST:])
    if name != "masked":
        return tuple(([x], y) for x, y in parts)
    (x, y), test = parts
    drawn = [shortened(x, seed) for seed in range(1, 9)]  # each image with several choices of rows
    train = [np.concatenate(part) for part in zip(*drawn, strict=True)], np.tile(y, len(drawn))
    return train, (list(shortened(test[0], 0)), test[1])


def export(name: str, model: keras.Model) -> bytes:
    """The float network as a `.tflite`, for one picture at a time."""
    one = given(name, 1)
    return tf.lite.TFLiteConverter.from_keras_model(keras.Model(one, model(one))).convert()


def main(names: list[str]) -> None:
    """Train and write them."""
    HOME.mkdir(exist_ok=True)
    for name in names or NETWORKS:
        keras.utils.set_random_seed(1)
        (train, labels), (test, expected) = data(name)
        inputs = given(name, None)
        model = keras.Model(inputs, layers.Softmax()(NETWORKS[name](*inputs)))
        epochs = EPOCHS.get(name, 40)
        steps = epochs * -(-len(labels) // 64)
        rate = keras.optimizers.schedules.CosineDecay(0.0, steps, warmup_target=3e-3, warmup_steps=steps // 10)
        model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(train, labels, 64, epochs, verbose=0)
        if name in SCALED:
            respread(model, *SCALED[name])
        _, accuracy = model.evaluate(test, expected, verbose=0)
        written = export(name, model)
        (HOME / f"{name}.tflite").write_bytes(written)
        print(f"{name}: accuracy {accuracy:.4f}, {len(written)} bytes", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
