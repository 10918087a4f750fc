"""Trains the small detector that the tests measure average precision on, and writes tests/detector/detector.tflite.

    pip install tensorflow scikit-learn && python tools/train_detector.py

One stage, one box per cell of a grid, in the classical design that one scale destroys: boxes in pixels, up to 640, and
scores, up to 1, leave through one concatenation. In eight bits a step of it is over 2, and every score becomes 0. Data: the
handwritten digits of scikit-learn on canvases (tests/detection.py), parted as tools/train_demo.py parts them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from digits import TEST, shuffled
from keras import layers

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from detection import CLASSES, FRAME, SIDE, average_precision, canvases

HOME = Path(__file__).parents[1] / "tests" / "detector"
CELLS = 6
CELL = FRAME / CELLS
STEP = CELL / 4
"""Pixels that a 1 of the last convolution moves an edge of a box: with it, boxes and scores take the same range there."""
CANVASES, EPOCHS, BATCH = 24000, 28, 64
LAYERS = ((8, 2), (12, 2), (24, 1), (24, 2), (32, 1))
"""Channels and stride."""
BESIDE = 0.05
"""How much the box of a cell without a digit counts, beside one with."""


def middles() -> np.ndarray:
    """Of the cells, row by row: [CELLS * CELLS, 2]."""
    y, x = np.mgrid[:CELLS, :CELLS].reshape(2, -1) * CELL + CELL / 2
    return np.stack([x, y], 1).astype(np.float32)


def detector(x):
    """Convolutions, then a box and ten scores for each cell."""
    for channels, stride in LAYERS:
        x = layers.Conv2D(channels, 3, stride, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Reshape((CELLS**2, 4 + CLASSES))(layers.Conv2D(4 + CLASSES, 1)(x))
    boxes = x[..., :4] * STEP + np.tile(middles(), 2)[None]
    return layers.Concatenate()([boxes, layers.Activation("sigmoid")(x[..., 4:])])


def targets(truths: list[np.ndarray]) -> np.ndarray:
    """What each cell shall say, [canvases, cells, 4 + CLASSES + 1]; the last: how much its box counts.

    The cell in which a digit's middle lies gives it its score; all cells with their middles on the digit, its box. Cells
    beside the digits say themselves, lest their boxes be anything.
    """
    wanted = np.zeros((len(truths), CELLS**2, 4 + CLASSES + 1), np.float32)
    middle = middles()
    wanted[..., :4] = np.concatenate([middle - CELL / 2, middle + CELL / 2], 1)
    wanted[..., -1] = BESIDE
    for canvas, truth in zip(wanted, truths, strict=True):
        for *box, label in truth:
            on = ((middle > box[:2]) & (middle < box[2:])).all(1)
            canvas[on, :4], canvas[on, -1] = box, 1
            column, row = int((box[0] + box[2]) / 2 // CELL), int((box[1] + box[3]) / 2 // CELL)
            canvas[row * CELLS + column, 4 + int(label)] = 1
    return wanted


def loss(wanted, found):
    """Of boxes, in cells, as they count; and of scores."""
    off = tf.reduce_mean(tf.abs(wanted[..., :4] - found[..., :4]), 2) / CELL * wanted[..., -1]
    right, score = wanted[..., 4:-1], tf.clip_by_value(found[..., 4:], 1e-6, 1 - 1e-6)
    unsure = -right * tf.math.log(score) - (1 - right) * tf.math.log(1 - score)
    return tf.reduce_sum(off, 1) + tf.reduce_sum(unsure, (1, 2))


def export(model: keras.Model) -> bytes:
    """The float network as a `.tflite`, for one canvas at a time."""
    one = keras.Input(batch_shape=(1, SIDE, SIDE, 1), name="image")
    return tf.lite.TFLiteConverter.from_keras_model(keras.Model(one, model(one))).convert()


def main() -> None:
    """Train and write it."""
    images, labels = shuffled()
    keras.utils.set_random_seed(1)
    pictures, truths = canvases(images[:-TEST], labels[:-TEST], CANVASES, seed=1)
    given = keras.Input((SIDE, SIDE, 1), name="image")
    model = keras.Model(given, detector(given))
    rate = keras.optimizers.schedules.CosineDecay(4e-3, EPOCHS * CANVASES // BATCH)
    model.compile(keras.optimizers.Adam(rate), loss)
    model.fit(np.stack(pictures), targets(truths), BATCH, EPOCHS, verbose=2)
    pictures, truths = canvases(images[-TEST:], labels[-TEST:], 200, seed=2)
    precision = average_precision(list(model.predict(np.stack(pictures), verbose=0)), truths)
    data = export(model)
    HOME.mkdir(exist_ok=True)
    (HOME / "detector.tflite").write_bytes(data)
    print(f"average precision {precision:.4f}, {len(data)} bytes")


if __name__ == "__main__":
    main()
