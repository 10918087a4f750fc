"""The pipelines: stages fit each other, hand on whole values, and change none of what they were given."""

import dataclasses
import typing
from collections.abc import Callable

import numpy as np
import pytest
from conftest import corpus, snapshot
from half import Half

from fullint.model.ir import Model
from fullint.model.subgraphs import copy_model
from fullint.model.tflite import read_bytes, write_model
from fullint.ops.builder import Builder, samples_like
from fullint.options import QuantizeOptions
from fullint.quantization import stage_values as stages
from fullint.quantization.load import load
from fullint.quantization.pipeline import PLAN, QUANTIZE, run
from fullint.quantization.stage_values import Assigned, Calibrated, Prepared, Request
from fullint.quantization.workbench import Workbench
from fullint.repairing.pipeline import REPAIR, REPAIR_PLAN
from fullint.repairing.select import RepairRequest


def network() -> bytes:
    """Convolutions to equalize, a pool, a concatenation, a bias to correct."""
    g = Builder()
    x = g.input(1, 8, 8, 3)
    uneven = g.rng.normal(size=(8, 3, 3, 3)) * np.geomspace(0.01, 0.2, 8)[:, None, None, None]
    first = g.conv(x, weights=g.const(uneven.astype(np.float32)), bias=False, activation="RELU")
    y = g.conv(first, filters=8, activation="RELU")
    both = g.op("CONCATENATION", y, g.op("TANH", y), shape=(1, 8, 8, 16), axis=3)
    g.output(g.op("SOFTMAX", g.dense(g.reshape(both, 1, -1), 10), beta=1.0))
    return g.bytes()


def half() -> bytes:
    g = Half()
    g.output(g.quantize(g.op("RELU", g.dequantize(g.int_conv(g.coded(1, 6, 6, 3), bias_factor=2.0))), 0.3, 1))
    return write_model(g.model())


@pytest.mark.parametrize("pipeline", [QUANTIZE, PLAN, REPAIR, REPAIR_PLAN], ids=["quantize", "plan", "repair", "repair plan"])
def test_each_stage_takes_what_the_one_before_returns(pipeline: tuple[Callable, ...]) -> None:
    given: tuple[type, ...] = (RepairRequest,) if pipeline in (REPAIR, REPAIR_PLAN) else (Request,)
    for stage in pipeline:
        hints = typing.get_type_hints(stage)
        result = hints.pop("return")
        _, wanted, *more = hints.values()
        assert len(more) == len(stage.__defaults__ or ()), f"{stage.__name__} wants more than a run gives"
        assert any(issubclass(kind, wanted) for kind in given), f"{stage.__name__} wants {wanted.__name__}"
        given = typing.get_args(result) or (result,)


def test_most_stages_are_shared() -> None:
    assert len({*QUANTIZE} & {*REPAIR}) >= 6


def test_values_are_frozen() -> None:
    kinds = [k for k in vars(stages).values() if dataclasses.is_dataclass(k) and k.__module__ == stages.__name__]
    assert len(kinds) >= 7
    assert all(k.__dataclass_params__.frozen for k in kinds)


def models(value: object) -> list[Model]:
    """The models of a stage's value and of all it was made of."""
    found = [v for v in (getattr(value, "model", None), getattr(getattr(value, "emitted", None), "model", None)) if v is not None]
    for before in ("loaded", "prepared", "calibrated", "assigned"):
        if (value_before := getattr(value, before, None)) is not None:
            found += models(value_before)
    return found


@pytest.mark.parametrize("name", ["quantize", "repair"])
def test_no_stage_changes_what_it_was_given(name: str) -> None:
    data = network() if name == "quantize" else half()
    samples = samples_like(read_bytes(data), 20)
    pipeline, request = QUANTIZE, Request(QuantizeOptions(data, samples))
    if name == "repair":
        rules = frozenset({"bias-wrong-scale", "constant-without-parameters", "float-border"})
        pipeline, request = REPAIR, RepairRequest(QuantizeOptions(data, samples), False, False, True, rules=rules)
    value: object = request
    with Workbench(None) as bench:
        for stage in pipeline:
            given = models(value)
            before = [snapshot(*m.graphs) for m in given]
            value = stage(bench, value)
            for m, seen in zip(given, before, strict=True):
                assert snapshot(*m.graphs) == seen, f"{stage.__name__} changed the model it was given"


def test_a_run_ends_with_its_last_value() -> None:
    data = network()
    trail: list[object] = []
    assigned = run(PLAN, Request(QuantizeOptions(data, samples_like(read_bytes(data), 12))), None, trail)
    assert isinstance(assigned, Assigned)
    assert trail[-1] is assigned
    assert isinstance(assigned.calibrated, Calibrated)
    assert isinstance(assigned.calibrated.prepared, Prepared)
    assert [c.rule for c in assigned.calibrated.changes] == ["equalize"]


@pytest.mark.parametrize("path", [*corpus("models", "*.tflite")], ids=lambda p: p.stem)
def test_a_copy_is_written_as_the_same_bytes(path) -> None:
    with Workbench(None) as bench:
        try:
            model = load(bench, Request(QuantizeOptions(path), reject_bad_scales=False)).model
        except Exception:
            pytest.skip("not readable")
    copy, twins = copy_model(model)
    assert write_model(copy) == write_model(model)
    assert all(a is not b and a.buffer is b.buffer for a, b in twins.items())


def test_a_copy_shares_no_tensor() -> None:
    model = read_bytes(network())
    copy, _ = copy_model(model)
    before = snapshot(*model.graphs)
    for op in copy.main.ops:
        op.inputs[0].name, op.inputs[0].shape = "changed", (1,)
        op.options["axis"] = np.int32(7)
    copy.main.ops.clear()
    assert snapshot(*model.graphs) == before
