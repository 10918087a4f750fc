"""What is begun before it is asked for: nothing of the result depends on it, and whoever else needs the process gets it."""

import os
import signal
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import fullint
from fullint.errors import RuntimeFailure
from fullint.model.ir import Array, Model
from fullint.model.tflite import read_bytes
from fullint.ops.builder import Builder
from fullint.quantization import head_start as starting
from fullint.quantization import pipeline
from fullint.quantization.pairs import weighted
from fullint.quantization.workbench import Workbench
from fullint.runtime.messages import Open, Run, TensorShapes
from fullint.runtime.process import WorkerProcess, model_file
from fullint.verification.paired_runs import ExactOutputs, PairedRuns


def network(g: Builder) -> bytes:
    x = g.input(1, 8, 8, 3, name="x")
    y = g.conv(g.conv(x, 8, activation="RELU"), 8, activation="RELU")
    g.output(g.dense(g.reshape(y, 1, -1), 5))
    return g.bytes()


def drawn(count: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 8, 8, 3)).astype(np.float32)


@pytest.mark.parametrize("effort", ["fast", "balanced"])
@pytest.mark.parametrize("count", [8, 60])
def test_the_result_is_that_of_a_run_without_it(g: Builder, monkeypatch: pytest.MonkeyPatch, effort: str, count: int) -> None:
    data = network(g)
    begun = fullint.quantize(data, drawn(count), effort=effort)
    stages = tuple(s for s in pipeline.QUANTIZE if s is not starting.head_start)
    assert len(stages) == len(pipeline.QUANTIZE) - 1
    monkeypatch.setattr(pipeline, "QUANTIZE", stages)
    plain = fullint.quantize(data, drawn(count), effort=effort)
    assert begun.model == plain.model
    assert begun.report.certificate == plain.report.certificate


def test_what_was_begun_is_used(g: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[bool] = []
    take = Workbench.begun_steps

    def counted(self: Workbench, model: Model, cuts: Sequence[Any]) -> Any:
        steps = take(self, model, cuts)
        used.append(steps is not None)
        return steps

    asked: list[int] = []
    known = ExactOutputs.of

    def found(self: ExactOutputs, sample: Sequence[Array]) -> list[Array] | None:
        outputs = known(self, sample)
        asked.append(outputs is not None)
        return outputs

    monkeypatch.setattr(Workbench, "begun_steps", counted)
    monkeypatch.setattr(ExactOutputs, "of", found)
    fullint.quantize(network(g), drawn(60))
    assert used == [True]
    assert asked and all(asked[:6])


def test_a_process_that_is_asked_for_ends_what_was_begun_in_it(g: Builder) -> None:
    data = network(g)
    model = read_bytes(data)
    cuts, samples = weighted(model.main), [[x[None]] for x in drawn(3)]
    with model_file(data) as path, Workbench(None) as bench:
        bench.begin_steps(model, cuts, samples, 1, {})
        bench.find_exact(path, samples)
        bench.worker.call(Open(path, "xnnpack", 1))
        assert bench.begun_steps(model, cuts) is None, "it was given up"
        bench.second_worker().call(Open(path, "xnnpack", 1))
        exact = bench.exact_outputs(path)
        assert exact is not None and bench.exact_outputs("other.tflite") is None
        for sample in samples:
            np.testing.assert_array_equal(exact.of(sample), bench.worker.call(Run(sample)))
        assert exact.of([samples[0][0]]) is None, "another object"


def test_steps_of_another_model_are_not_taken(g: Builder) -> None:
    model, other = read_bytes(network(g)), read_bytes(g.bytes())
    samples = [[x[None]] for x in drawn(2)]
    with Workbench(None) as bench:
        bench.begin_steps(model, weighted(model.main), samples, 1, {})
        assert bench.begun_steps(other, weighted(other.main)) is None
        assert bench.begun_steps(model, weighted(model.main)[1:]) is None
        assert bench.begun_steps(model, weighted(model.main)) is not None


def test_a_model_that_does_not_run_has_no_outputs_and_takes_nothing_with_it(g: Builder) -> None:
    data = network(g)
    wrong = [[np.zeros((1, 8, 8, 4), np.float32)]]
    right = [[x[None]] for x in drawn(1)]
    with model_file(data) as path, WorkerProcess() as worker:
        exact = ExactOutputs(worker, path, wrong)
        exact.collect()
        assert exact.of(wrong[0]) is None
        worker.call(Open(path, "xnnpack", 1))
        assert worker.call(Run(right[0]))[0].shape == (1, 5)


@pytest.mark.parametrize("known", [0, 2, 5])
@pytest.mark.parametrize("begun", [0, 3])
@pytest.mark.parametrize("answered", [(), (0, 1), (1, 0), (1,)])
def test_pairs_are_those_of_the_samples_whatever_is_known_or_begun(
    g: Builder, known: int, begun: int, answered: tuple[int, ...]
) -> None:
    data = network(g)
    samples = [[x[None]] for x in drawn(5)]
    with model_file(data) as path, WorkerProcess() as one, WorkerProcess() as two:
        exact = ExactOutputs(two, path, samples[:known])
        exact.collect()
        one.call(Open(path, "xnnpack", 1))
        expected = [one.call(Run(s)) for s in samples]
        pairs = PairedRuns(path, path, one, two, [(1, 8, 8, 3)], list, exact)
        for i in answered[:known]:
            pairs.answered[id(samples[i])] = expected[i]
        pairs.begin(samples[:begun])
        for (reference, result), outputs in zip(pairs.results(samples), expected, strict=True):
            np.testing.assert_array_equal(reference, outputs)
            np.testing.assert_array_equal(result, outputs)
        pairs.end()
        one.call(Open(path, "xnnpack", 1))
        two.call(Open(path, "xnnpack", 1))


def test_pairs_that_are_left_early_leave_the_processes_usable(g: Builder) -> None:
    samples = [[x[None]] for x in drawn(6)]
    with model_file(network(g)) as path, WorkerProcess() as one, WorkerProcess() as two:
        pairs = PairedRuns(path, path, one, two, [(1, 8, 8, 3)], list)
        pairs.begin(samples)
        results = pairs.results(samples)
        next(results)
        results.close()
        pairs.end()
        for worker in (one, two):
            worker.call(Open(path, "xnnpack", 1))
            assert worker.call(Run(samples[0]))


def test_a_process_that_crashed_in_a_trial_is_replaced(g: Builder) -> None:
    """So that the next trial has one; the same goes for one that was left with something to answer."""
    with model_file(network(g)) as path, Workbench(None) as bench:
        for worker in (lambda: bench.worker, bench.second_worker):
            first = worker()
            os.kill(first._process.pid, signal.SIGKILL)
            with pytest.raises(RuntimeFailure, match="crashed on the "):
                first.call(Open(path, "xnnpack", 1))
            worker().call(Open(path, "xnnpack", 1))
            worker().send(Open(path, "xnnpack", 1))
            assert worker().call(TensorShapes(path))
