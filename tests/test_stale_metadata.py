"""Working int8 models with metadata that no kernel reads, stale at random: repair changes what none computes, to the bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from conftest import some_slow
from random_graphs import made

from fullint.errors import FullintError
from fullint.model.ir import Model, Op, Quant, Tensor, twin
from fullint.model.tflite import read_bytes, write_model
from fullint.ops import ROWS
from fullint.ops.builder import Builder
from fullint.ops.operands import weighted
from fullint.quantization import pipeline
from fullint.repairing.pipeline import repair
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import WorkerProcess, model_file

SEEDS = range(200)
Edit = Callable[[Model, np.random.Generator], None]


def network(seed: int) -> tuple[bytes, list[dict[str, np.ndarray]]]:
    """A small network with weights of each kind, or a random graph."""
    if seed % 4 == 3:
        g, samples = made(5000 + seed)
        return g.bytes(), samples
    g, rng = Builder(seed), np.random.default_rng(seed)
    x = g.input(1, 8, 8, 3)
    y = g.depthwise(g.conv(x, activation="RELU" if seed % 2 else "NONE"))
    y = g.op("ADD", y, g.conv(y, activation="RELU6")) if seed % 3 else g.conv(y, 6)
    y = g.op("LOGISTIC", y) if seed % 5 == 0 else y
    y = g.dense(g.reshape(y, 1, -1), 5)
    g.output(g.op("SOFTMAX", y, beta=1.0) if seed % 2 else y)
    return g.bytes(), [{"input": rng.normal(size=(1, 8, 8, 3)).astype(np.float32)} for _ in range(12)]


def biased(model: Model) -> list[tuple[Op, int, Tensor]]:
    found = []
    for _, op in model.ops():
        operands = weighted(op)
        if operands is not None and operands[3] is not None and operands[3].dtype == "int32" and operands[3].quant is not None:
            found.append((op, ROWS[op.kind].bias, operands[3]))
    return found


def with_quant(op: Op, index: int, quant: Quant | None) -> None:
    """The operand with other parameters, for this operator alone."""
    t = op.inputs[index]
    own = twin(t)
    own.buffer, own.quant = t.buffer, quant
    op.inputs[index] = own


def bias_scale(model: Model, rng: np.random.Generator) -> None:
    for op, index, b in biased(model):
        if rng.random() < 0.5:
            factor = np.float32(rng.choice([0.1, 0.5, 1.004, 2.0, 1000.0]))
            with_quant(op, index, replace(b.quant, scale=(b.quant.scale * factor).astype(np.float32)))


def bias_of_one_scale(model: Model, rng: np.random.Generator) -> None:
    for op, index, b in biased(model):
        with_quant(op, index, Quant.of(b.quant.scale[:1], 0))


def bias_without_scale(model: Model, rng: np.random.Generator) -> None:
    for op, index, _ in biased(model):
        if rng.random() < 0.5:
            with_quant(op, index, None)


def recorded_ranges(model: Model, rng: np.random.Generator) -> None:
    for graph in model.graphs:
        for t in graph.tensors:
            if t.quant is not None and rng.random() < 0.5:
                t.quant = replace(t.quant, min=np.float32([-rng.random() * 9]), max=np.float32([rng.random() * 9]))


def old_versions(model: Model, rng: np.random.Generator) -> None:
    for _, op in model.ops():
        if rng.random() < 0.5:
            op.version = 1


def scales_of_shapes(model: Model, rng: np.random.Generator) -> None:
    for _, op in model.ops():
        for i, t in enumerate(op.inputs):
            if t is not None and t.is_constant and t.dtype == "int32" and t.quant is None:
                with_quant(op, i, Quant.of(float(rng.random()) + 0.1))


def axis_of_one_scale(model: Model, rng: np.random.Generator) -> None:
    for op, index, b in biased(model):
        if b.quant.scale.size == 1:
            with_quant(op, index, replace(b.quant, axis=int(rng.integers(0, 4))))


def zero_point_of_bias(model: Model, rng: np.random.Generator) -> None:
    for op, index, b in biased(model):
        if rng.random() < 0.3:
            with_quant(op, index, replace(b.quant, zero_point=np.full_like(b.quant.zero_point, 3)))


def zero_point_of_weights(model: Model, rng: np.random.Generator) -> None:
    for op, _, _ in biased(model):
        w = op.inputs[ROWS[op.kind].weight]
        if rng.random() < 0.3 and w.quant is not None:
            with_quant(op, ROWS[op.kind].weight, replace(w.quant, zero_point=np.full_like(w.quant.zero_point, 2)))


def scale_of_an_end(model: Model, rng: np.random.Generator) -> None:
    """The scale of a last output that is only moved: no kernel behind it reads it."""
    for op in model.main.ops:
        out = op.outputs[0] if op.outputs else None
        if (
            out is not None
            and out in model.main.outputs
            and op.kind in ("RESHAPE", "TRANSPOSE", "MAX_POOL_2D")
            and out.quant is not None
        ):
            out.quant = Quant.of(out.quant.scale * 2, out.quant.zero_point)


EDITS: tuple[Edit, ...] = (
    bias_scale,
    bias_of_one_scale,
    bias_without_scale,
    recorded_ranges,
    old_versions,
    scales_of_shapes,
    axis_of_one_scale,
    zero_point_of_bias,
    zero_point_of_weights,
    scale_of_an_end,
)


def answers(data: bytes, kernels: str, inputs: list[list[np.ndarray]]) -> list[list[np.ndarray]] | None:
    """What a model computes, as codes; None where the runtime refuses it."""
    try:
        with model_file(data) as path, WorkerProcess() as worker:
            worker.call(Open(path, kernels, 1))
            return [worker.call(Run(arrays)) for arrays in inputs]
    except FullintError:
        return None


def same(a: list[list[np.ndarray]], b: list[list[np.ndarray]]) -> bool:
    return all(np.array_equal(x, y) for u, v in zip(a, b, strict=True) for x, y in zip(u, v, strict=True))


def drawn(model: Model, rng: np.random.Generator) -> list[list[np.ndarray]]:
    def one(t: Tensor) -> np.ndarray:
        if t.dtype == "bool":
            return rng.random(t.shape) < 0.5
        return rng.integers(-128 if t.dtype == "int8" else 0, 128 if t.dtype == "int8" else 2, t.shape).astype(t.dtype)

    return [[one(t) for t in model.main.inputs] for _ in range(3)]


@pytest.mark.parametrize("seed", some_slow(SEEDS, 40))
def test_stale_metadata_that_nobody_reads(seed: int) -> None:
    given, samples = network(seed)
    rng = np.random.default_rng(seed)
    try:
        data = pipeline.quantize(given, samples, min_sqnr=-1000, threads=1).model
    except FullintError as e:
        pytest.skip(f"the model itself: {type(e).__name__}")
    inputs = drawn(read_bytes(data), rng)
    before = {k: answers(data, k, inputs) for k in ("xnnpack", "builtin")}
    stale = data
    for edit in rng.permutation(np.arange(len(EDITS)))[: rng.integers(1, 5)]:
        model = read_bytes(stale)
        EDITS[edit](model, rng)
        for graph in model.graphs:
            graph.sync_tensors()
        tried = write_model(model)
        after = {k: answers(tried, k, inputs) for k in before}
        if all(after[k] is not None and same(after[k], before[k]) for k in before if before[k] is not None):
            stale = tried  # nobody reads it
    result = repair(stale, min_sqnr=-1000, threads=1)
    for kernels, expected in before.items():
        if expected is not None:
            assert same(answers(result.model, kernels, inputs), expected), (kernels, result.report.fixed)
