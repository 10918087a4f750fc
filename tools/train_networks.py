"""Trains the small networks that the tests keep accuracy floors for, and writes tests/networks/*.tflite.

    pip install tensorflow scikit-learn && python tools/train_networks.py

Each is of a kind that quantizes in its own way: depthwise convolutions behind RELU6 with batch normalization folded in,
residual sums, attention with layer normalization and GELU, and an LSTM. Data: the handwritten digits of scikit-learn, parted
as tools/train_demo.py parts them, so that the demo's calibration and test files serve here, too.
"""

from __future__ import annotations

from pathlib import Path

import keras
import tensorflow as tf
from digits import TEST, shuffled
from keras import layers

HOME = Path(__file__).parents[1] / "tests" / "networks"
EPOCHS = 40


def mobile(x):
    """Depthwise separable convolutions, as in MobileNet."""
    for channels, stride in ((12, 1), (24, 2), (24, 1)):
        y = layers.Conv2D(channels, 3 if channels == 12 else 1, padding="same", use_bias=False)(x)
        y = layers.ReLU(6)(layers.BatchNormalization()(y))
        y = layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False)(y)
        x = layers.ReLU(6)(layers.BatchNormalization()(y))
    return layers.Dense(10)(layers.GlobalAveragePooling2D()(x))


def residual(x):
    """Sums of branches, as in ResNet."""
    x = layers.Conv2D(16, 3, padding="same", activation="relu")(x)
    for _ in range(2):
        y = layers.Conv2D(16, 3, padding="same", activation="relu")(x)
        y = layers.Conv2D(16, 3, padding="same")(y)
        x = layers.ReLU()(layers.Add()([x, y]))
    return layers.Dense(10)(layers.Flatten()(layers.AveragePooling2D(2)(x)))


def attention(x):
    """One block of a vision transformer over the rows of the picture."""
    x = layers.Dense(24)(layers.Reshape((8, 8))(x))
    x = layers.Add()([x, layers.Dense(24)(layers.LayerNormalization()(x))])
    y = layers.LayerNormalization()(x)
    query, key, value = (layers.Dense(24)(y) for _ in range(3))
    scores = layers.Softmax()(layers.Rescaling(24**-0.5)(layers.Dot(2)([query, key])))
    x = layers.Add()([x, layers.Dot((2, 1))([scores, value])])
    y = layers.Dense(24)(layers.Dense(48, activation="gelu")(layers.LayerNormalization()(x)))
    return layers.Dense(10)(layers.Flatten()(layers.Add()([x, y])))


def lstm(x):
    """A recurrent layer over the rows of the picture."""
    return layers.Dense(10)(layers.LSTM(24)(layers.Reshape((8, 8))(x)))


def export(model: keras.Model) -> bytes:
    """The float network as a `.tflite`, for one picture at a time."""
    one = keras.Input(batch_shape=(1, 8, 8, 1), name="image")
    return tf.lite.TFLiteConverter.from_keras_model(keras.Model(one, model(one))).convert()


def main() -> None:
    """Train and write all of them."""
    images, labels = shuffled()
    HOME.mkdir(exist_ok=True)
    for network in (mobile, residual, attention, lstm):
        keras.utils.set_random_seed(1)
        given = keras.Input((8, 8, 1), name="image")
        model = keras.Model(given, layers.Softmax()(network(given)))
        model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(images[:-TEST], labels[:-TEST], 64, EPOCHS, verbose=0)
        _, accuracy = model.evaluate(images[-TEST:], labels[-TEST:], verbose=0)
        data = export(model)
        (HOME / f"{network.__name__}.tflite").write_bytes(data)
        print(f"{network.__name__}: accuracy {accuracy:.4f}, {len(data)} bytes")


if __name__ == "__main__":
    main()
