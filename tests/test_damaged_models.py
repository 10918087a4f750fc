"""Exceptions that nobody foresaw: a damaged model is named, a sound one leaves a bug a bug."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from repacked import repacked

from fullint import audit, quantize
from fullint.errors import ModelFormatError, RuntimeFailure
from fullint.limits import Limits, limits
from fullint.model.tflite import schema
from fullint.ops.builder import Builder
from fullint.runtime import damaged_models
from fullint.runtime.damaged_models import diagnosing


def changed(data: bytes, change) -> bytes:
    """With another main graph."""
    return repacked(data, lambda root: change(root.subgraphs[0]))


@pytest.fixture
def sound(g: Builder) -> bytes:
    x = g.conv(g.input(1, 8, 8, 3), 4, activation="RELU")
    g.output(g.op("MAX_POOL_2D", x, padding=1, stride_w=2, stride_h=2, filter_width=2, filter_height=2, shape=(1, 4, 4, 4)))
    return g.bytes("serve")


def fails(model: object, error: type[BaseException] = KeyError) -> None:
    """An exception inside of the package."""

    @diagnosing
    def call(model: object) -> None:
        raise error("x")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(damaged_models, "_of_the_user", lambda error: False)
        call(model)


def test_a_bug_is_a_bug(sound: bytes, tmp_path: Path) -> None:
    for model in (sound, 7, "nothing.tflite", tmp_path):
        with pytest.raises(KeyError):
            fails(model)


@pytest.mark.parametrize("form", ["bytes", "path", "keyword"])
def test_a_wrong_shape_is_named(sound: bytes, form: str, tmp_path: Path) -> None:
    def shape(graph) -> None:
        graph.tensors[graph.operators[0].outputs[0]].shape = []

    data = changed(sound, shape)
    path = tmp_path / "m.tflite"
    path.write_bytes(data)
    given = {"bytes": ((data,), {}), "path": ((path,), {}), "keyword": ((), {"model": path})}
    arguments, keywords = given[form]
    with pytest.raises(ModelFormatError, match=r"has shape \[\], but LiteRT computes \[1, 8, 8, 4\]") as caught:
        fails(*arguments, **keywords)
    assert isinstance(caught.value.__cause__, KeyError)
    assert form == "bytes" or str(path) in str(caught.value)


def test_what_litert_says_is_said(sound: bytes) -> None:
    def rank(graph) -> None:
        graph.tensors[graph.inputs[0]].shape = [1, 8, 8]

    with pytest.raises(ModelFormatError, match="damaged: LiteRT rejects the model"):
        fails(changed(sound, rank))


def test_memory_that_runs_out(sound: bytes) -> None:
    with pytest.raises(RuntimeFailure, match="not enough memory"):
        fails(sound, MemoryError)


def test_signals_pass(sound: bytes) -> None:
    with pytest.raises(KeyboardInterrupt):
        fails(sound, KeyboardInterrupt)


VARIANT = schema.values("TensorType")["VARIANT"]
DAMAGES = {
    "a type of its own": lambda g: setattr(g.tensors[g.operators[0].outputs[0]], "type", 13),
    "weights of no number": lambda g: setattr(
        g.tensors[g.operators[0].inputs[1]], "type", schema.values("TensorType")["VARIANT"]
    ),
    "another operand": lambda g: setattr(g.operators[0], "inputs", [0, 1, 2, 0]),
    "no operand": lambda g: setattr(g.operators[0], "inputs", []),
    "no output": lambda g: setattr(g.operators[1], "outputs", []),
    "a wrong shape": lambda g: setattr(g.tensors[g.operators[0].outputs[0]], "shape", []),
    "a huge shape": lambda g: setattr(g.tensors[g.operators[1].outputs[0]], "shape", [2**20, 1024]),
    "itself as an operand": lambda g: setattr(g.operators[0], "inputs", [g.operators[0].outputs[0], 1, 2]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damages_are_one_error_or_done_right(sound: bytes, damage: str) -> None:
    data = changed(sound, DAMAGES[damage])
    samples = [np.random.default_rng(i).normal(size=(1, 8, 8, 3)).astype(np.float32) for i in range(20)]
    for call in (lambda: quantize(data, samples), lambda: audit(data)):
        try:
            call()
        except (ModelFormatError, RuntimeFailure) as e:
            assert "\n" not in str(e)  # noqa: PT017


def stale(graph) -> None:
    """A shape that LiteRT computes otherwise, and does not mind."""
    graph.tensors[graph.operators[0].outputs[0]].shape = [2, 8, 8, 4]


def test_an_exception_of_the_users_own_is_his(sound: bytes) -> None:
    """Whatever the model is."""

    def samples():
        yield [np.zeros((1, 8, 8, 3), np.float32)]
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        quantize(changed(sound, stale), samples())


@pytest.mark.own_workers
def test_limits_hold_where_litert_is_asked(sound: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(damaged_models, "_of_the_user", lambda error: False)
    monkeypatch.setattr(damaged_models, "_lies", lambda given: seen.append(limits()) or iter(()))

    @diagnosing
    def call(model: bytes, *, worker_memory: float | None = None) -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        call(sound, worker_memory=8)
    assert seen == [Limits(8 * 10**9)]
