"""Acceptance tables against the runtime itself, and the partitioning algorithm."""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import CORPUS, corpus, quantized
from half import Half

from fullint.delegates import conditions, edgetpu, nnapi
from fullint.delegates.partitioner import subsets
from fullint.delegates.taken import verdicts
from fullint.delegates.xnnpack import TABLE
from fullint.deployment.partition import partition
from fullint.errors import RuntimeFailure, UsageError
from fullint.model.ir import Model, Op, Quant, Tensor
from fullint.model.tflite import read_bytes, read_model
from fullint.ops.builder import Builder
from fullint.quantization.pipeline import quantize
from fullint.repairing.pipeline import repair
from fullint.runtime.messages import DelegateNodes
from fullint.runtime.process import WorkerProcess, model_file


def kernels(model: Model) -> list[tuple[list[int], list[int]]]:
    """(inputs without constants, outputs) of the kernels XNNPACK would have, by our table."""
    graph = model.main
    index = {t: i for i, t in enumerate(graph.tensors)}
    verdict = verdicts(graph, TABLE, expands=True)
    found = subsets(graph, [op for op in graph.ops if verdict[op] is None])
    return sorted(
        (sorted(index[t] for t in s.inputs if not t.is_constant), sorted(index[t] for t in s.outputs)) for s in found if s.taken
    )


def runtime_kernels(path: str, model: Model) -> list[tuple[list[int], list[int]]]:
    """The same, as the runtime has it."""
    constants = {i for i, t in enumerate(model.main.tensors) if t.is_constant}
    with WorkerProcess() as box:
        nodes = box.call(DelegateNodes(path))
    return sorted((sorted({*ins} - constants), sorted(outs)) for ins, outs in nodes)


def network(g: Builder) -> None:
    x = g.input(1, 8, 8, 3)
    y = g.conv(x, 4, activation="RELU6")
    y = g.op("HARD_SWISH", g.depthwise(y))
    y = g.op("MAX_POOL_2D", y, shape=(1, 4, 4, 4), stride_w=2, stride_h=2, filter_width=2, filter_height=2)
    y = g.op("CONCATENATION", y, g.op("ABS", y), shape=(1, 4, 4, 8), axis=3)
    g.output(g.op("SOFTMAX", g.dense(g.reshape(y, 1, -1), 5), beta=1.0))


@pytest.mark.parametrize("form", ["float", "int8", "int8 per tensor", "float io", "int16"])
def test_xnnpack_takes_what_we_say(form: str) -> None:
    g = Builder()
    network(g)
    if form == "float":
        data = g.bytes()
    else:
        options = {"int8 per tensor": {"per_tensor": True}, "float io": {"io": "float32"}, "int16": {"activations": "int16"}}
        data = quantized(g, **options.get(form, {})).model
    model = read_bytes(data)
    with model_file(data) as path:
        assert kernels(model) == runtime_kernels(path, model)


def test_a_half_quantized_model_is_one_kernel_of_xnnpack() -> None:
    g = Half()
    g.output(g.sandwich(g.sandwich(g.coded(1, 6, 6, 4))))
    model = read_bytes(g.bytes())
    with model_file(g.bytes()) as path:
        assert kernels(model) == runtime_kernels(path, model)
    assert len(kernels(model)) == 1


UNRUNNABLE = {"tflm_keyword_scrambled_8bit"}
"""Crashes the interpreter."""


@pytest.mark.parametrize("path", corpus("models", "*.tflite") + corpus("singles", "*.tflite"), ids=lambda p: p.stem)
def test_xnnpack_on_real_models(path: Path) -> None:
    """Float ones and, of the singles, their int8 forms are in another test; here as they are."""
    if path.stem in UNRUNNABLE:
        pytest.skip("crashes the interpreter")
    model = read_model(path)
    try:
        expected = runtime_kernels(str(path), model)
    except RuntimeFailure:
        pytest.skip("the runtime refuses it")
    assert kernels(model) == expected


# The algorithm


def chain(kinds: str) -> tuple[Model, list[Op]]:
    """A chain of ABS (taken) and NEG (not), by letters T and N."""
    g = Builder()
    y = g.input(1, 4)
    for k in kinds:
        y = g.op("ABS" if k == "T" else "NEG", y)
    g.output(y)
    model = g.model()
    return model, [op for op in model.main.ops if op.kind == "ABS"]


@pytest.mark.parametrize(("kinds", "count"), [("TTT", 1), ("NNN", 1), ("TNT", 3), ("TTNNTT", 3), ("NTNTN", 5)])
def test_a_chain_is_cut_where_kinds_change(kinds: str, count: int) -> None:
    model, taken = chain(kinds)
    assert len(subsets(model.main, taken)) == count


def test_parallel_branches_are_gathered() -> None:
    """Two branches of T N T: greedy gathers each depth into one epoch; in order of execution they stay apart."""
    g = Builder()
    x = g.input(1, 4)
    ends = [g.op("ABS", g.op("NEG", g.op("ABS", x))) for _ in range(2)]
    g.output(g.op("ADD", *ends))
    model = g.model()
    taken = [op for op in model.main.ops if op.kind != "NEG"]
    assert [s.taken for s in subsets(model.main, taken)] == [True, False, True]
    assert len(subsets(model.main, taken, greedy=False)) == 5


def test_borders_are_named() -> None:
    model, taken = chain("TNT")
    first, middle, last = subsets(model.main, taken)
    assert [t.name for t in first.inputs] == ["input"]
    assert first.outputs == middle.inputs
    assert middle.outputs == last.inputs
    assert last.outputs == model.main.outputs


# NNAPI and the Edge TPU


def refusals(model: Model, table: object) -> list[str]:
    return [why for op in model.main.ops if (why := table.no(op)) is not None]


def partitions(model: Model, level: int) -> tuple[int, int]:
    """(partitions, those of the delegate) in front of NNAPI."""
    table = nnapi.table(level)
    found = subsets(model.main, [op for op in model.main.ops if table.no(op) is None])
    return len(found), sum(s.taken for s in found)


def test_float_operators_are_left_to_the_cpu() -> None:
    g = Half()
    g.output(g.int_conv(g.sandwich(g.int_conv(g.coded(1, 6, 6, 4)))))
    assert partitions(read_bytes(g.bytes()), 30) == (3, 2)
    assert partitions(read_bytes(repair(g.bytes()).model), 30) == (1, 1)


def test_a_requantize_is_taken_from_level_30_on() -> None:
    g = Half()
    y = g.quantize(g.int_conv(g.coded(1, 6, 6, 4)), 0.2, 5)
    g.output(g.int_conv(y))
    model = read_bytes(g.bytes())
    assert partitions(model, 30) == (1, 1)
    assert partitions(model, 29) == (3, 2)


ROWS = [
    ("ADD", 30, lambda g: g.int_op("ADD", g.coded(1, 1, 4, 4, 2), g.coded(1, 1, 4, 4, 2), scale=0.1, zero=0), "5 dimensions"),
    (
        "RESHAPE",
        30,
        lambda g: g.int_op("RESHAPE", g.coded(1, 4), shape=(1, 2, 1, 2, 1), scale=0.05, zero=3),
        "5 dimensions|version 2",
    ),
    ("ABS", 30, lambda g: g.int_op("ABS", g.coded(1, 4), scale=0.05, zero=3), "version 2|int8"),
    ("TANH", 28, lambda g: g.int_op("TANH", g.coded(1, 4), scale=1 / 128, zero=0), "supported: float32"),
    (
        "MEAN",
        29,
        lambda g: g.int_op("MEAN", g.coded(1, 4), g.const([0, 1], "int32"), shape=(), scale=0.05, zero=3),
        "0 dimensions",
    ),
    (
        "TRANSPOSE",
        27,
        lambda g: g.int_op("TRANSPOSE", g.coded(1, 4), g.const([1, 0], "int32"), shape=(4, 1), scale=0.05, zero=3),
        "level 28",
    ),
]


@pytest.mark.parametrize(("kind", "level", "make", "says"), ROWS, ids=[r[0] for r in ROWS])
def test_rows_of_nnapi(kind: str, level: int, make: object, says: str) -> None:
    import re

    g = Half()
    g.output(make(g))
    [why] = refusals(g.model(), nnapi.table(level))
    assert re.search(says, why), why


def wrong(kind: str, condition: object) -> Op | None:
    """An operator that breaks one condition of its row; None where the condition is a function of its own."""
    dtypes = ("complex64", "float64", "float32", "int8", "int16", "bool")
    if isinstance(condition, conditions.Version):
        return _plain(kind, version=condition.most + 1)
    if isinstance(condition, conditions.Never):
        return _plain(kind)
    if isinstance(condition, conditions.Rank):
        return _plain(kind, shape=(1,) * (condition.most + 1))
    if isinstance(condition, conditions.Option):
        return _plain(kind, options={condition.field: "neither"})
    if isinstance(condition, conditions.Types):
        return next(op for d in dtypes if condition.no(op := _plain(kind, dtype=d), ()) is not None)
    if isinstance(condition, conditions.Static):
        return _plain(kind)
    return None


def _plain(
    kind: str, version: int = 1, shape: tuple[int, ...] = (1, 4), dtype: str = "int8", options: dict[str, object] | None = None
) -> Op:
    new = lambda: Tensor("t", shape, dtype, quant=Quant.of(0.1, 0))  # noqa: E731
    return Op(kind, [new() for _ in range(5)], [new()], dict(options or {}), version=version)


TABLES = {"edgetpu": edgetpu.TABLE, **{t.name: t for t in map(nnapi.table, (27, 29, 30, nnapi.API_LEVELS[-1]))}}


@pytest.mark.parametrize(("name", "kind"), [(n, row.kind) for n, t in TABLES.items() for row in t.rows])
def test_each_condition_of_each_row_refuses_what_breaks_it(name: str, kind: str) -> None:
    """Made from the tables: the operator is refused with the condition's own words, or with those of one before it."""
    table = TABLES[name]
    for condition in table.by_kind[kind].conditions:
        op = wrong(kind, condition)
        if op is not None:
            assert condition.no(op, ()), condition
            assert table.no(op), condition


VELA = importlib.util.find_spec("ethosu") is not None


@pytest.mark.skipif(not VELA, reason="Vela is not installed")
def test_velas_verdict_per_operator() -> None:
    g = Half()
    y = g.sandwich(g.int_conv(g.coded(1, 6, 6, 4)))
    g.output(g.int_conv(y))
    data = g.bytes()
    report = partition(data, "ethos-u")
    assert report.source.startswith("Arm Vela")
    assert {x.index for x in report.refused} == {1, 2, 3}
    assert {x.kind for x in report.refused} == {"DEQUANTIZE", "CONV_2D", "QUANTIZE"}
    assert not any("fullint_op" in x.reason for x in report.refused)
    assert (report.partitions, report.kernels) == (3, 2)
    after = partition(data, "ethos-u:ethos-u65-256", after="repair").after
    assert after is not None
    assert after.refused == ()
    assert (after.partitions, after.kernels) == (1, 1)


@pytest.mark.skipif(not VELA or not CORPUS, reason="needs Vela and the corpus")
@pytest.mark.parametrize("name", ["mlperf_vww_96_int8", "mlperf_kws_ref_model", "mlperf_ad01_int8"])
def test_vela_on_real_models(name: str) -> None:
    report = partition(corpus("models", f"{name}.tflite")[0], "ethos-u")
    assert report.taken == report.operators - len(report.refused)
    assert all(x.reason for x in report.refused)
    assert report.taken > 0.8 * report.operators


def test_every_row_has_a_source() -> None:
    for table in (TABLE, edgetpu.TABLE, *(nnapi.table(level) for level in nnapi.API_LEVELS)):
        assert table.source
        assert all(row.source for row in table.rows)
        assert len(table.by_kind) == len(table.rows)


def test_rows_of_the_edge_tpu() -> None:
    def why(make: object) -> str | None:
        g = Half()
        g.output(make(g))
        return edgetpu.TABLE.no(g.model().main.ops[-1])

    x = lambda g, *shape: g.coded(*(shape or (1, 6, 6, 4)))  # noqa: E731
    assert why(lambda g: g.int_conv(x(g))) is None
    assert "float32" in why(lambda g: g.dequantize(x(g)))
    assert "does not support LEAKY_RELU" in why(lambda g: g.int_op("LEAKY_RELU", x(g), scale=0.1, zero=0, alpha=0.1))
    assert "innermost" in why(lambda g: g.int_op("RELU", x(g, 2, 6, 6, 4), scale=0.1, zero=0))
    assert "batch" in why(lambda g: g.int_op("MEAN", x(g), g.const([0], "int32"), shape=(6, 6, 4), scale=0.1, zero=0))


@pytest.mark.skipif(not CORPUS, reason="no corpus")
def test_the_pair_of_the_case() -> None:
    path = corpus("models", "issue57758_like_half.tflite")[0]
    half, repaired = read_model(path), read_bytes(repair(path).model)
    assert partitions(half, 30) == (13, 7)
    assert partitions(repaired, 30) == (1, 1)
    assert partitions(repaired, 29)[0] == 3
    assert Counter(op.kind for op in half.main.ops)["CONV_2D"] == 82


@pytest.mark.parametrize("share", [0.98, 1.02])
@pytest.mark.parametrize(
    ("kind", "bound"), [("MUL", 2.0**-16), ("MUL", 2.0**8), ("ADD", 2.0**-10), ("ADD", 2.0**8), ("SUB", 2.0**8)]
)
def test_scales_at_the_edge_of_what_xnnpack_takes(kind: str, bound: float, share: float) -> None:
    """Just inside and just outside of each bound, our table says what the runtime does."""
    g = Half()
    a, b = g.coded(1, 4, 4, 2), g.coded(1, 4, 4, 2)
    a.quant = b.quant = Quant.of(0.05, 0)
    ratio = bound * share
    out = 0.05 * 0.05 / ratio if kind == "MUL" else 0.05 / ratio
    g.output(g.int_op(kind, a, b, scale=float(np.float32(out)), zero=0))
    data = g.bytes()
    model = read_bytes(data)
    with model_file(data) as path:
        assert kernels(model) == runtime_kernels(path, model)
    inside = (share > 1) == (bound < 1)
    assert bool(kernels(model)) == inside


def test_limits_of_layout_and_depth_on_the_edge_tpu() -> None:
    def why(make: object) -> str | None:
        g = Half()
        g.output(make(g))
        return edgetpu.TABLE.no(g.model().main.ops[-1])

    def transposed(g: Half, *order: int) -> object:
        shape = (1, 6, 1, 4)
        return g.int_op(
            "TRANSPOSE", g.coded(*shape), g.const(order, "int32"), shape=tuple(shape[a] for a in order), scale=0.1, zero=0
        )

    def mean(g: Half, depth: int) -> object:
        return g.int_op("MEAN", g.coded(1, 6, 6, depth), g.const([1, 2], "int32"), shape=(1, depth), scale=0.1, zero=0)

    assert "moves axes" in why(lambda g: transposed(g, 0, 3, 1, 2))
    assert why(lambda g: transposed(g, 0, 2, 1, 3)) is None  # only an axis of size 1 moves
    assert "30 channels" in why(lambda g: mean(g, 30)) and why(lambda g: mean(g, 32)) is None


def test_the_operator_that_alone_cuts_is_named() -> None:
    g = Builder()
    x = g.conv(g.input(1, 8, 8, 4))
    x = g.op("GELU", x)
    g.output(g.conv(x))
    made = quantize(g.bytes(), [np.random.default_rng(i).normal(size=(1, 8, 8, 4)).astype(np.float32) for i in range(30)]).model
    report = partition(made, "nnapi")
    assert (report.partitions, report.kernels, len(report.refused)) == (3, 2, 1)
    one = report.one_cut
    assert (one.kind, one.partitions, one.kernels) == ("GELU", 1, 1)
    assert "alone cuts the graph" in str(report) and "without it 1 partition, 1 by the delegate" in str(report)
    assert report.source.startswith("fullint's table (LiteRT")
    assert partition(made, "litert") == partition(made, "xnnpack")


@pytest.mark.parametrize("target", ["gpu", "edgetpu"])
def test_the_operator_that_costs_a_delegate_of_one_partition_most_is_named(target: str) -> None:
    """Without CUMSUM, two more operators run there; without FLOOR, which stands behind all of them, none."""
    g = Half()
    x = g.int_conv(g.coded(1, 6, 6, 4))
    x = g.int_op("CUMSUM", x, g.const(1, "int32"), shape=(1, 6, 6, 4), scale=0.1, zero=0)
    for _ in range(2):
        x = g.int_conv(x)
    g.output(g.int_op("CUMSUM", x, g.const(1, "int32"), shape=(1, 6, 6, 4), scale=0.1, zero=0))
    report = partition(g.bytes(), target)
    taken = 2 if target == "gpu" else 1
    assert report.taken == taken and len(report.refused) == 5 - taken
    one = report.one_cut
    assert (one.index, one.kind, one.delegated, one.partitions, one.kernels) == (1, "CUMSUM", 4, 2, 1)


def test_refusals_with_one_reason_stand_together_and_fit_a_terminal() -> None:
    g = Half()
    x = g.coded(1, 6, 6, 4)
    for _ in range(4):
        x = g.int_conv(g.sandwich(x))
    g.output(x)
    report = partition(g.bytes(), "nnapi")
    assert len(report.refused) == 12
    text = str(report)
    lines = [line for line in text.splitlines() if "not taken" in line]
    assert len(lines) < len(report.refused)
    body = text.splitlines()[1:]
    assert max(len(line) for line in body) <= 80


def test_what_quantize_would_make_of_it() -> None:
    g = Builder()
    g.output(g.conv(g.op("EXP", g.conv(g.input(1, 8, 8, 4)))))
    samples = [np.random.default_rng(i).normal(size=(1, 8, 8, 4)).astype(np.float32) for i in range(30)]
    after = partition(g.bytes(), "tflm", after="quantize", samples=samples).after
    assert after is not None and after.refused == () and after.partitions == 1


@pytest.mark.skipif(not VELA, reason="needs Vela")
def test_velas_reasons_end_where_they_end() -> None:
    g = Half()
    g.output(g.dequantize(g.int_conv(g.coded(1, 6, 6, 4))))
    report = partition(g.bytes(), "ethos-u")
    (refused,) = report.refused
    assert len(refused.reason) < 200 and "Network summary" not in refused.reason
    assert report.source.startswith("Arm Vela")


def test_rows_of_the_gpu() -> None:
    """8-bit models unless it is said otherwise, four axes, one partition."""
    g = Half()
    x = g.int_conv(g.coded(1, 6, 6, 4))
    x = g.int_conv(g.int_op("LOG_SOFTMAX", x, scale=0.1, zero=0))
    g.output(g.int_conv(x))
    report = partition(g.bytes(), "gpu")
    assert [(x.index, x.kind) for x in report.refused] == [(0, "CONV_2D"), (1, "LOG_SOFTMAX")]
    assert "largest partition" in report.refused[0].reason and "does not support LOG_SOFTMAX" in report.refused[1].reason
    assert (report.kernels, report.line.count("TfLiteGpuDelegateV2")) == (1, 1)
    assert all("is int8; supported: float32, float16" in x.reason for x in partition(g.bytes(), "gpu:float").refused[:1])
    g = Half()
    g.output(g.int_op("RELU", g.coded(1, 2, 3, 4, 5), scale=0.1, zero=0))
    (refused,) = partition(g.bytes(), "gpu").refused
    assert "has 5 axes; supported: up to 4" in refused.reason
    with pytest.raises(UsageError, match='there is no "gpu:fast"'):
        partition(g.bytes(), "gpu:fast")


@pytest.mark.parametrize(("scale", "level", "refused"), [(0.05, 28, True), (0.2, 28, False), (0.05, 29, False)])
def test_nnapi_before_29_takes_no_multiplier_of_one_or_more(g: Builder, scale: float, level: int, refused: bool) -> None:
    """Input scale 0.5 times weight scale 0.2 is 0.1: twice the output scale, or half of it."""
    x = g.input(1, 6, 6, 4, dtype="uint8")
    x.quant = Quant.of(0.5, 128)
    w = g.const(np.full((4, 3, 3, 4), 130, np.uint8))
    w.quant = Quant.of(0.2, 128)
    b = g.const(np.zeros(4, np.int32))
    b.quant = Quant.of(0.1, 0)
    y = g.op("CONV_2D", x, w, b, shape=(1, 6, 6, 4), dtype="uint8", stride_w=1, stride_h=1)
    y.quant = Quant.of(scale, 128)
    g.output(y)
    report = partition(g.bytes(), f"nnapi:{level}")
    assert [("is not below the output scale" in x.reason) for x in report.refused] == [True] * refused
