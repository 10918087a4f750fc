"""Networks of Keras 2, as files of every kind, and networks trained with tensorflow_model_optimization.

python keras_2_networks.py FOLDER
"""

import os
import sys
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras as keras

layers = keras.layers


def old_layers() -> keras.Model:
    """A layer whose configuration Keras 3 does not take."""
    return keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.DepthwiseConv2D(3),
            layers.ReLU(6.0),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4, name="scores"),
        ]
    )


def functions_as_layers() -> keras.Model:
    """TFOpLambda: TensorFlow's functions on Keras' tensors."""
    x = keras.Input((12, 12, 3))
    y = layers.Conv2D(8, 3)(x)
    y = tf.reduce_mean(y * tf.nn.relu6(y + 3.0) / 6.0, [1, 2])
    return keras.Model(x, tf.nn.softmax(layers.Dense(4)(y)))


def several_ends() -> keras.Model:
    """Outputs that are ordered neither by name nor by place in a SavedModel."""
    a, b = keras.Input((12,), name="left"), keras.Input((12,), name="right")
    h = layers.Concatenate()([layers.Dense(8, activation="relu")(a), layers.Dense(8, activation="tanh")(b)])
    return keras.Model([a, b], [layers.Dense(n, name=name)(h) for n, name in ((3, "zeta"), (2, "alpha"), (5, "mid"))])


def recurrent() -> keras.Model:
    """An LSTM whose batch is open."""
    x = keras.Input((10, 6))
    return keras.Model(x, layers.Dense(3)(layers.LSTM(8)(x)))


def separable() -> keras.Model:
    """Old names of arguments."""
    x = keras.Input((16, 16, 3))
    y = layers.LeakyReLU(alpha=0.1)(layers.SeparableConv2D(8, 3, padding="same")(x))
    return keras.Model(x, layers.Activation("sigmoid")(layers.Conv2DTranspose(4, 3, strides=2)(y)))


def code() -> keras.Model:
    """A function of Python in the file."""
    x = keras.Input((8, 8, 3))
    return keras.Model(x, layers.Lambda(lambda v: v * 2.0)(x))


NETWORKS = (old_layers, functions_as_layers, several_ends, recurrent, separable)


def residual() -> keras.Model:
    """A small residual network to train."""
    x = keras.Input((16, 16, 1))
    y = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    for _ in range(2):
        z = layers.ReLU()(layers.BatchNormalization(momentum=0.8)(layers.Conv2D(8, 3, padding="same")(y)))
        z = layers.BatchNormalization(momentum=0.8)(layers.Conv2D(8, 3, padding="same")(z))
        y = layers.ReLU()(layers.Add()([y, z]))
    return keras.Model(x, layers.Dense(10)(layers.Flatten()(layers.MaxPooling2D(4)(y))))


def tutorial() -> keras.Model:
    """The network of the guide to quantization-aware training."""
    return keras.Sequential(
        [
            keras.Input((16, 16, 1)),
            layers.Conv2D(12, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )


def pictures(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy pictures of ten classes."""
    classes = np.random.default_rng(0).normal(size=(10, 16, 16, 1))
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, count)
    noisy = classes[labels] * rng.uniform(0.5, 1.5, (count, 1, 1, 1)) + rng.normal(size=(count, 16, 16, 1))
    return np.clip(0.2 * noisy + 0.5, 0, 1).astype(np.float32), labels


def trained(make: object, name: str, folder: Path) -> None:
    """A network trained with quantization: as a file, as TensorFlow converts it, and what it answers."""
    keras.utils.set_random_seed(1)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    x, y = pictures(1500, 1)
    model = make()
    model.compile("adam", loss)
    model.fit(x, y, epochs=5, batch_size=64, verbose=0)
    quantized = tfmot.quantization.keras.quantize_model(model)
    quantized.compile("adam", loss)
    quantized.fit(x, y, epochs=2, batch_size=64, verbose=0)
    quantized.save(folder / f"{name}.h5")
    converter = tf.lite.TFLiteConverter.from_keras_model(quantized)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    (folder / f"{name}_by_tensorflow.tflite").write_bytes(converter.convert())
    test, _ = pictures(100, 2)
    np.savez(folder / f"{name}.npz", test)
    np.save(folder / f"{name}_answers.npy", quantized.predict(test, verbose=0))
    np.savez(folder / f"{name}_samples.npz", x[:100])


def main() -> None:
    """Write all files."""
    folder = Path(sys.argv[1])
    for make in (*NETWORKS, code):
        keras.utils.set_random_seed(1)
        model = make()
        model.compile(keras.optimizers.legacy.Adam(), "mse")
        x = [np.random.default_rng(0).random((8, *i.shape[1:]), np.float32) for i in model.inputs]
        model.fit(x, model.predict(x, verbose=0), verbose=0)
        for form in (".h5", ".keras", "_saved"):
            model.save(folder / f"{make.__name__}{form}")
    trained(residual, "residual", folder)
    trained(tutorial, "tutorial", folder)


if __name__ == "__main__":
    main()
