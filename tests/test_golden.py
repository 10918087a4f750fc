"""Graphs before and after, as text, in reviewed files: what a refactoring must not change, and what a change of mind shows.

FULLINT_GOLDEN=write python -m pytest tests/test_golden.py      write the files anew; read the difference before you keep it
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import evaluate
from graph_text import text
from half import Half

from fullint import quantize, repair
from fullint.model.ir import Tensor, constant
from fullint.model.tflite import read_bytes, read_model
from fullint.ops.builder import Builder, samples_like
from fullint.passes import prepare
from fullint.passes.static_shapes import fold_constants

HOME = Path(__file__).parent / "golden"
WRITE = os.environ.get("FULLINT_GOLDEN") == "write"
Make = Callable[[Builder], object]


def same_as_file(name: str, found: str) -> None:
    path = HOME / f"{name}.txt"
    if WRITE:
        path.parent.mkdir(exist_ok=True)
        path.write_text(found + "\n")
    assert found + "\n" == path.read_text(), f"{path.name} differs; FULLINT_GOLDEN=write rewrites it: read the difference"


def image(g: Builder, channels: int = 3) -> Tensor:
    return g.input(1, 6, 6, channels, name="x")


def batch_norm(g: Builder) -> object:
    y = g.conv(image(g))
    y = g.op("MUL", y, g.const(np.float32([1, 2, 0.5, -1])))
    return g.op("RELU", g.op("ADD", y, g.const(np.float32([0, 1, 2, 3]))))


def running_sum(g: Builder) -> object:
    return g.op("CUMSUM", g.input(2, 5, name="x"), g.const(np.int32(1)), shape=(2, 5), reverse=True)


def gelu_as_a_chain(g: Builder) -> object:
    x = g.input(1, 16, name="x")
    inner = g.op("TANH", g.op("MUL", g.op("ADD", x, g.op("MUL", g.op("MUL", x, x), x)), g.const(0.8)))
    return g.op("MUL", g.op("MUL", x, g.const(0.5)), g.op("ADD", inner, g.const(1.0)))


def softmax_in_parts(g: Builder) -> object:
    x = g.input(1, 4, 5, name="x")
    e = g.op("EXP", g.op("SUB", x, g.op("REDUCE_MAX", x, g.const(np.int32([2])), shape=(1, 4, 1), keep_dims=True)))
    return g.op("DIV", e, g.op("SUM", e, g.const(np.int32([2])), shape=(1, 4, 1), keep_dims=True))


def layer_norm(g: Builder) -> object:
    x = g.input(1, 4, 8, name="x")
    mean = g.op("MEAN", x, g.const(np.int32([2])), shape=(1, 4, 1), keep_dims=True)
    d = g.op("SQUARED_DIFFERENCE", x, mean)
    variance = g.op("MEAN", d, g.const(np.int32([2])), shape=(1, 4, 1), keep_dims=True)
    return g.op("MUL", g.op("SUB", x, mean), g.op("RSQRT", g.op("ADD", variance, g.const(1e-3))))


def shape_arithmetic(g: Builder) -> object:
    x = image(g)
    shape = g.op("SHAPE", x, shape=(4,), dtype="int32", out_type=2)
    first = g.op(
        "STRIDED_SLICE", shape, *(g.const(np.int32([n])) for n in (0, 1, 1)), shape=(), dtype="int32", shrink_axis_mask=1
    )
    to = g.op("PACK", first, g.const(np.int32(-1)), shape=(2,), dtype="int32", values_count=2)
    return g.op("RESHAPE", x, to, shape=(1, 108))


def division(g: Builder) -> object:
    return g.op("DIV", image(g), g.const(np.float32([2, 4, 8])))


PASSES: dict[str, Make] = {
    f.__name__: f for f in (batch_norm, running_sum, gelu_as_a_chain, softmax_in_parts, layer_norm, shape_arithmetic, division)
}


@pytest.mark.parametrize("name", PASSES)
def test_preparation(name: str) -> None:
    g = Builder(1)
    g.output(PASSES[name](g))
    model = read_bytes(g.bytes())
    before = text(model)
    changes = [*fold_constants(model, evaluate), *prepare(model, evaluate)]
    notes = "\n".join(f"{'done' if c.done else 'left'} {c.rule}: {c.kind} {c.output}: {c.why}" for c in changes)
    same_as_file(f"prepare_{name}", f"{before}\n=>\n{text(model)}\n---\n{notes}")


def network(g: Builder) -> None:
    """Convolutions, a concatenation of a fixed scale, a residual sum, two heads."""
    x = g.input(1, 8, 8, 3, name="x")
    y = g.depthwise(g.conv(x, 4, activation="RELU6"), activation="RELU")
    s = g.op("ADD", y, g.conv(y, 4))
    z = g.op("CONCATENATION", g.op("LOGISTIC", s), g.op("RELU", s), shape=(1, 8, 8, 8), axis=3)
    pooled = g.op("MEAN", z, g.const(np.int32([1, 2])), shape=(1, 8), keep_dims=False)
    g.output(g.op("SOFTMAX", g.dense(pooled, 5), beta=1.0, name="class"), g.op("TANH", g.conv(z, 1), name="picture"))


def masked_attention(g: Builder) -> None:
    q, k, v = (g.input(1, 4, 8, name=n) for n in "qkv")
    mask = constant("mask", np.triu(np.full((1, 4, 4), -1e9, np.float32), 1))
    scores = g.op("ADD", g.op("BATCH_MATMUL", q, k, shape=(1, 4, 4), adj_y=True), mask)
    g.output(g.op("BATCH_MATMUL", g.op("SOFTMAX", scores, beta=1.0), v, shape=(1, 4, 8)))


RESULTS: dict[str, tuple[Callable[[Builder], None], dict[str, object]]] = {
    "per_channel": (network, {}),
    "per_tensor": (network, {"per_tensor": True}),
    "int16": (network, {"activations": "int16"}),
    "float_io": (network, {"io": "uint8,float32"}),
    "kept_float": (network, {"keep_float": "LOGISTIC,MEAN"}),
    "masked_attention": (masked_attention, {}),
}


@pytest.mark.parametrize("name", RESULTS)
def test_result(name: str) -> None:
    make, options = RESULTS[name]
    g = Builder(1)
    make(g)
    data = g.bytes()
    result = quantize(data, samples_like(read_bytes(data), 20), threads=1, min_sqnr=-100, **options)
    report = result.report
    said = [f"cut {c.kind} {c.output} input {c.input}: {c.why}" for c in report.cuts]
    said += [f"requantize {c.output}: {c.why}" for c in report.requantizes]
    said += [f"{c.rule}: {c.kind} {c.output}: {c.why}" for c in report.changes]
    same_as_file(f"result_{name}", "\n".join([text(read_bytes(result.model)), "---", *said, *report.notes, *report.warnings]))


def test_repair() -> None:
    """The case: convolutions left in float between a DEQUANTIZE and a QUANTIZE, a bias that two share, a wrong bias scale."""
    g = Half(1)
    x = g.coded(1, 6, 6, 4)
    y = g.sandwich(g.int_conv(x, 4, bias_factor=2.0))
    g.output(g.sandwich(y))
    data = g.bytes()
    result = repair(data, min_sqnr=-100, threads=1, unsafe_fixes=True)
    fixed = [f"{f.rule}: {f.kind} {f.output}: {f.cause}" for f in result.report.fixed]
    same_as_file(
        "repair_sandwich",
        "\n".join([text(read_bytes(data)), "=>", text(read_bytes(result.model)), "---", *fixed, *result.report.assumptions]),
    )


def test_every_file_is_of_a_case() -> None:
    cases = {f"prepare_{n}" for n in PASSES} | {f"result_{n}" for n in RESULTS} | {"repair_sandwich"}
    assert {p.stem for p in HOME.glob("*.txt")} == cases


def test_text_of_a_model_read_again_is_the_same(tmp_path: Path) -> None:
    g = Builder(1)
    network(g)
    (tmp_path / "m.tflite").write_bytes(g.bytes())
    assert text(read_model(tmp_path / "m.tflite")) == text(read_bytes(g.bytes()))
