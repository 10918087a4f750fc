"""The worker process: typed messages, answers in order, crashes and refusals as errors."""

import numpy as np
import pytest

from fullint.calibration.collect import MeasuredVector
from fullint.calibration.outermost import Outermost
from fullint.calibration.range_methods import MinMax
from fullint.errors import RuntimeFailure
from fullint.model.tflite import write_model
from fullint.ops.builder import Builder
from fullint.runtime import benchmark_messages, messages
from fullint.runtime.benchmark_worker import BENCHMARK_HANDLERS
from fullint.runtime.messages import FinishMeasuring, Measure, Open, Run, Sample
from fullint.runtime.process import WorkerProcess, model_file
from fullint.runtime.worker import HANDLERS


def doubling() -> bytes:
    g = Builder()
    x = g.input(1, 4)
    g.output(g.op("ADD", x, x))
    return write_model(g.model())


def test_every_message_has_a_handler() -> None:
    for module, handlers in ((messages, {*HANDLERS} - {Sample}), (benchmark_messages, {*BENCHMARK_HANDLERS})):
        kinds = {k for k in vars(module).values() if isinstance(k, type) and issubclass(k, messages.Message)}
        assert handlers == kinds - {messages.Message}


def test_answers_come_in_the_order_of_the_messages() -> None:
    with model_file(doubling()) as path, WorkerProcess() as worker:
        worker.send(Open(path, "builtin", 1))
        for n in range(3):
            worker.send(Run([np.full((1, 4), n, np.float32)]))
        assert worker.receive(Open) is None
        assert [float(worker.receive(Run)[0][0, 0]) for _ in range(3)] == [0.0, 2.0, 4.0]


def test_an_answer_is_asked_for_by_its_kind() -> None:
    with model_file(doubling()) as path, WorkerProcess() as worker:
        worker.send(Open(path, "builtin", 1))
        with pytest.raises(AssertionError, match="Open is to be answered next, not Run"):
            worker.receive(Run)


def test_a_bad_sample_is_the_answer_to_the_end_of_measuring() -> None:
    with model_file(doubling()) as path, WorkerProcess() as worker:
        four, one = (Outermost.empty(4), Outermost.empty(4)), (np.zeros(1, np.int64), np.ones(4, np.float32))
        worker.call(Measure(path, 1, MeasuredVector(MinMax.empty(4), [], *four, Outermost.empty(1), one)))
        worker.post(Sample(0, [np.zeros((1, 4), np.float32)]))
        worker.post(Sample(1, [np.zeros((1, 4), np.int32)]))
        with pytest.raises(RuntimeFailure, match="LiteRT rejects"):
            worker.call(FinishMeasuring())


def test_an_end_without_a_beginning_is_refused() -> None:
    with WorkerProcess() as worker, pytest.raises(RuntimeFailure, match="no measurement was started"):
        worker.call(FinishMeasuring())
