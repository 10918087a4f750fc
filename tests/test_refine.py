"""Refinement: each operator takes back its mean error and rounds its weights for what it reads, those before it in place."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from measuring import Wanted, collect
from test_pieces import at_once

from fullint.calibration.observed import observed_tensors
from fullint.calibration.statistics import finish
from fullint.model.ir import Buffer, Model, Op, Quant, Tensor
from fullint.model.tflite import read_bytes
from fullint.model.weights import INT8_WEIGHTS
from fullint.ops import ROWS
from fullint.ops.builder import Builder
from fullint.quantization import pipeline
from fullint.quantization.assign import assign
from fullint.quantization.emit import Emitted, emit
from fullint.quantization.pairs import pairs, staying, weighted
from fullint.quantization.refine import Refined, _Form, apply, carried_over, refine, weights_of
from fullint.quantization.side_by_side import SteppedModel
from fullint.runtime.process import WorkerProcess
from fullint.verification.kernel_outputs import integer_inputs

Sample = list[np.ndarray]


def smooth(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """A picture whose neighbours are alike, as those of photographs are."""
    waves = [np.sin(np.arange(n) * rng.uniform(0, 0.6) + rng.uniform(0, 6)) for n in shape[1:3]]
    picture = np.multiply.outer(waves[0], waves[1])[None, :, :, None] * rng.uniform(-1, 1, shape[3])
    return (picture + 0.05 * rng.normal(size=shape)).astype(np.float32)


def pictures(count: int, seed: int = 0, shape: tuple[int, ...] = (1, 10, 10, 3)) -> list[Sample]:
    rng = np.random.default_rng(seed)
    return [[smooth(rng, *shape)] for _ in range(count)]


def network(g: Builder) -> list[Tensor]:
    """Every kind of operator with weights but a transposed one; what each of them gives."""
    x = g.input(1, 10, 10, 3)
    first = g.conv(x, 8, activation="RELU")
    second = g.depthwise(first, 2)
    third = g.conv(second, 6, kernel=1, activation="RELU6")
    means = g.op("MEAN", third, g.const(np.int32([1, 2])), shape=(1, 6), keep_dims=False)
    g.output(g.dense(means, 5))
    return [first, second, third, g.graph.outputs[0]]


def integer(model: Model, samples: Sequence[Sample]) -> Emitted:
    """The integer model, its ranges those of the samples."""
    found = finish(model, collect(Wanted(model, observed_tensors(model)), samples))
    return emit(model, assign(model, found.measured))


def refined(
    model: Model, emitted: Emitted, samples: Sequence[Sample], stay: dict[Op, str] | None = None, threads: int = 1
) -> list[Refined]:
    found = pairs(model, emitted, weighted(model.main))
    why = staying(emitted, found) if stay is None else stay
    codes = [integer_inputs(emitted.model, s) for s in samples]
    with WorkerProcess() as one, WorkerProcess() as two:
        exact = SteppedModel(model, [p.exact for p in found], one, samples, threads)
        second = SteppedModel(emitted.model, [p.integer for p in found], two, codes, threads)
        return refine(found, exact, second, len(samples), why, lambda i, n: None)


def mean_errors(model: Model, emitted: Emitted, wanted: Sequence[Tensor], samples: Sequence[Sample]) -> list[np.ndarray]:
    """Per channel: the mean difference between the integer and the float model."""
    exact = at_once(model, wanted, samples)
    codes = at_once(emitted.model, [emitted.int8[t] for t in wanted], [integer_inputs(emitted.model, s) for s in samples])
    found = []
    for t in wanted:
        quant = emitted.int8[t].quant
        real = (np.stack(codes[emitted.int8[t]]).astype(np.float64) - quant.zero_point) * quant.scale
        found.append((real - np.stack(exact[t])).reshape(-1, t.shape[-1]).mean(axis=0))
    return found


def spread_of(model: Model, t: Tensor, samples: Sequence[Sample]) -> float:
    return float(np.std(np.stack(at_once(model, [t], samples)[t])))


def plant(emitted: Emitted, t: Tensor, error: np.ndarray) -> None:
    """Add an error to the bias of the integer operator that makes a tensor."""
    op = next(op for op in emitted.model.main.ops if emitted.int8[t] in op.outputs)
    index = ROWS[op.kind].bias
    bias = op.inputs[index]
    moved = bias.array + np.rint(error / bias.quant.scale).astype(np.int32)
    op.inputs[index] = replace(bias, buffer=Buffer.of(moved))


@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_planted_mean_error_is_taken_back(g: Builder, place: int) -> None:
    """In the layer that has it, and so that those behind it do not have to."""
    made = network(g)
    model, samples = g.model(), pictures(16)
    planted = [integer(model, samples) for _ in range(2)]
    size = spread_of(model, made[place], samples)
    error = size * np.linspace(-1, 1, made[place].shape[-1])
    plant(planted[1], made[place], error)
    (before,) = mean_errors(model, planted[1], [made[place]], samples)
    assert np.abs(before).max() > 0.3 * size
    plain, done = (refined(model, emitted, samples) for emitted in planted)
    apply(planted[1].model, done)
    for t, after in zip(made, mean_errors(model, planted[1], made, pictures(16, seed=1)), strict=True):
        assert np.abs(after).max() < 0.06 * spread_of(model, t, samples), t.name
    assert done[place].shift == pytest.approx(np.sqrt(np.square(error).mean()), rel=0.1)
    others = [i for i in range(4) if i != place]
    assert [done[i].shift for i in others] == pytest.approx([plain[i].shift for i in others], rel=0.3, abs=0.01 * size)


def test_mean_errors_before_an_activation_count(g: Builder) -> None:
    """Of a convolution that RELU6 cuts off on both sides, the sum is right, and the integer bias with it."""
    made = network(g)
    model, samples = g.model(), pictures(16)
    emitted = integer(model, samples)
    right = next(op for op in emitted.model.main.ops if emitted.int8[made[2]] in op.outputs).inputs[2]
    plant(emitted, made[2], np.full(6, 0.5))
    new = refined(model, emitted, samples)[2].new.inputs[2]
    np.testing.assert_allclose((new.array - right.array) * right.quant.scale, 0, atol=0.03)
    assert new.quant.same_as(right.quant)


def test_rounding_brings_the_result_nearer() -> None:
    """Than with nothing but the head's bias corrected; the more, the less there is to lose besides the weights."""
    g = Builder(seed=3)
    x = g.input(1, 10, 10, 3)
    y = g.conv(g.conv(x, 16, activation="RELU"), 16, activation="RELU")
    g.output(g.conv(g.conv(y, 16, activation="RELU"), 4))
    data, samples = g.bytes(), [{"input": s[0]} for s in pictures(60)]
    found = [pipeline.quantize(data, samples, activations="int16", effort=effort).report for effort in ("fast", "balanced")]
    fast, balanced = (r.certificate.sqnr_db for r in found)
    assert balanced > fast + 3
    rules = [[c for c in r.changes if c.rule == "refine"] for r in found]
    assert [len(changes) for changes in rules] == [1, 4]
    assert rules[0][0].why.endswith("weights stay: effort is fast") and "lowers its error by" in rules[1][0].why


def test_weights_that_stay_keep_their_codes_and_it_says_why(g: Builder) -> None:
    """Those that came as integers, and those that two operators share; biases are corrected all the same."""
    x = g.input(1, 10, 10, 3)
    shared = g.random(3, 3, 3, 3, scale=0.3)
    y = g.conv(g.conv(x, weights=shared, bias=False), weights=shared, bias=False)
    given = g.random(4, 3, 3, 3, scale=0.3)
    given.quant = Quant.of(np.abs(given.array).max(axis=(1, 2, 3)) / 127, np.zeros(4, np.int64), axis=0)
    z = g.conv(y, weights=given)
    last = g.conv(z, 5)
    g.output(last)
    model, samples = g.model(), pictures(12)
    emitted = integer(model, samples)
    twice, once, _, free = [op for op in emitted.model.main.ops if op.kind == "CONV_2D"]
    if weights_of(twice) is not weights_of(once):  # scales of their own: made one by hand
        once.inputs[1] = twice.inputs[1]
    before = {op.outputs[0]: weights_of(op).array.copy() for op in emitted.model.main.ops if op.kind == "CONV_2D"}
    plant(emitted, z, np.full(4, 1.0))
    done = refined(model, emitted, samples)
    assert [r.why for r in done] == ["other operators share them"] * 2 + ["they came as integers", ""]
    changes = apply(emitted.model, done)
    assert [c.rule for c in changes] == ["refine"] * 4
    assert [c.why.partition("weights stay: ")[2] for c in changes] == [r.why for r in done]
    for op in emitted.model.main.ops:
        if op.kind == "CONV_2D":
            assert (weights_of(op).array == before[op.outputs[0]]).all() == (op.outputs[0] is not free.outputs[0])
    assert done[2].shift == pytest.approx(1.0, rel=0.1)
    (after,) = mean_errors(model, emitted, [z], samples)
    assert np.abs(after).max() < 0.03


def test_the_given_models_stay_as_they_are(g: Builder) -> None:
    """Until what was decided is applied; and then no tensor of the float model is another one."""
    network(g)
    model, samples = g.model(), pictures(8)
    emitted = integer(model, samples)
    before = [[*op.inputs] for m in (model, emitted.model) for op in m.main.ops]
    values = [t.array.tobytes() for inputs in before for t in inputs if t is not None and t.is_constant]
    done = refined(model, emitted, samples)
    assert [[*op.inputs] for m in (model, emitted.model) for op in m.main.ops] == before
    assert [t.array.tobytes() for inputs in before for t in inputs if t is not None and t.is_constant] == values
    apply(emitted.model, done)
    assert {*emitted.model.main.ops} >= {r.new for r in done}
    assert not {*emitted.model.main.ops} & {r.pair.integer for r in done}
    for r in done:
        assert {weights_of(r.new)} <= {*emitted.model.main.tensors}
        assert np.abs(weights_of(r.new).array.astype(int)).max() <= INT8_WEIGHTS.most


def test_an_operator_without_a_bias_has_its_weights_rounded(g: Builder) -> None:
    g.output(g.transpose_conv(g.input(1, 10, 10, 3), 4, bias=False))
    model, samples = g.model(), pictures(8)
    emitted = integer(model, samples)
    integer_op = next(op for op in emitted.model.main.ops if op.kind == "TRANSPOSE_CONV")
    del integer_op.inputs[3:]
    (done,) = refined(model, emitted, samples)
    assert done.shift == 0 and len(done.new.inputs) == 3
    assert done.rounded is not None and done.rounded.error < done.rounded.nearest


def test_weights_as_matrices_and_back(g: Builder) -> None:
    """[groups, outputs, columns], the columns channel by channel; depthwise and grouped ones have several groups."""
    x = g.input(1, 6, 6, 4)
    g.conv(x, 5), g.conv(x, 6, groups=2), g.depthwise(x, 3), g.transpose_conv(x, 3), g.dense(g.input(2, 7), 5)
    for op, groups in zip(g.graph.ops, (1, 2, 4, 1, 1), strict=True):
        w, taps = weights_of(op).array, ROWS[op.kind].taps(op)
        form = _Form.of(op, taps)
        matrix = form.matrix(w)
        axis = ROWS[op.kind].axis
        assert matrix.shape == (groups, w.shape[axis] // groups, w.size // w.shape[axis])
        np.testing.assert_array_equal(form.back(matrix), w)
        last = np.moveaxis(w, axis, 0)[-1].reshape(taps.window, -1)
        np.testing.assert_array_equal(matrix[-1, -1], last.T.reshape(-1))


def test_what_another_build_has_decided_is_taken_over_where_scales_are_the_same(g: Builder) -> None:
    network(g)
    model, samples = g.model(), pictures(8)
    first, second = integer(model, samples), integer(model, samples)
    done = refined(model, first, samples)
    found = pairs(model, second, weighted(model.main))
    carried = carried_over(found, done)
    assert [r.pair for r in carried] == found
    apply(second.model, carried)
    apply(first.model, done)
    for a, b in zip(first.model.main.ops, second.model.main.ops, strict=True):
        constants = [[t.array.tobytes() for t in op.inputs if t is not None and t.is_constant] for op in (a, b)]
        assert constants[0] == constants[1] and b.outputs[0] in second.model.main.tensors
    third = integer(model, samples)
    found = pairs(model, third, weighted(model.main))
    data = found[1].integer.inputs[0]
    data.quant = replace(data.quant, scale=data.quant.scale * np.float32(1.01))
    assert [r.pair for r in carried_over(found, done)] == [found[0], *found[2:]]
    assert carried_over(found, []) == []


def natural() -> tuple[bytes, list[dict[str, np.ndarray]]]:
    g = Builder()
    network(g)
    return g.bytes(), [{"input": s[0]} for s in pictures(24)]


def test_the_bytes_are_the_same_each_time() -> None:
    """Whatever the number of threads."""
    data, samples = natural()
    found = {pipeline.quantize(data, samples, threads=threads).model for threads in (1, 1, 2)}
    assert len(found) == 1
    changed = pipeline.quantize(data, samples, effort="fast").model
    assert changed not in found


SCRIPT = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
from test_refine import natural, pipeline
print(hashlib.sha256(pipeline.quantize(*natural()).model).hexdigest())
"""


def test_the_bytes_do_not_depend_on_the_threads_of_blas() -> None:
    ours = hashlib.sha256(pipeline.quantize(*natural()).model).hexdigest()
    for threads in ("1", "2"):
        words = [sys.executable, "-c", SCRIPT, str(Path(__file__).parent)]
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": threads, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == ours


@pytest.mark.parametrize("options", [{"activations": "int16"}, {"per_tensor": True}, {"io": "float32"}])
def test_refined_models_keep_the_contract(options: dict[str, object]) -> None:
    """Wide biases, weights of one scale, float ends: the certificate checks the bytes."""
    data, samples = natural()
    result = pipeline.quantize(data, samples, **options)
    assert [c.kind for c in result.report.changes if c.rule == "refine"] == [
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "CONV_2D",
        "FULLY_CONNECTED",
    ]
    for op in read_bytes(result.model).main.ops:
        if op.kind in ROWS and ROWS[op.kind].weight is not None:
            assert np.abs(weights_of(op).array.astype(int)).max() <= INT8_WEIGHTS.most
    assert result.report.certificate.sqnr_db > 20
