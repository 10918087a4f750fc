"""Int8 weights as the limit of accuracy: told apart from activations, on models where only one of them is rounded badly."""

import numpy as np
import pytest

from fullint.model.ir import Array, Model, Tensor
from fullint.ops.builder import Builder
from fullint.options import QuantizeOptions
from fullint.quantization.pipeline import QUANTIZE, run
from fullint.quantization.stage_values import Assigned, Request
from fullint.quantization.weight_limit import of_weights, weights_limit, with_rounded_weights
from fullint.runtime.process import WorkerProcess
from fullint.verification.kernel_outputs import outputs_of

COUNT = 20


def decided(g: Builder, samples: Array, **options: object) -> tuple[Assigned, float]:
    """What is decided of a model, and the SQNR of the whole result."""
    trail: list[object] = []
    request = Request(QuantizeOptions(model=g.bytes(), samples=samples, threads=1, min_sqnr=-100, **options))  # type: ignore[arg-type]
    result = run(QUANTIZE, request, None, trail)
    return next(v for v in trail if isinstance(v, Assigned)), result.report.certificate.sqnr_db


def limit(assigned: Assigned, samples: Array) -> float | None:
    model, few = assigned.calibrated.model, [[x] for x in samples[:8]]
    with WorkerProcess() as worker:
        return weights_limit(model, assigned.assignment, few, outputs_of(worker, model, few), worker)


def dense(g: Builder, x: Tensor, largest: float) -> Tensor:
    """Each output channel has one weight of this size, of an input that is nearly always 0."""
    weights = g.rng.normal(size=(8, 32)).astype(np.float32)
    weights[:, 0] = largest
    return g.dense(x, 8, weights=g.const(weights))


def values() -> Array:
    found = np.random.default_rng(0).uniform(-1, 1, (COUNT, 1, 32)).astype(np.float32)
    found[:, :, 0] *= 1e-4
    return found


def test_weights_are_the_limit_where_one_of_a_channel_is_far_larger(g: Builder) -> None:
    g.output(dense(g, g.input(1, 32), 300.0))
    for options in ({}, {"activations": "int16"}):
        assigned, result_db = decided(g, values(), **options)
        found = limit(assigned, values())
        assert found == pytest.approx(result_db, abs=3)
        said = of_weights(found, result_db)
        assert said is not None
        assert said.startswith("int8 weights are the limit: the float model with its weights alone rounded to 8 bits has ")


def test_weights_are_not_the_limit_where_activations_are(g: Builder) -> None:
    """One channel of the input is a thousand times as large as the others, and has no weight."""
    samples = values()
    samples[:, :, 0] = 1000 * np.sign(samples[:, :, 0])
    g.output(dense(g, g.input(1, 32), 0.0))
    assigned, result_db = decided(g, samples)
    found = limit(assigned, samples)
    assert found is not None
    assert found > result_db + 20
    assert of_weights(found, result_db) is None


def test_weights_are_rounded_where_they_are_read(g: Builder) -> None:
    """Those of convolutions and rows of embeddings, but no bias and no scalar; the given model stays as it is."""
    ids = g.input(1, 4, dtype="int32")
    rows = g.op("GATHER", g.random(16, 32), ids, shape=(1, 4, 32), dtype="float32")
    g.output(g.op("MUL", g.dense(g.reshape(rows, 4, 32), 8), g.const(0.3), fused_activation_function=0))
    samples = np.random.default_rng(0).integers(0, 16, (COUNT, 1, 4)).astype(np.int32)
    assigned, _ = decided(g, samples)
    model = assigned.calibrated.model
    rounded = with_rounded_weights(model, assigned.assignment)
    assert changed(model, rounded) == [("GATHER", 0), ("FULLY_CONNECTED", 1)]
    assert changed(model, with_rounded_weights(model, assigned.assignment)) == changed(model, rounded)


def changed(a: Model, b: Model) -> list[tuple[str, int]]:
    """Constant operands of two models that differ, each by less than a hundredth of its largest value."""
    found = []
    for x, y in zip(a.main.ops, b.main.ops, strict=True):
        for i, (s, t) in enumerate(zip(x.inputs, y.inputs, strict=True)):
            if s is not None and t is not None and s.buffer is not None and not np.array_equal(s.array, t.array):
                assert np.abs(s.array - t.array).max() < np.abs(s.array).max() / 100
                found.append((x.kind, i))
    return found


def test_without_weights_or_samples_there_is_no_limit(g: Builder) -> None:
    g.output(g.op("TANH", g.input(1, 32)))
    assigned, _ = decided(g, values())
    assert limit(assigned, values()) is None
    assert limit(assigned, values()[:0]) is None
    assert of_weights(None, 3.0) is None


def test_weights_that_were_refined_are_judged_as_they_are(g: Builder) -> None:
    """Rounded to nearest, all but one are 0 or 1 code; rounded for inputs that are all alike, their errors cancel."""
    w = np.random.default_rng(1).normal(size=(6, 64)).astype(np.float32) * 0.01
    w[:, 0] = 1
    g.output(g.op("FULLY_CONNECTED", g.input(1, 64), g.const(w), None, shape=(1, 6)))
    rng = np.random.default_rng(0)
    samples = (rng.normal(size=(80, 1, 1)) + 0.02 * rng.normal(size=(80, 1, 64))).astype(np.float32)
    samples[:, :, 0] = 0
    options = QuantizeOptions(model=g.bytes(), samples=samples, min_sqnr=-100)
    written = run(QUANTIZE[:-1], Request(options), None)
    model, few = written.assigned.calibrated.model, [[s] for s in samples[:20]]
    with WorkerProcess() as worker:
        given = model, written.assigned.assignment, few, outputs_of(worker, model, few), worker
        nearest, refined = weights_limit(*given), weights_limit(*given, written.refined)
    assert nearest is not None and refined is not None and refined > nearest + 10
