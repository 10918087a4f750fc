"""MediaPipe's custom operators written with builtins: values by its kernels' definition, computed here in NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import CORPUS

import fullint
from fullint import NotIntegerError
from fullint.model.ir import Array, Model, Tensor
from fullint.ops.builder import Builder
from fullint.passes.custom_ops import without_custom
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import WorkerProcess, model_file

SAME, VALID = 1, 2


def custom(g: Builder, code: str, inputs: list[Tensor], shapes: list[tuple[int, ...]], *options: int) -> list[Tensor]:
    first = g.op("CUSTOM", *inputs, shape=shapes[0])
    op = g.graph.ops[-1]
    op.custom_code, op.custom_options = code, np.frombuffer(np.asarray(options, "<i4").tobytes(), np.uint8)
    others = [Tensor(f"{first.name}/{i}", s, "float32") for i, s in enumerate(shapes[1:])]
    op.outputs += others
    return [first, *others]


def run(model: Model, *given: Array) -> Array:
    with model_file(model) as path, WorkerProcess() as worker:
        worker.call(Open(path, "builtin", 1))
        return worker.call(Run(list(given)))[0]


def transposed(x: Array, w: Array, b: Array, stride: tuple[int, int], padding: int) -> Array:
    """Each value adds its kernel to the result; padding is cut off at both ends, the smaller half first."""
    (_, high, wide, _), (outs, kh, kw, _) = x.shape, w.shape
    full = np.zeros((stride[0] * (high - 1) + kh, stride[1] * (wide - 1) + kw, outs))
    for i, j in np.ndindex(high, wide):
        full[i * stride[0] : i * stride[0] + kh, j * stride[1] : j * stride[1] + kw] += np.einsum("c,ohwc->hwo", x[0, i, j], w)
    cut = [max(0, k - (n - 1) % s - 1) if padding == SAME else 0 for k, n, s in zip((kh, kw), (high, wide), stride, strict=True)]
    ends = [(c // 2, n - (c - c // 2)) for c, n in zip(cut, full.shape, strict=False)]
    return (full[ends[0][0] : ends[0][1], ends[1][0] : ends[1][1]] + b)[None]


@pytest.mark.parametrize("padding", [SAME, VALID])
@pytest.mark.parametrize(
    ("size", "taps", "stride"), [((4, 6), (2, 2), (2, 2)), ((5, 4), (3, 3), (2, 2)), ((3, 7), (4, 2), (2, 1))]
)
def test_transposed_convolution(padding: int, size: tuple[int, int], taps: tuple[int, int], stride: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, *size, 3)).astype(np.float32)
    w, b = rng.normal(size=(2, *taps, 3)).astype(np.float32), rng.normal(size=2).astype(np.float32)
    wanted = transposed(x, w, b, stride, padding)
    g = Builder()
    inputs = [g.input(*x.shape), g.const(w), g.const(b)]
    g.output(custom(g, "Convolution2DTransposeBias", inputs, [wanted.shape], padding, stride[1], stride[0])[0])
    model = g.model()
    assert [c.done for c in without_custom(model)] == [True]
    found = run(model, x)
    assert found.shape == wanted.shape and np.allclose(found, wanted, atol=1e-5)
    result = fullint.quantize(g.bytes(), rng.normal(size=(32, *x.shape[1:])).astype(np.float32))
    assert result.report.float_operators == 0 and result.report.certificate.outputs[0].sqnr_db > 35


def unpooled(x: Array, y: Array, n: int) -> Array:
    """y where x has the first of the largest values of each window, 0 elsewhere."""
    out = np.zeros_like(x)
    for i, j, c in np.ndindex(*y.shape[1:]):
        window = x[0, i * n : i * n + n, j * n : j * n + n, c]
        at = np.unravel_index(window.argmax(), window.shape)
        out[0, i * n + at[0], j * n + at[1], c] = y[0, i, j, c]
    return out


def pooled_and_put_back(n: int, padding: int = VALID, stride: int | None = None) -> Builder:
    g = Builder()
    x = g.input(1, 12, 12, 4)
    small = (1, 12 // n, 12 // n, 4)
    options = (padding, stride or n, stride or n, n, n, 0)
    p, where = custom(g, "MaxPoolingWithArgmax2D", [x], [small, small], *options)
    y = g.op("ADD", p, g.const(np.float32([0.5])), shape=small)
    g.output(custom(g, "MaxUnpooling2D", [y, where], [(1, 12, 12, 4)], *options)[0])
    return g


@pytest.mark.parametrize("n", [2, 3])
def test_values_put_back_where_the_pooling_found_its_own(n: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 12, 12, 4)).astype(np.float32)
    x[0, :n, :n, 0] = 1.5  # the first of equal ones counts
    g = pooled_and_put_back(n)
    model = g.model()
    assert all(c.done for c in without_custom(model))
    assert not any(op.kind == "CUSTOM" for op in model.main.ops)
    pooled = x.reshape(1, 12 // n, n, 12 // n, n, 4).max((2, 4))
    assert np.array_equal(run(model, x), unpooled(x, pooled + np.float32(0.5), n))
    samples = np.linspace(-1, 1, 32 * 576)[rng.permutation(32 * 576)].reshape(32, 1, 12, 12, 4).astype(np.float32)
    result = fullint.quantize(g.bytes(), samples, min_sqnr=-100)
    assert result.report.float_operators == 0


def test_other_windows_are_refused_by_name() -> None:
    with pytest.raises(NotIntegerError) as caught:
        fullint.quantize(pooled_and_put_back(2, stride=1).bytes(), synthetic=True)
    assert [b.kind for b in caught.value.blockers] == ["MaxPoolingWithArgmax2D", "MaxUnpooling2D"]


def test_options_that_are_too_short() -> None:
    g = Builder()
    inputs = [g.input(1, 4, 4, 3), g.random(2, 2, 2, 3), g.random(2)]
    g.output(custom(g, "Convolution2DTransposeBias", inputs, [(1, 8, 8, 2)], 1, 2)[0])
    with pytest.raises(NotIntegerError, match="Convolution2DTransposeBias"):
        fullint.quantize(g.bytes(), synthetic=True)


@pytest.mark.skipif(not CORPUS, reason="no corpus")
def test_a_public_segmenter() -> None:
    """On pictures, since noise is nothing that it segments."""
    with np.load(Path(str(CORPUS), "data", "faces_24.npz")) as found:
        [images] = [found[k] for k in found.files if found[k].ndim == 4]
    scale = 256 // images.shape[1] + 1
    images = images.repeat(scale, 1).repeat(scale, 2)[:, :256, :256].astype(np.float32) / 255
    result = fullint.quantize(Path(str(CORPUS), "cases", "zoo", "fdtfl_selfie_segmenter.tflite"), images, min_sqnr=-100)
    assert result.report.float_operators == 0 and result.report.certificate.outputs[0].sqnr_db > 15
