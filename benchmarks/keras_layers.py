"""Every layer of Keras that makes sense in inference, through fullint and its peers: what becomes integer, and how well.

    python benchmarks/keras_layers.py --work DIR --tf PYTHON --aeq PYTHON --quantize FILE [--only TEXT ...] [--again TOOL ...]

Each line of `LAYERS` is a network: the layer or function between usual neighbours. TensorFlow converts it to a float
`.tflite`, fullint, TensorFlow's quantizer and ai-edge-quantizer make it integer, and all results are compared with the
float model on samples that took no part. The table goes to docs/keras.md.

    --work       folder of the models and results; what is there already is not made again
    --tf, --aeq  Python of an environment with TensorFlow and Keras, and of one with ai-edge-quantizer
    --quantize   the corpus's peers/quantize.py; without it, $FULLINT_CORPUS says where the corpus is
    --again      stages to do again: models (then all the others too), fullint, tf, aeq

Every model is worked on in a process of its own with a time limit: some end the process they are in.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

CALIBRATION, TEST = 40, 30
LIMITS = {"models": 150, "fullint": 150, "tf": 100, "aeq": 100}
"""Seconds a model may take in a stage."""
TOKENS = 20
SHAPES = {"vector": (16,), "sequence": (12, 8), "image": (12, 12, 4), "volume": (6, 6, 6, 2), "audio": (800,)}
ROOT = Path(__file__).parents[1]
SLACK = 1.5
"""dB that fullint may be below the better peer before the summary names the layer."""

LAYERS = {
    # x, y: float inputs behind a Dense or a convolution; raw: a float input as it is; t: token numbers
    "vector": """
Dense(8)
Dense(8, activation="relu", use_bias=False)
Dense(8, activation="softmax")
EinsumDense("ab,bc->ac", output_shape=8, bias_axes="c")
BatchNormalization()
LayerNormalization()
LayerNormalization(rms_scaling=True)
GroupNormalization(4)
UnitNormalization()
RMSNormalization()
SpectralNormalization(Dense(8))
Activation("relu")
Activation("relu6")
Activation("elu")
Activation("selu")
Activation("celu")
Activation("gelu")
ops.gelu(x, approximate=False)
Activation("silu")
Activation("softplus")
Activation("softsign")
Activation("mish")
Activation("tanh")
Activation("sigmoid")
Activation("hard_sigmoid")
Activation("hard_silu")
Activation("exponential")
Activation("log_softmax")
Activation("softmax")
Activation("linear")
Activation("sparse_plus")
Activation("sparse_sigmoid")
Activation("sparsemax")
Activation("squareplus")
Activation("hard_tanh")
Activation("hard_shrink")
Activation("soft_shrink")
Activation("tanh_shrink")
Activation("log_sigmoid")
ops.threshold(x, 0.5, 0.1)
Activation("leaky_relu")
ReLU(max_value=4.0, negative_slope=0.1)
ReLU(threshold=0.5)
ReLU(max_value=1.0)
LeakyReLU(0.2)
PReLU(alpha_initializer="random_uniform")
ELU(0.7)
Softmax()
Add()([x, y])
Subtract()([x, y])
Multiply()([x, y])
Average()([x, y])
Maximum()([x, y])
Minimum()([x, y])
Concatenate()([x, y])
Dot(1)([x, y])
Dot(1, normalize=True)([x, y])
Identity()
Dropout(0.5)
GaussianNoise(0.1)
GaussianDropout(0.1)
AlphaDropout(0.1)
ActivityRegularization(0.1)
Reshape((4, 4))
RepeatVector(3)
Rescaling(0.5, -1.0)(raw)
Normalization(mean=0.3, variance=2.0)(raw)
Discretization(bin_boundaries=[-1.0, 0.0, 1.0])(raw)
Discretization(bin_boundaries=[-1.0, 0.0, 1.0], output_mode="one_hot")(raw)
Embedding(20, 8)(t)
Embedding(20, 8, mask_zero=True)(t)
ReversibleEmbedding(20, 8)(t)
GlobalAveragePooling1D()(Embedding(20, 8)(t))
LSTM(8)(Embedding(20, 8, mask_zero=True)(t))
CategoryEncoding(20, output_mode="multi_hot")(t)
CategoryEncoding(20, output_mode="count")(t)
CategoryEncoding(20, output_mode="one_hot")(t)
IntegerLookup(vocabulary=list(range(2, 18)))(t)
Hashing(8)(t)
""",
    "sequence": """
Conv1D(8, 3)
Conv1D(8, 3, padding="causal", dilation_rate=2)
Conv1D(8, 3, strides=2, padding="same", activation="relu")
Conv1D(8, 3, groups=2)
Conv1DTranspose(8, 3)
Conv1DTranspose(8, 3, strides=2, padding="same")
SeparableConv1D(8, 3)
SeparableConv1D(8, 3, padding="same", depth_multiplier=2)
DepthwiseConv1D(3)
DepthwiseConv1D(3, strides=2, padding="same", depth_multiplier=2)
MaxPooling1D(2)
MaxPooling1D(3, strides=2, padding="same")
AveragePooling1D(2)
AveragePooling1D(3, strides=2, padding="same")
GlobalMaxPooling1D()
GlobalMaxPooling1D(keepdims=True)
GlobalAveragePooling1D()
AdaptiveAveragePooling1D(5)
AdaptiveMaxPooling1D(5)
BatchNormalization()
LayerNormalization()
LayerNormalization(axis=[1, 2])
GroupNormalization(2)
UnitNormalization()
RMSNormalization()
Dense(8)
EinsumDense("abc,cd->abd", output_shape=(None, 8), bias_axes="d")
EinsumDense("abc,cde->abde", output_shape=(None, 2, 4))
SimpleRNN(8)
SimpleRNN(8, unroll=True)
SimpleRNN(8, return_sequences=True)
SimpleRNN(8, stateful=True)
SimpleRNN(8, go_backwards=True, activation="relu")
LSTM(8)
LSTM(8, unroll=True)
LSTM(8, return_sequences=True)
LSTM(8, return_sequences=True, unroll=True)
LSTM(8, stateful=True)
LSTM(8, go_backwards=True)
LSTM(8, return_state=True)
LSTM(8, recurrent_activation="hard_sigmoid")
GRU(8)
GRU(8, unroll=True)
GRU(8, return_sequences=True)
GRU(8, stateful=True)
GRU(8, go_backwards=True)
GRU(8, reset_after=False)
Bidirectional(LSTM(8))
Bidirectional(LSTM(8, return_sequences=True))
Bidirectional(GRU(8, unroll=True))
Bidirectional(SimpleRNN(8), merge_mode="sum")
RNN(LSTMCell(8))
RNN([GRUCell(8), SimpleRNNCell(8)])
RNN(StackedRNNCells([LSTMCell(8), LSTMCell(8)]), return_sequences=True)
TimeDistributed(Dense(8))
MultiHeadAttention(2, 4)(x, x)
MultiHeadAttention(2, 4)(x, y)
MultiHeadAttention(2, 4)(x, x, use_causal_mask=True)
GroupQueryAttention(4, 4, 2)(x, x)
Attention()([x, y])
Attention(use_scale=True, score_mode="concat")([x, y])
AdditiveAttention()([x, y])
LayerNormalization()(x + MultiHeadAttention(2, 4)(x, x))
Softmax(axis=1)
PReLU(shared_axes=[1], alpha_initializer="random_uniform")
Add()([x, y])
Concatenate(axis=1)([x, y])
Dot((2, 2))([x, y])
Reshape((6, 16))
Flatten()
Permute((2, 1))
Cropping1D((1, 2))
ZeroPadding1D((1, 2))
UpSampling1D(2)
Masking(0.0)
LSTM(8)(Masking(0.0)(raw))
SpatialDropout1D(0.2)
""",
    "image": """
Conv2D(8, 3)
Conv2D(8, 3, strides=2, padding="same", activation="relu")
Conv2D(8, 3, padding="same", dilation_rate=2)
Conv2D(8, 3, groups=2)
Conv2D(8, 3, use_bias=False, activation="silu")
BatchNormalization()(Conv2D(8, 3, use_bias=False)(x))
ReLU(6.0)(BatchNormalization()(DepthwiseConv2D(3)(x)))
Conv2DTranspose(8, 3)
Conv2DTranspose(8, 3, strides=2, padding="same", activation="relu")
Conv2DTranspose(8, 2, strides=2, use_bias=False)
SeparableConv2D(8, 3)
SeparableConv2D(8, 3, padding="same", depth_multiplier=2)
DepthwiseConv2D(3)
DepthwiseConv2D(3, strides=2, padding="same", depth_multiplier=2)
DepthwiseConv2D(3, padding="same", dilation_rate=2)
MaxPooling2D(2)
MaxPooling2D(3, strides=2, padding="same")
AveragePooling2D(2)
AveragePooling2D(3, strides=2, padding="same")
GlobalMaxPooling2D()
GlobalAveragePooling2D()
GlobalAveragePooling2D(keepdims=True)
AdaptiveAveragePooling2D((3, 3))
AdaptiveAveragePooling2D((5, 5))
AdaptiveMaxPooling2D((3, 3))
BatchNormalization()
LayerNormalization()
LayerNormalization(axis=[1, 2, 3])
GroupNormalization(4)
GroupNormalization(-1)
UnitNormalization()
RMSNormalization()
SpectralNormalization(Conv2D(8, 3))
PReLU(shared_axes=[1, 2], alpha_initializer="random_uniform")
ConvLSTM1D(4, 3)
ConvLSTM1D(4, 3, return_sequences=True, padding="same")
TimeDistributed(Conv1D(4, 3))
EinsumDense("abcd,de->abce", output_shape=(None, None, 8), bias_axes="e")
Add()([x, y])
x * Dense(8, activation="sigmoid")(GlobalAveragePooling2D(keepdims=True)(x))
x * hard_sigmoid(Dense(8)(GlobalAveragePooling2D(keepdims=True)(x)))
Concatenate()([x, y])
Maximum()([x, y])
Flatten()
Reshape((16, 72))
Permute((3, 1, 2))
Cropping2D(((1, 2), (3, 4)))
ZeroPadding2D(((1, 2), (3, 4)))
UpSampling2D(2)
UpSampling2D(2, interpolation="bilinear")
UpSampling2D(2, interpolation="bicubic")
Resizing(8, 8)(raw)
Resizing(20, 20, interpolation="nearest")(raw)
Resizing(8, 16, crop_to_aspect_ratio=True)(raw)
Resizing(8, 16, pad_to_aspect_ratio=True)(raw)
CenterCrop(8, 8)(raw)
Rescaling(1 / 127.5, -1.0)(raw)
Normalization(mean=[0.1, 0.2, 0.3, 0.4], variance=[1.0, 2.0, 3.0, 4.0])(raw)
SpatialDropout2D(0.2)
RandomFlip()(raw)
RandomRotation(0.1)(raw)
RandomContrast(0.1)(raw)
ops.image.resize(x, (20, 20), antialias=False)
ops.image.rgb_to_grayscale(x[..., :3])
ops.image.pad_images(x, 1, 1, 1, 1)
ops.image.extract_patches(x, 3)
ops.image.gaussian_blur(x)
ops.depth_to_space(x, 2)
ops.space_to_depth(x, 2)
ops.pad(x, [[0, 0], [1, 1], [2, 2], [0, 0]], mode="reflect")
ops.pad(x, [[0, 0], [1, 1], [2, 2], [0, 0]], mode="symmetric")
ops.pad(x, [[0, 0], [1, 1], [2, 2], [0, 0]], constant_values=1.0)
ops.rot90(x, axes=(1, 2))
ops.unfold(ops.transpose(x, (0, 3, 1, 2)), 3)
""",
    "volume": """
Conv3D(4, 3)
Conv3D(4, 3, strides=2, padding="same", activation="relu")
Conv3DTranspose(4, 3)
Conv3DTranspose(4, 2, strides=2, padding="same")
MaxPooling3D(2)
MaxPooling3D(2, strides=2, padding="same")
AveragePooling3D(2)
AveragePooling3D(3, strides=2, padding="same")
GlobalMaxPooling3D()
GlobalAveragePooling3D()
AdaptiveAveragePooling3D((3, 3, 3))
AdaptiveMaxPooling3D((3, 3, 3))
BatchNormalization()
LayerNormalization()
GroupNormalization(2)
ConvLSTM2D(4, 3)
ConvLSTM2D(4, 3, return_sequences=True, padding="same")
ConvLSTM3D(2, 2)(Reshape((2, 3, 6, 6, 4))(x))
TimeDistributed(Conv2D(4, 3))
TimeDistributed(MaxPooling2D(2))
Add()([x, y])
Concatenate()([x, y])
Flatten()
Permute((4, 1, 2, 3))
Cropping3D(1)
ZeroPadding3D(1)
UpSampling3D(2)
SpatialDropout3D(0.2)
""",
    "audio": """
STFTSpectrogram(mode="log", frame_length=64, frame_step=32, fft_length=64, window=None)(raw)
STFTSpectrogram(mode="magnitude", frame_length=64, frame_step=32, fft_length=64, window=None)(raw)
MelSpectrogram(fft_length=64, sequence_stride=32, num_mel_bins=16)(raw)
""",
    "functions of vectors": """
ops.abs(x)
ops.negative(x)
ops.square(x)
ops.sqrt(ops.abs(x) + 0.5)
ops.rsqrt(ops.abs(x) + 0.5)
ops.reciprocal(ops.abs(x) + 0.5)
ops.log(ops.abs(x) + 0.5)
ops.log1p(ops.abs(x))
ops.log2(ops.abs(x) + 0.5)
ops.log10(ops.abs(x) + 0.5)
ops.exp(x)
ops.exp2(x)
ops.expm1(x)
ops.power(ops.abs(x) + 0.5, 1.7)
ops.power(x, 3)
ops.power(ops.abs(x) + 0.5, y)
ops.sin(x)
ops.cos(x)
ops.tan(x * 0.3)
ops.arcsin(ops.tanh(x) * 0.9)
ops.arccos(ops.tanh(x) * 0.9)
ops.arctan(x)
ops.arctan2(x, ops.abs(y) + 0.5)
ops.sinh(x)
ops.cosh(x)
ops.arcsinh(x)
ops.arccosh(ops.abs(x) + 1.5)
ops.arctanh(ops.tanh(x) * 0.9)
ops.sinc(x)
ops.erf(x)
ops.erfinv(ops.tanh(x) * 0.9)
ops.cbrt(ops.abs(x) + 0.5)
ops.floor(x)
ops.ceil(x)
ops.round(x)
ops.trunc(x)
ops.sign(x)
ops.clip(x, -0.5, 1.0)
ops.relu(x) - ops.relu(y)
x + 1.5
x * 3.0 - y / 2.0
1.0 - x
1.0 / (1.0 + ops.exp(-x))
ops.divide(x, ops.abs(y) + 0.5)
ops.divide_no_nan(x, ops.abs(y) + 0.5)
ops.floor_divide(x, 0.5)
ops.mod(x, 0.7)
ops.fmod(x, 0.7)
ops.maximum(x, 0.3)
ops.hypot(x, y)
ops.logaddexp(x, y)
ops.where(x > 0.0, x, y)
ops.where(ops.logical_and(x > 0.0, y < 0.5), x, -1.0)
ops.where(ops.logical_or(x > y, ops.logical_not(y < 0.5)), x, y)
ops.cast(x > 0.0, "float32") * y
ops.cast(ops.cast(x * 4.0, "int32"), "float32")
x > y
ops.equal(ops.round(x), 0.0)
ops.heaviside(x, ops.convert_to_tensor([0.5]))
ops.isfinite(x)
ops.nan_to_num(x)
ops.deg2rad(x)
ops.outer(x[0], x[0])
ops.matmul(ops.reshape(x, (-1, 4, 4)), ops.reshape(y, (-1, 4, 4)))
ops.kron(ops.reshape(x[0], (4, 4)), ops.ones((2, 2)))
ops.one_hot(ops.argmax(x, axis=-1), 16)
ops.one_hot(ops.argmax(ops.cast(x * 8.0, "int32"), axis=-1), 16)
ops.one_hot(t, 20)
ops.multi_hot(t, 20)
ops.take(ops.convert_to_tensor(table), t, axis=0)
ops.bincount(t, minlength=20)
ops.cast(t, "float32") * 0.1
ops.segment_sum(x[0], ops.convert_to_tensor([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7]), num_segments=8)
ops.digitize(x, ops.convert_to_tensor([-1.0, 0.0, 1.0]))
ops.searchsorted(ops.convert_to_tensor([-1.0, 0.0, 1.0]), x[0])
ops.bitwise_and(t, ops.convert_to_tensor([3]))
ops.right_shift(t, 1)
ops.glu(x)
ops.rms_normalization(x)
ops.normalize(x)
ops.psnr(x, y, 4.0)
""",
    "functions of sequences": """
ops.cumsum(x, axis=1)
ops.cumprod(ops.tanh(x), axis=1)
ops.top_k(x, 3)
ops.top_k(x, 3)[0]
ops.argmax(x, axis=-1)
ops.argmin(x, axis=1)
ops.argmax(ops.cast(x * 8.0, "int32"), axis=-1)
ops.sort(x, axis=-1)
ops.argsort(x, axis=-1)
ops.max(x, axis=1)
ops.min(x, axis=1)
ops.sum(x, axis=1)
ops.mean(x, axis=1)
ops.mean(x, axis=(1, 2))
ops.prod(ops.tanh(x) + 1.0, axis=-1)
ops.var(x, axis=1)
ops.std(x, axis=1)
ops.logsumexp(x, axis=-1)
ops.norm(x, axis=-1)
ops.norm(x, ord=1, axis=-1)
ops.norm(x, ord="fro", axis=(1, 2))
ops.median(x, axis=1)
ops.quantile(x, 0.3, axis=1)
ops.ptp(x, axis=1)
ops.count_nonzero(ops.relu(x), axis=1)
ops.any(x > 1.0, axis=1)
ops.all(x > -1.0, axis=1)
ops.roll(x, 2, axis=1)
ops.flip(x, axis=1)
ops.tril(x)
ops.triu(x, k=1)
ops.diagonal(x, axis1=1, axis2=2)
ops.trace(x, axis1=1, axis2=2)
ops.diff(x, axis=1)
ops.repeat(x, 2, axis=1)
ops.tile(x, (1, 2, 1))
ops.stack([x, y], axis=1)
ops.split(x, 2, axis=1)
ops.unstack(x, axis=1)[3]
ops.squeeze(ops.expand_dims(x, 1), 1)
ops.swapaxes(x, 1, 2)
ops.moveaxis(x, 1, 2)
ops.take(x, [0, 3, 5], axis=1)
ops.take_along_axis(x, ops.argsort(y, axis=-1), axis=-1)
ops.slice(x, (0, 2, 1), (1, 4, 3))
ops.slice_update(x, (0, 2, 1), y[:1, :4, :3])
x[:, ::2, 1:]
x[:, -1]
ops.broadcast_to(ops.mean(x, axis=1, keepdims=True), (1, 12, 8))
ops.einsum("abc,adc->abd", x, y)
ops.einsum("abc,abd->acd", x, y)
ops.matmul(x, ops.transpose(y, (0, 2, 1)))
ops.tensordot(x, ops.convert_to_tensor(table), axes=1)
ops.dot(x, ops.convert_to_tensor(table))
ops.cross(x[..., :3], y[..., :3])
ops.pad(x, [[0, 0], [1, 2], [0, 0]])
ops.softmax(x, axis=1)
ops.log_softmax(x, axis=1)
ops.average(x, axis=1)
ops.moments(x, axes=[1])
ops.in_top_k(t[0], x[0][:, :4] @ ops.ones((4, 20)), 3)
ops.dot_product_attention(x[:, :, None, :], y[:, :, None, :], y[:, :, None, :])
ops.layer_normalization(x)
ops.correlate(x[0, :, 0], y[0, :5, 0])
ops.scatter(ops.convert_to_tensor([[0], [3]]), x[0, :2], (6, 8))
ops.scatter_update(x[0], ops.convert_to_tensor([[0], [3]]), y[0, :2])
ops.nonzero(ops.relu(x))
ops.vectorized_map(lambda row: row * 2.0 + 1.0, x)
ops.map(lambda row: ops.tanh(row), ops.transpose(x, (1, 0, 2)))
ops.while_loop(lambda i, v: i < 3, lambda i, v: (i + 1, ops.tanh(v) * 1.5), (ops.convert_to_tensor(0), x))[1]
Lambda(lambda v: ops.cond(ops.sum(v) > 0.0, lambda: v * 2.0, lambda: v - 1.0))(x)
ops.scan(lambda c, row: (c * 0.5 + row, c), ops.zeros_like(x[:, 0]), ops.transpose(x, (1, 0, 2)))[1]
ops.rfft(x)[0]
ops.linalg.inv(ops.matmul(x, ops.transpose(x, (0, 2, 1))) + 9.0 * ops.eye(12))
ops.cdist(x, y)
ops.nn.sparsemax(x)
ops.cumsum(ops.cast(x > 0.0, "int32"), axis=1)
ops.unravel_index(t, (4, 5))
""",
}


def networks() -> dict[str, tuple[str, str]]:
    """Name of a folder -> (kind of input, text), in the order of the table."""
    found = {}
    for kind, text in LAYERS.items():
        for line in text.strip().splitlines():
            name = kind.split()[-1] + "_" + re.sub(r"[^A-Za-z0-9]+", "_", line).strip("_")[:80]
            found[name + "_again" * (name in found)] = (kind, line)
    return found


# --- in TensorFlow's environment ------------------------------------------------------------------------------------


def make_model(kind: str, text: str, batch: int | None) -> Any:
    """The Keras model of a line, with random weights."""
    import keras

    keras.utils.set_random_seed(1)
    shape = SHAPES[{"functions of vectors": "vector", "functions of sequences": "sequence"}.get(kind, kind)]
    inputs: list[Any] = []
    table = np.random.default_rng(2).normal(size=(8 if "sequences" in kind else TOKENS, 6)).astype(np.float32)
    scope = {**vars(keras.layers), "ops": keras.ops, "hard_sigmoid": keras.activations.hard_sigmoid, "table": table}
    for name in sorted({"x", "y", "raw", "t"} & set(re.findall(r"\w+", text + ("" if bare(text) else " x")))):
        one = keras.Input((12,) if name == "t" else shape, batch_size=batch, dtype="int32" if name == "t" else None, name=name)
        inputs.append(one)
        scope[name] = beside(keras.layers, one, 3, "same") if name in "xy" else one
    value = eval(text, scope)
    if isinstance(value, keras.layers.Layer):
        value = value(scope["x"])
    if isinstance(value, list | tuple):
        value = list(value)
    outputs = value if isinstance(value, list) else beside(keras.layers, value, 1, "valid")
    model = keras.Model(inputs, outputs)
    random = np.random.default_rng(3)
    for weight in model.weights:
        if weight.name in ("moving_variance", "gamma", "scale"):
            weight.assign(random.uniform(0.5, 1.5, weight.shape))
        elif weight.name in ("moving_mean", "beta", "bias"):
            weight.assign(weight.numpy() + random.normal(0.0, 0.2, weight.shape))
    return model


def bare(text: str) -> bool:
    """Whether a line says what its inputs are."""
    return bool(re.search(r"\b(x|y|raw|t)\b", text))


def beside(layers: Any, x: Any, kernel: int, padding: str) -> Any:
    """The usual neighbour of a value: a Dense or a convolution."""
    if not x.dtype.startswith("float") or not 2 <= len(x.shape) <= 5 or x.shape[-1] is None:
        return x
    if len(x.shape) in (2, 5):
        return layers.Dense({2: 16, 5: 4}[len(x.shape)] if padding == "same" else 8)(x)
    return (layers.Conv1D if len(x.shape) == 3 else layers.Conv2D)(8, kernel, padding=padding)(x)


def convert(kind: str, text: str, folder: Path) -> dict[str, Any]:
    """The float `.tflite` of a line, and samples for it. A batch of any size is tried first, then one of 1."""
    import tensorflow as tf

    said = []
    for batch in (None, 1):
        try:
            model = make_model(kind, text, batch)
            data = tf.lite.TFLiteConverter.from_keras_model(model).convert()
            runner = tf.lite.Interpreter(model_content=data, num_threads=1)
            details = runner.get_input_details()
            write_samples(details, folder)
            (folder / "float.tflite").write_bytes(data)
            return {"status": "converted", "batch": batch}
        except Exception as e:
            said.append(f"{type(e).__name__}: {e}"[:1500])
    return {"status": "fails", "message": "\n".join(said)}


def write_samples(details: Sequence[dict[str, Any]], folder: Path) -> None:
    """Normal random numbers, or token numbers, for each input in graph order."""
    random = np.random.default_rng(4)
    for name, count in (("calibration", CALIBRATION), ("test", TEST)):
        arrays = {}
        for i, d in enumerate(details):
            shape = (count, *(max(int(n), 1) for n in d["shape"]))
            floating = np.dtype(d["dtype"]).kind == "f"
            values = random.normal(size=shape) if floating else random.integers(0, TOKENS, shape)
            arrays[f"input{i}"] = values.astype(d["dtype"])
        np.savez(folder / f"{name}.npz", **arrays)


# --- in fullint's environment ---------------------------------------------------------------------------------------


def quantize(folder: Path) -> tuple[bytes, dict[str, Any]]:
    """fullint's result and what its report says."""
    import fullint

    result = fullint.quantize(folder / "float.tflite", folder / "calibration.npz")
    notes = {"warnings": list(result.report.warnings), "notes": list(result.report.notes)}
    return result.model, {"status": result.report.status, **notes}


def score(folder: Path, tool: str) -> dict[str, Any]:
    """Float operators that are left in a result, and its distance from the float model."""
    from fullint.model.census import is_float_op
    from fullint.model.tflite import read_model
    from fullint.runtime.messages import Open, Run
    from fullint.runtime.process import WorkerProcess
    from fullint.verification.kernel_outputs import integer_inputs, real
    from fullint.verification.metrics import Score, mean_sqnr

    given, result = (read_model(folder / f"{name}.tflite") for name in ("float", tool))
    ends = {*result.main.inputs, *result.main.outputs}
    borders = [op for op in result.main.ops if op.kind in ("QUANTIZE", "DEQUANTIZE") and ends & set(op.operands())]
    left = [op.kind for _, op in result.ops() if is_float_op(op) and op not in borders]
    scores = [Score() for _ in result.main.outputs]
    with np.load(folder / "test.npz") as z:
        samples = list(zip(*(z[k] for k in z.files), strict=True))
    with WorkerProcess("the float model") as one, WorkerProcess("the result") as other:
        shapes = [a.shape for a in samples[0]]
        one.call(Open(str(folder / "float.tflite"), "xnnpack", 1, shapes))
        other.call(Open(str(folder / f"{tool}.tflite"), "xnnpack", 1))
        for sample in samples:
            reference = one.call(Run(list(sample)))
            output = other.call(Run(integer_inputs(result, sample)))
            for s, t, u, ref, out in zip(scores, given.main.outputs, result.main.outputs, reference, output, strict=True):
                if ref.shape != out.shape:
                    return {"float_ops": left, "status": f"shape {list(out.shape)} for {list(ref.shape)}"}
                s.add(real(ref, t), real(out, u))
    equal = [s.equal / s.elements for s in scores if s.elements]
    each = [s.sqnr for s in scores]
    return {"float_ops": left, "sqnr": mean_sqnr(scores), "each": each, "equal": min(equal, default=None)}


# --- in all of them -------------------------------------------------------------------------------------------------


def peer(which: str, script: Path) -> Callable[[Path], tuple[bytes, dict[str, Any]]]:
    """A peer's function from a folder to its result; what takes long to import is imported once, here."""
    spec = importlib.util.spec_from_file_location("peer", script)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in {"tf": ["tensorflow", "tensorflow.lite.python.convert"], "aeq": ["ai_edge_quantizer.quantizer"]}[which]:
        importlib.import_module(name)
    run = {"tf": module.run_tf, "aeq": module.run_aeq}[which]

    def work(folder: Path) -> tuple[bytes, dict[str, Any]]:
        data, _ = run((folder / "float.tflite").read_bytes(), str(folder / "calibration.npz"), False)
        return data, {"status": "quantized"}

    return work


def apart(work: Callable[[], dict[str, Any]], record: Path, seconds: float) -> None:
    """Do some work in a process of its own; what it returns or why it failed becomes a JSON file."""

    def child() -> None:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        try:
            found = work()
        except Exception as e:
            found = {
                "status": "fails",
                "error": type(e).__name__,
                "message": str(e)[:3000],
                "trace": traceback.format_exc()[-3000:],
            }
            found["blockers"] = sorted({b.kind for b in getattr(e, "blockers", ())})
        record.write_text(json.dumps(found, indent=1))

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
        record.write_text(json.dumps({"status": "time limit"}))
    elif process.exitcode:
        how = signal.Signals(-process.exitcode).name if process.exitcode < 0 else f"exit code {process.exitcode}"
        record.write_text(json.dumps({"status": "crashes", "message": how}))


def stage(name: str, work: Path, script: Path, names: Iterable[str]) -> None:
    """One stage over all networks, skipping what is done."""
    every = networks()
    if name == "models":
        importlib.import_module("tensorflow")
        importlib.import_module("keras")
    run = quantize if name == "fullint" else peer(name, script) if name != "models" else None

    def job(folder: Path, kind: str, text: str) -> dict[str, Any]:
        if run is None:
            return convert(kind, text, folder)
        data, notes = run(folder)
        (folder / f"{name}.tflite").write_bytes(data)
        return notes

    for one in names:
        folder = work / one
        folder.mkdir(parents=True, exist_ok=True)
        record = folder / f"{name}.json"
        if record.exists() or (run is not None and not (folder / "float.tflite").exists()):
            continue
        apart(lambda folder=folder, one=one: job(folder, *every[one]), record, LIMITS[name])  # type: ignore[misc]
        print(name, one, json.loads(record.read_text())["status"], flush=True)


def scores(work: Path, names: Iterable[str], tools: Sequence[str]) -> None:
    """Scores of all results that have none."""
    for one in names:
        for tool in tools:
            record = work / one / f"{tool}_score.json"
            if (work / one / f"{tool}.tflite").exists() and not record.exists():
                apart(lambda one=one, tool=tool: score(work / one, tool), record, LIMITS["fullint"])  # type: ignore[misc]


# --- the table ------------------------------------------------------------------------------------------------------

TOOLS = ("fullint", "tf", "aeq")
TITLES = {"fullint": "fullint", "tf": "TensorFlow", "aeq": "ai-edge-quantizer"}
INTRO = """# Layers of Keras

Generated by `benchmarks/keras_layers.py`. Each row is a small Keras network with random weights that has the layer or function
between `Dense` layers or convolutions where that makes sense, converted to a float `.tflite` and quantized by each tool with 40
standard normal samples. Figures: SQNR in dB against the float model on 30 other samples; *float*: number of operators left in
float; *equal*: share of integer or boolean outputs equal to the float model's. `x`, `y`: float values after such a layer; `raw`:
a float input; `t`: token indices. Versions: {versions}.
"""
VERSIONS = """
import importlib.metadata as m, sys
names = m.packages_distributions()
print(", ".join(f"{names[n][0]} {m.version(names[n][0])}" for n in sys.argv[1:]))
"""


def load(path: Path) -> dict[str, Any]:
    """A record, empty where there is none."""
    with contextlib.suppress(OSError):
        found: dict[str, Any] = json.loads(path.read_text())
        return found
    return {}


def outcome(folder: Path, tool: str) -> tuple[bool, str]:
    """(all integer, what the table says)."""
    made, measured = load(folder / f"{tool}.json"), load(folder / f"{tool}_score.json")
    if not made:
        return False, "not run"
    if made["status"] not in ("quantized", "already-integer"):
        if made.get("blockers"):
            return False, "refused: " + ", ".join(f"`{k}`" for k in made["blockers"])
        return False, {"AccuracyError": "refused: too far from float"}.get(made.get("error", ""), made["status"])
    if "float_ops" not in measured:
        return False, "the result does not run" if measured else "not measured"
    left = measured["float_ops"]
    words = [f"{len(left)} float"] if left else []
    if measured.get("sqnr") is not None:
        words.append("exact" if measured["sqnr"] >= 200 else f"{measured['sqnr']:.1f} dB")
    if measured.get("equal") is not None:
        words.append(f"{100 * measured['equal']:.0f} % equal")
    if measured.get("status"):
        words.append(measured["status"])
    return not left, ", ".join(words)


def versions(tf: str, aeq: str) -> str:
    """What the page was made with."""
    asked = [(tf, ["tensorflow", "keras"]), (aeq, ["ai_edge_quantizer"]), (sys.executable, ["ai_edge_litert"])]
    return ", ".join(subprocess.check_output([python, "-c", VERSIONS, *names], text=True).strip() for python, names in asked)


def table(work: Path, made_with: str) -> str:
    """The page."""
    parts: list[str] = []
    counts = dict.fromkeys(TOOLS, 0)
    total = 0
    absent: list[str] = []
    for kind in LAYERS:
        rows = []
        for one, (its, text) in networks().items():
            if its != kind or not (work / one / "models.json").exists():
                continue
            if not (work / one / "float.tflite").exists():
                absent.append(text)
                continue
            total += 1
            cells = []
            for tool in TOOLS:
                integer, words = outcome(work / one, tool)
                counts[tool] += integer
                cells.append(words)
            rows.append(f"| `{text}` | " + " | ".join(cells) + " |")
        head = f"| {kind} | " + " | ".join(TITLES[t] for t in TOOLS) + " |\n|---|---|---|---|"
        parts.append("\n".join([head, *rows]))
    said = ", ".join(f"{counts[t]} by {TITLES[t]}" for t in TOOLS)
    summary = f"All integer, of {total} networks: {said}."
    if absent:
        why = "TensorFlow does not convert these without operators of its own (or Keras cannot trace them):"
        parts.append("\n".join([why, "", *(f"- `{t}`" for t in absent)]))
    return "\n\n".join([INTRO.strip().format(versions=made_with), summary, *parts]) + "\n"


def behind(work: Path) -> list[str]:
    """Layers where fullint has no result, or one below the better peer."""
    found = []
    for one, (_, text) in networks().items():
        if not (work / one / "fullint.json").exists():
            continue
        integer, words = outcome(work / one, "fullint")
        best = max((load(work / one / f"{t}_score.json").get("sqnr") or -999.0 for t in TOOLS[1:]), default=-999.0)
        own = load(work / one / "fullint_score.json").get("sqnr")
        if not integer or (own is not None and own < min(best, 199.0) - SLACK):
            others = "; ".join(f"{TITLES[t]}: {outcome(work / one, t)[1]}" for t in TOOLS[1:])
            found.append(f"{text}\n    {one}\n    fullint: {words}; {others}")
    return found


def main() -> None:
    """Run the stages that are asked for, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    corpus = os.environ.get("FULLINT_CORPUS", ".")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--tf", default=sys.executable)
    parser.add_argument("--aeq", default=sys.executable)
    parser.add_argument("--quantize", type=Path, default=Path(corpus, "peers", "quantize.py"))
    parser.add_argument("--only", nargs="+", default=[], help="networks whose folder's name holds one of these")
    parser.add_argument("--again", nargs="+", default=[], choices=list(LIMITS))
    parser.add_argument("--stages", nargs="*", default=list(LIMITS), choices=list(LIMITS))
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "keras.md")
    parser.add_argument("--inside", choices=list(LIMITS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    names = [n for n in networks() if not arguments.only or any(o in n for o in arguments.only)]
    if arguments.inside:
        stage(arguments.inside, arguments.work, arguments.quantize, names)
        return
    for name in LIMITS if "models" in arguments.again else arguments.again:
        for one in names:
            for end in (".json", ".tflite", "_score.json"):
                (arguments.work / one / (name + end)).unlink(missing_ok=True)
    pythons = {"models": arguments.tf, "tf": arguments.tf, "aeq": arguments.aeq}
    for name in arguments.stages:
        if name == "fullint":
            stage(name, arguments.work, arguments.quantize, names)
            continue
        command = [pythons[name], str(Path(__file__).resolve()), "--inside", name, "--work", str(arguments.work)]
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"TF_CPP_MIN_LOG_LEVEL": "3"}
        only = ["--only", *arguments.only] if arguments.only else []
        subprocess.run([*command, "--quantize", str(arguments.quantize), *only], check=True, env=environment)
    scores(arguments.work, names, [t for t in TOOLS if t in arguments.stages])
    arguments.page.write_text(table(arguments.work, versions(arguments.tf, arguments.aeq)))
    print("\n".join(behind(arguments.work)))


if __name__ == "__main__":
    main()
