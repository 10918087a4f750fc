"""What mutations start from: small sound files of every sort."""

from __future__ import annotations

import functools
import io
import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
from op_examples import EXAMPLES
from random_graphs import made

from fullint import demo, quantize
from fullint.errors import FullintError
from fullint.model.tflite import read_bytes, read_model
from fullint.ops.builder import Builder
from fullint.ops.macs import total_macs

HERE = Path(__file__).parents[1]
DEMO = Path(demo.__file__).parent
MOST_BYTES, MOST_MACS = 400_000, 30_000_000
GRAPHS, HALVES = 200, 12
"""Random graphs to begin with, in float, and in part integer."""


@functools.cache
def _files() -> tuple[Path, ...]:
    corpus = os.environ.get("FULLINT_CORPUS")
    found = [*DEMO.glob("*.tflite"), *(HERE / "networks").glob("*.tflite"), *(HERE / "detector").glob("*.tflite")]
    if corpus:
        found += sorted(Path(corpus).rglob("*.tflite"))
    small = (p for p in found if p.stat().st_size <= MOST_BYTES and "mutated" not in p.parts)
    return tuple(p for p in small if total_macs(read_model(p)) <= MOST_MACS)


def a_model(rng: random.Random) -> bytes:
    """A file, an operator alone, or a random graph."""
    what = rng.randrange(5)
    if what <= 1:
        return rng.choice(_files()).read_bytes()
    if what == 2:
        return _half(rng.randrange(HALVES))
    if what == 3:
        g = Builder()
        EXAMPLES[rng.choice(sorted(EXAMPLES))](g)
        return g.bytes("serve")
    return made(rng.randrange(GRAPHS))[0].bytes()


@functools.cache
def _half(seed: int) -> bytes:
    """A random graph some of whose operators are integer."""
    builder, samples = made(seed)
    data = builder.bytes()
    kinds = sorted({op.kind for _, op in read_bytes(data).ops()})
    try:
        return quantize(data, samples, keep_float=random.Random(seed).sample(kinds, len(kinds) // 3), io="float32").model
    except FullintError:
        return (DEMO / "half.tflite").read_bytes()


def a_log(rng: random.Random) -> bytes:
    """A log of benchmark_model."""
    corpus = os.environ.get("FULLINT_CORPUS")
    found = sorted(Path(corpus).rglob("*.log")) if corpus else []
    if found and rng.random() < 0.7:
        return rng.choice(found).read_bytes()[:MOST_BYTES]
    return LOG.encode()


def an_archive(rng: random.Random) -> bytes:
    """Samples of the demonstration's network, as .npz."""
    out = io.BytesIO()
    save = rng.choice((np.savez, np.savez_compressed))
    save(out, image=np.random.default_rng(rng.randrange(9)).random((8, 8, 8, 1), np.float32))
    return out.getvalue()


def an_array(rng: random.Random) -> bytes:
    """The same as .npy."""
    out = io.BytesIO()
    np.save(out, np.random.default_rng(rng.randrange(9)).random((8, 8, 8, 1), np.float32))
    return out.getvalue()


def some_labels(rng: random.Random) -> bytes:
    """One number a line, or an array."""
    out = io.BytesIO()
    np.save(out, np.arange(10))
    return rng.choice((b"1\n2\n3\n4\n5\n6\n7\n8\n9\n0\n", out.getvalue()))


def an_image(rng: random.Random) -> bytes:
    """PNG, JPEG, TIFF and others, of 8 or 16 bits."""
    from PIL import Image

    values = np.random.default_rng(rng.randrange(9)).integers(0, 256, (8, 8, 3))
    deep = Image.fromarray((values[..., 0] * 257).astype(np.uint16))
    plain = Image.fromarray(values.astype(np.uint8))
    picture, form = rng.choice(
        ((deep, "PNG"), (deep, "TIFF"), *((plain, f) for f in ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")))
    )
    out = io.BytesIO()
    picture.save(out, form)
    return out.getvalue()


def a_recipe(rng: random.Random) -> bytes:
    """Options and rules as TOML."""
    return b'[options]\nio = "int8"\nmin_sqnr = 10.0\n\n[[rules]]\nitems = ["ADD", "conv/*", 3]\nint16 = true\nranges = "mse"\n'


LOG = """\
STARTING!
Log parameter values verbosely: [0]
Graph: [model.tflite]
Enable op profiling: [1]
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
Explicitly applied XNNPACK delegate, and the model graph will be partially executed by the delegate w/ 3 delegate kernels.
Inference timings in us: Init: 10233, First inference: 4521, Warmup (avg): 3012.5, Inference (avg): 2987.3
Operator-wise Profiling Info for Regular Benchmark Runs:
============================== Run Order ==============================
\t             [node type]\t  [first]\t [avg ms]\t     [%]\t  [cdf%]\t  [mem KB]\t[times called]\t[Name]
\t                 CONV_2D\t    1.254\t    1.201\t 40.231%\t 40.231%\t     0.000\t        1\t[conv1]:0
\t              DEQUANTIZE\t    0.532\t    0.501\t 16.772%\t 57.003%\t     0.000\t        1\t[dequant]:1
\t                QUANTIZE\t    0.421\t    0.411\t 13.772%\t 70.775%\t     0.000\t        1\t[quant]:2

============================== Summary by node type ==============================
Number of nodes executed: 3
Timings (microseconds): count=50 first=2310 curr=2104 min=2011 max=2893 avg=2113.1 std=97
"""

OF_COMMAND: dict[str, tuple[Callable[[random.Random], bytes], str]] = {
    "readlog": (a_log, "a.log"),
    "samples": (an_archive, "a.npz"),
    "labels": (some_labels, "a.txt"),
    "image": (an_image, "a.png"),
    "recipe": (a_recipe, "a.toml"),
}
