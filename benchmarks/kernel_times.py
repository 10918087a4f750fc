"""Times of LiteRT's kernels with int8 and int16 activations, by which `ops/kernel_times.py` estimates what 16 bits cost.

    python benchmarks/kernel_times.py [--out FILE]

One operator at a time, in three sizes, in a chain of copies, so that the interpreter's own time is a small part: every figure
is the time of a run per operator, in microseconds, on one thread. For each operator and type a line is fitted by least squares
of relative errors, us = a + n b; n is multiply-accumulates, or elements of the larger of input and output.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable

import numpy as np

import fullint
from fullint.model.ir import Tensor
from fullint.model.tflite import read_bytes
from fullint.ops.builder import Builder, samples_like
from fullint.ops.kernel_times import units

CHAIN = 4
Make = Callable[[Builder, Tensor], Tensor]


def _axes(g: Builder, *axes: int) -> Tensor:
    return g.const(np.array(axes, np.int32))


def _mean(g: Builder, x: Tensor) -> Tensor:
    """A MEAN over height and width, and back to the shape of the input, so that it can be chained."""
    y = g.op("MEAN", x, _axes(g, 1, 2), shape=(1, 1, 1, x.shape[-1]), keep_dims=True)
    return g.op("ADD", x, y, shape=x.shape)


def _matmul(g: Builder, x: Tensor) -> Tensor:
    pixels = x.size // x.shape[-1]
    return g.op("BATCH_MATMUL", g.reshape(x, 1, pixels, -1), g.reshape(x, 1, x.shape[-1], pixels), shape=(1, pixels, pixels))


SIZES = {"small": (8, 8, 16), "middle": (16, 16, 32), "large": (28, 28, 64)}
MAKERS: dict[str, Make] = {
    "CONV_2D": lambda g, x: g.conv(x, x.shape[-1], 3),
    "DEPTHWISE_CONV_2D": lambda g, x: g.depthwise(x),
    "FULLY_CONNECTED": lambda g, x: g.dense(x, x.shape[-1]),
    "BATCH_MATMUL": _matmul,
    "ADD": lambda g, x: g.op("ADD", x, g.random(*x.shape)),
    "SUB": lambda g, x: g.op("SUB", x, g.random(*x.shape)),
    "MUL": lambda g, x: g.op("MUL", x, g.random(*x.shape)),
    "MAXIMUM": lambda g, x: g.op("MAXIMUM", x, g.random(*x.shape)),
    "MEAN": _mean,
    "LEAKY_RELU": lambda g, x: g.op("LEAKY_RELU", x, alpha=0.1),
    "QUANTIZE": lambda g, x: g.op("ADD", g.op("MUL", g.op("ADD", x, g.random(*x.shape)), x), x),
    "GATHER": lambda g, x: g.op("SIN", x),
    "CAST": lambda g, x: g.op("SIN", x),
    "SOFTMAX": lambda g, x: g.op("SOFTMAX", x, beta=1.0),
    "LOGISTIC": lambda g, x: g.op("LOGISTIC", x),
    "TANH": lambda g, x: g.op("TANH", x),
    "GELU": lambda g, x: g.op("GELU", x),
    "RSQRT": lambda g, x: g.op("RSQRT", g.op("LOGISTIC", x)),
    "MAX_POOL_2D": lambda g, x: g.op(
        "MAX_POOL_2D", x, shape=x.shape, padding=0, stride_w=1, stride_h=1, filter_width=2, filter_height=2
    ),
    "CONCATENATION": lambda g, x: g.op("CONCATENATION", x, x, shape=(1, 2 * x.shape[1], *x.shape[2:]), axis=1),
    "TRANSPOSE": lambda g, x: g.op("TRANSPOSE", x, _axes(g, 0, 2, 1, 3), shape=(1, x.shape[2], x.shape[1], x.shape[3])),
    "RESHAPE": lambda g, x: g.reshape(x, 1, x.shape[2], x.shape[1], x.shape[3]),
}


ALONE = ("CONCATENATION", "BATCH_MATMUL", "LOGISTIC", "TANH", "GELU", "RSQRT", "QUANTIZE", "LEAKY_RELU", "GATHER", "CAST")
"""Kinds whose copies become one operator, or another one."""


def rows(kind: str, shape: tuple[int, ...], activations: str) -> list[tuple[int, float]]:
    """(units, microseconds) of each operator of the kind in a chain of it."""
    g = Builder()
    x = g.input(1, *shape)
    for _ in range(1 if kind in ALONE else CHAIN):
        x = MAKERS[kind](g, x)
    g.output(x)
    samples = samples_like(g.model(), 8)
    chosen = {"int16": "MUL"} if kind == "QUANTIZE" and activations == "int16" else {"activations": activations}
    done = fullint.quantize(g.bytes(), samples, **chosen, min_sqnr=-200, effort="fast")
    ops = read_bytes(done.model).main.ops
    report = fullint.benchmark(done.model, num_runs=30, min_secs=0.2, warmup_min_secs=0.05)
    found: dict[int, float] = {}
    for row in report.timings[0].operators:
        found[row.operator] = found.get(row.operator, 0.0) + row.us
    return [(units(op), found[op.origin]) for op in ops if op.kind == kind and op.origin in found]


def fit(points: list[tuple[int, float]]) -> tuple[float, float]:
    """(a, b) of us = a + n b with the least relative errors, neither below 0."""
    n, us = np.array(points, np.float64).T
    us = np.maximum(us, 0.02)
    a, b = np.linalg.lstsq(np.stack([1 / us, n / us], 1), np.ones(len(us)), rcond=None)[0]
    if a < 0:
        a, b = 0.0, float(np.exp(np.mean(np.log(us / n))))
    if b < 0:
        a, b = float(np.exp(np.mean(np.log(us)))), 0.0
    return float(a), float(b)


def main() -> None:
    """Print (a in us, b in ns) of all kinds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out")
    parser.add_argument("--kinds", nargs="*", default=list(MAKERS))
    options = parser.parse_args()
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for kind in options.kinds:
        for activations in ("int8", "int16"):
            try:
                points = [p for shape in SIZES.values() for p in rows(kind, shape, activations)]
            except fullint.FullintError as e:
                print(kind, activations, str(e).splitlines()[0])
                continue
            if not points:
                print(kind, activations, "no rows")
                continue
            a, b = fit(points)
            found.setdefault(kind, {})[activations] = (round(a, 3), round(1000 * b, 5))
            off = statistics.median(abs((a + n * b) / max(us, 0.02) - 1) for n, us in points)
            print(f"{kind:20} {activations:6} {a:8.3f} us + {1000 * b:9.5f} ns each   off by {off:.0%}   {points}", flush=True)
    if options.out:
        with open(options.out, "w") as file:
            json.dump(found, file, indent=1)


if __name__ == "__main__":
    main()
