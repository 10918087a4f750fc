import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from shared_workers import Pool, shared

from fullint.auditing.audit import audit_model
from fullint.calibration.collect import Collector
from fullint.calibration.statistics import Stats, finish
from fullint.model.ir import Graph, Model, Tensor, Uses
from fullint.model.tflite import read_model
from fullint.ops.builder import Builder, samples_like
from fullint.passes import engine
from fullint.quantization import pipeline
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import WorkerProcess, model_file
from fullint.verification.contract import contract_problems

CORPUS = os.environ.get("FULLINT_CORPUS")


def corpus(*parts: str) -> list[Path]:
    """Files of the corpus, none where there is no corpus."""
    return sorted(Path(CORPUS, *parts[:-1]).glob(parts[-1])) if CORPUS else []


def some_slow(seeds: Iterable[int], core: int) -> list[object]:
    """Seeds as parameters: the first belong to the core, the others to the slow tests."""
    return [s if i < core else pytest.param(s, marks=pytest.mark.slow) for i, s in enumerate(seeds)]


def snapshot(*graphs: Graph) -> list[object]:
    """Everything a pass could change in some graphs, to be compared with what it is later."""
    tensors = dict.fromkeys(
        t for g in graphs for t in (*g.tensors, *g.inputs, *g.outputs, *(t for op in g.ops for t in op.operands()))
    )
    ops = [
        (op, op.kind, [*op.inputs], [*op.outputs], {**op.options}, op.version, op.keep_float, op.origin)
        for g in graphs
        for op in g.ops
    ]
    values = [(t, t.name, t.shape, t.dtype, t.buffer, t.quant, t.shape_signature, t.is_variable) for t in tensors]
    ends = [([*g.tensors], [*g.inputs], [*g.outputs], [*g.ops]) for g in graphs]
    return [ops, values, ends]


@pytest.fixture(autouse=True)
def rules_only_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    """In every test: looking for rewrites changes nothing, whatever is refused or found."""
    decide = engine._decide

    def checked(graph: Graph, rule: engine.RewriteRule, uses: Uses) -> object:
        before = snapshot(graph)
        found = decide(graph, rule, uses)
        assert snapshot(graph) == before, f"{rule.__name__} changed the graph while deciding"
        return found

    monkeypatch.setattr(engine, "_decide", checked)


@pytest.fixture(scope="session")
def worker_pool() -> Iterator[Pool]:
    pool = Pool()
    yield pool
    pool.end()


@pytest.fixture(autouse=True)
def _workers(request: pytest.FixtureRequest, worker_pool: Pool) -> Iterator[None]:
    """Worker processes are shared between cases, but for those that look at them."""
    if request.node.get_closest_marker("own_workers"):
        yield
        return
    with pytest.MonkeyPatch.context() as patch, shared(worker_pool, patch):
        yield


@pytest.fixture
def g() -> Builder:
    return Builder()


def run(model: object, arrays: list[np.ndarray], kernels: str = "xnnpack") -> list[np.ndarray]:
    """Outputs of a model (bytes or Model), run in a process of its own."""
    with model_file(model) as path, WorkerProcess() as box:
        box.call(Open(path, kernels, 1))
        return box.call(Run(arrays))


def evaluate(model: object) -> list[np.ndarray]:
    """Outputs of a model of constants."""
    return run(model, [], "builtin")


def calibrate(model: Model, tensors: list[Tensor], values: list[np.ndarray]) -> Stats:
    """The ranges of one sample, without room for others."""
    with WorkerProcess() as worker, Collector(model, tensors, set(), worker, 1) as collector:
        collector.add(0, values)
        found = collector.finish()
    return finish(model, replace(found, count=10**9))  # so many that the ends are taken as they are


def quantized(g: Builder, count: int = 20, **options: object) -> pipeline.Result:
    """Quantize what a builder holds on random samples; the contract holds on the bytes."""
    data = g.bytes()
    result = pipeline.quantize(data, samples_like(read_model(data), count), **options)
    asked = "float32" in str(options.get("io")) or options.get("keep_float") is not None
    assert options.get("keep_float") or list(contract_problems(read_model(result.model), options.get("io") == "float32")) == []
    clips = any(op.kind in ("FAKE_QUANT", "QUANTIZE") for _, op in read_model(data).ops())
    assert_audit_is_content(result.model, floats=asked, clips=clips)
    return result


FLOAT_ASKED_FOR = {
    "float-io",
    "float-border",
    "left-float",
    "float-neighbour",
    "no-int8-kernel",
    "converter-float-only",
    "float-type",
}
"""What an audit may say of a result whose user asked for float somewhere."""


def assert_audit_is_content(data: bytes, *, floats: bool = False, clips: bool = False, losses: bool = False) -> None:
    """An audit of a result has no error, and no warning but for the float, the clips and the lost operands expected."""
    found = audit_model(read_model(data)).findings
    bad = [f for f in found if f.level != "note" and not (floats and f.rule in FLOAT_ASKED_FOR)]
    bad = [f for f in bad if not (clips and f.rule == "requantize-clips") and not (losses and f.rule == "operand-wiped-out")]
    assert not bad, [(f.rule, f.index, f.kind, f.cause) for f in bad]


def kinds(data: bytes) -> list[str]:
    return [op.kind for op in read_model(data).main.ops]
