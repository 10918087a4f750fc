"""Latency, profiles, comparisons, a delegate's cut played on the host, and what the command line makes of them."""

from __future__ import annotations

import csv
import io
import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import corpus
from half import Half
from timings import settled

import fullint
from fullint.deployment.benchmark import ModelTiming, benchmark
from fullint.deployment.benchmark.profile import EventRow, join
from fullint.deployment.benchmark.session import compared
from fullint.deployment.logs import format_log, parse_log, readlog
from fullint.errors import ModelFormatError, RuntimeFailure, UsageError
from fullint.model.ir import constant
from fullint.model.tflite import read_bytes
from fullint.ops.builder import Builder
from fullint.runtime import litert_c_api as native
from fullint.runtime.benchmark_messages import Fill, Loop, OpenCompiled
from fullint.runtime.messages import Latency, Open
from fullint.runtime.process import WorkerProcess, model_file

pytestmark = pytest.mark.own_workers
QUICK = {"num_runs": 10, "min_secs": 0.1, "warmup_min_secs": 0.05}
MODELS = corpus("models", "*.tflite")
SIMULATED = "SIMULATED ON HOST"


def network(channels: int = 32, layers: int = 4) -> bytes:
    """About a millisecond of convolutions."""
    g = Builder()
    y = g.input(1, 32, 32, 3)
    for _ in range(layers):
        y = g.conv(y, channels, activation="RELU")
    g.output(g.op("SOFTMAX", g.dense(g.reshape(y, 1, -1), 10), beta=1.0))
    return g.bytes()


def command(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fullint", "benchmark", *words], cwd=folder, capture_output=True, text=True, check=False
    )


def profiled(source: object, kernels: str, **options: object) -> ModelTiming:
    """A timing whose rows sum to runs without the profiler, within 10 %, and to less than the runs that they are of."""
    timings: list[ModelTiming] = []

    def times() -> tuple[float, float]:
        t = benchmark(source, kernels=kernels, **options).timings[0]
        timings.append(t)
        if t.mean_us < 1000 or not t.operators:
            return 1.0, 1.0
        assert statistics.mean(t.profile_series) * 1e6 < 1.01 * t.profiled_us
        return min(t.profile_series), min(t.series)

    settled(times, 0.9, 1.1)
    return timings[-1]


@pytest.mark.alone
@pytest.mark.parametrize("kernels", ["xnnpack", "builtin", "reference"])
def test_the_profile_is_of_the_models_operators_and_sums_to_the_latency(kernels: str) -> None:
    t = profiled(network(48), kernels, num_runs=20, min_secs=0.5)
    assert t.mean_us > 1000
    named = [o.kind for o in t.operators if o.operator >= 0]
    assert named == [op.kind for op in read_bytes(network()).main.ops]
    assert t.not_joined == ""
    assert t.runs >= 20
    assert t.min_us <= t.p5_us <= t.median_us <= t.p95_us <= t.max_us
    assert t.init_ms > 0
    assert t.memory_mb > 0


@pytest.mark.alone
@pytest.mark.parametrize("kernels", ["xnnpack", "builtin"])
@pytest.mark.parametrize("path", MODELS, ids=lambda p: p.stem)
def test_profiles_of_real_models_sum_to_the_latency(path: Path, kernels: str) -> None:
    """Within 10 % where a run takes over a millisecond.

    As many runs as the profiler takes, and as warm: the least of ten is above that of thirty, and first runs are slower.
    """
    try:
        t = profiled(path, kernels, num_runs=30, min_secs=0.2, max_secs=4.0, warmup_min_secs=0.3)
    except RuntimeFailure as e:
        pytest.skip(str(e)[:100])
    if not t.operators:
        pytest.skip("the profiler does not take it")


def measured_and_plain(path: str, x: list[np.ndarray]) -> tuple[float, float]:
    """Seconds of the fastest run that is measured, and of the fastest of a plain loop around the interpreter."""
    with WorkerProcess() as plain, WorkerProcess() as ours:
        plain.call(Open(path, "xnnpack", 1))
        ours.call(OpenCompiled([path], "xnnpack", 1, False))
        ours.call(Fill([x]))
        plain.call(Latency(x, 20))
        ours.call(Loop(20, 0.0, 9.0))
        turns = [(plain.call(Latency(x, 40)), ours.call(Loop(40, 0.0, 9.0))) for _ in range(10)]
        return min(min(b) for _, b in turns), min(min(a) for a, _ in turns)


@pytest.mark.alone
def test_measuring_costs_nothing() -> None:
    """Against the interpreter in a plain loop, turn by turn.

    Each turn has new processes; what measuring itself takes would show in all of them.
    """
    data = network(48)
    x = [np.zeros(t.shape, np.float32) for t in read_bytes(data).main.inputs]
    with model_file(data) as path:
        settled(lambda: measured_and_plain(path, x), 0.0, 1.03)


@pytest.mark.alone
def test_models_side_by_side() -> None:
    small, large = network(16), network(64)
    report = benchmark(large, small, large, num_runs=50, min_secs=0.5)
    faster, same = report.comparisons
    assert faster.ratio > 2
    assert faster.low <= faster.ratio <= faster.high
    assert same.low < 1.1
    assert same.high > 0.9
    assert faster.kinds["CONV_2D"][0] > faster.kinds["CONV_2D"][1] > 0
    assert {o.kind for o in faster.operators} >= {"CONV_2D"}


def test_seconds_are_kept() -> None:
    slow = network(64, 8)
    t = benchmark(slow, kernels="reference", num_runs=1000, max_secs=0.2, warmup_min_secs=0).timings[0]
    assert t.runs < 20


def test_given_inputs_zeros_and_bytes() -> None:
    data = network(8, 1)
    for inputs in ("zeros", [np.ones((1, 32, 32, 3), np.float32)]):
        assert benchmark(data, inputs=inputs, **QUICK).timings[0].runs >= 10
    one_by_one = benchmark(data, inputs=(np.ones((1, 32, 32, 3), np.float32) for _ in range(2)), **QUICK)
    assert one_by_one.options["inputs"] == "given"
    with pytest.raises(fullint.SamplesError):
        benchmark(data, inputs=[np.ones((1, 9, 9, 3), np.float32)], **QUICK)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernels": "gpu"}, "kernels must be"),
        ({"num_threads": 0}, "num_threads must be at least 1"),
        ({"max_secs": 0}, "max_secs"),
        ({"simulate": "tpu"}, "target must be"),
        ({"simulate": "nnapi", "nnapi_accelerator_name": "abacus"}, 'unknown accelerator "abacus"'),
        ({"nnapi_accelerator_name": "google-edgetpu"}, "nnapi_accelerator_name needs NNAPI"),
        ({"external_delegate_path": "nothing.so"}, "no such library"),
        ({"external_delegate_options": "a"}, "external_delegate_options must have the form"),
    ],
)
def test_bad_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        benchmark(network(8, 1), **options)


def test_bad_models() -> None:
    with pytest.raises(UsageError, match="no model"):
        benchmark()
    with pytest.raises(ModelFormatError):
        benchmark(b"TFL3" * 20)


def test_a_library_that_does_not_fit_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "SYMBOLS", [*native.SYMBOLS, "LiteRtFly"])
    with pytest.raises(RuntimeFailure, match="lacks LiteRtFly"):
        native.library()
    monkeypatch.undo()
    monkeypatch.setattr(native, "_SIZES", ((native.Event, 96),))
    with pytest.raises(RuntimeFailure, match=r"other layouts \(Event\)"):
        native.library()


def rows(*tags: str) -> list[EventRow]:
    return [EventRow(tag, 8, i, 0, False, 10.0, 12.0, 1) for i, tag in enumerate(tags)]


def test_a_delegates_rows_are_laid_beside_the_operators() -> None:
    g = Builder()
    y = g.conv(g.input(1, 8, 8, 3), 4, activation="RELU")
    y = g.op("ADD", y, constant("one", np.ones((1, 1, 1, 4), np.float32)), shape=(1, 8, 8, 4), fused_activation_function=1)
    g.output(g.dense(g.reshape(y, 1, -1), 5))
    model = g.model()
    fused = ["Convolution (NHWC, F32) IGEMM", "Add (ND)", "Clamp (NC)", "Static Reshape (NC)", "Fully Connected (NC, F32) GEMM"]
    operators, lost = join(rows(*fused), model)
    assert [o.kind for o in operators] == ["CONV_2D", "ADD", "ADD", "RESHAPE", "FULLY_CONNECTED"]
    assert lost == ""
    dropped = [fused[0], fused[1], "Static Reshape (NC)", "Static Reshape (NC)", fused[4]]
    operators, lost = join(rows(*dropped), model)
    assert [o.kind for o in operators].count("") == 1
    assert lost == ""
    for broken in (fused[1:], [*fused, "Convolution (NHWC, F32) IGEMM"], ["Softmax (NC, F32)", *fused]):
        operators, lost = join(rows(*broken), model)
        assert all(o.operator == -1 for o in operators)
        assert "kernel 0" in lost


@pytest.fixture
def half() -> bytes:
    h = Half()
    y = h.dequantize(h.int_conv(h.coded(1, 8, 8, 4)))
    h.output(h.int_conv(h.quantize(h.conv(y, 4))))
    return h.bytes()


def test_an_accelerator_is_played_and_says_so(half: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(half)
    report = benchmark(path, simulate="nnapi", nnapi_accelerator_name="google-edgetpu", **QUICK)
    t = report.timings[0]
    assert (t.simulated, t.delegate, t.partitions, t.taken) == (True, "TfLiteNnapiDelegate", 3, 2)
    assert [o.node_type for o in t.operators if o.node_type == t.delegate] == [t.delegate] * 2
    assert any("bit-identical to" in n for n in report.notes)
    text = report.to_log()
    assert all(SIMULATED in line for line in text.splitlines() if line.strip())
    log = parse_log(text)
    assert log.simulated
    assert format_log(log) == text
    log_path = tmp_path / "benchmark.log"
    log_path.write_text(text)
    read = readlog(log_path, path)
    assert (read.simulated, read.partitions) == (True, 3)
    assert {d.name for d in read.delegates} == {"TfLiteNnapiDelegate", "TfLiteXNNPackDelegate"}
    assert read.float_part is not None
    assert read.float_part.operators == 1
    assert json.loads(report.to_json())["timings"][0]["simulated"] is True
    assert any(line.startswith("adb shell") and "--use_nnapi=true" in line for line in report.device_commands)


def test_our_log_is_read_back_equal() -> None:
    for kernels in ("xnnpack", "builtin"):
        text = benchmark(network(8, 2), kernels=kernels, **QUICK).to_log()
        log = parse_log(text)
        assert format_log(log) == text
        assert parse_log(format_log(log)) == log
        assert log.runs is not None
        assert log.runs.count >= 10
        run = log.section("run")
        assert run is not None
        assert abs(sum(r.percent for r in run.rows) - 100) < 0.1


def test_flags_in_the_spelling_of_benchmark_model(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(network(8, 2))
    flags = ["--num_threads=1", "--num_runs=10", "--min_secs=0.1", "--warmup_runs=1", "--warmup_min_secs=0.05"]
    done = command(
        "--graph=m.tflite", *flags, "--enable_op_profiling=true", "--use_xnnpack=false", "--profiling_output_csv_file=p.csv",
        folder=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    log = parse_log(done.stdout)
    assert log.graph == "m.tflite"
    run = log.section("run")
    assert run is not None
    assert [r.node_type for r in run.rows] == ["CONV_2D", "CONV_2D", "RESHAPE", "FULLY_CONNECTED", "SOFTMAX"]
    table = list(csv.DictReader(io.StringIO((tmp_path / "p.csv").read_text())))
    assert [r["node type"] for r in table] == [r.node_type for r in run.rows]
    again = command("--graph=m.tflite", *flags, "--profiling_output_csv_file=p.csv", folder=tmp_path)
    assert again.returncode == 2
    assert "--force" in again.stderr
    modes = command(
        "--graph=m.tflite", *flags, "--op_profiling_output_mode=csv", "--op_profiling_output_file=q.csv", folder=tmp_path
    )
    assert "Run Order" not in modes.stdout
    assert (tmp_path / "q.csv").read_text().startswith("model,node type,")
    unknown = command("--graph=m.tflite", "--use_abacus=true", folder=tmp_path)
    assert unknown.returncode == 2
    assert "--use_abacus" in unknown.stderr
    assert command(folder=tmp_path).returncode == 2


def test_raw_inputs_and_full_delegation(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(network(8, 1))
    name = read_bytes(network(8, 1)).main.inputs[0].name
    np.ones((1, 32, 32, 3), np.float32).tofile(tmp_path / "x.bin")
    np.ones(7, np.float32).tofile(tmp_path / "y.bin")
    quick = ["--num_runs=10", "--min_secs=0.05", "--warmup_min_secs=0", "--verbose=true", "--require_full_delegation=true"]
    done = command("--graph=m.tflite", f"--input_layer_value_files={name}:x.bin", *quick, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    for text, says in ((f"{name}:y.bin", "holds 7 values"), ("a:x.bin", 'no input "a"'), (f"{name}:z.bin", "cannot be read")):
        done = command("--graph=m.tflite", f"--input_layer_value_files={text}", *quick, folder=tmp_path)
        assert done.returncode == 2
        assert says in done.stderr
    g = Builder()
    g.output(g.op("CUMSUM", g.op("ABS", g.input(1, 4)), g.const(1, "int32"), shape=(1, 4), exclusive=False, reverse=False))
    (tmp_path / "left.tflite").write_bytes(g.bytes())
    done = command("left.tflite", *quick, folder=tmp_path)
    assert done.returncode == 1
    assert "accepts 1 of 2 operators; it does not accept op 1 CUMSUM" in done.stderr


def test_json_csv_and_the_table(tmp_path: Path) -> None:
    (tmp_path / "a.tflite").write_bytes(network(8, 2))
    (tmp_path / "b.tflite").write_bytes(network(4, 2))
    quick = ["--num-runs", "10", "--min-secs", "0.1", "--warmup-min-secs", "0"]
    done = command("a.tflite", "b.tflite", "--json", *quick, folder=tmp_path)
    body = json.loads(done.stdout)
    assert body["schema_version"] == 1
    assert len(body["timings"]) == 2
    assert body["comparisons"][0]["low"] <= body["comparisons"][0]["high"]
    table = command("a.tflite", "b.tflite", *quick, folder=tmp_path).stdout
    assert "b.tflite against a.tflite" in table
    lines = command("a.tflite", "--csv", *quick, folder=tmp_path).stdout.splitlines()
    assert lines[0].startswith("model,node type,first,avg_ms")
    assert len(lines) >= 6


DELEGATE = """
#include <stdlib.h>
#include <string.h>
struct TfLiteContext; struct TfLiteDelegate;
typedef struct D { void* data; int (*Prepare)(struct TfLiteContext*, struct TfLiteDelegate*);
  void* copy_from; void* copy_to; void* free_handle; long flags; void* builder; } D;
static int prepare(struct TfLiteContext* c, struct TfLiteDelegate* d) { return 0; }
void* tflite_plugin_create_delegate(char** keys, char** values, size_t n, void (*report)(const char*)) {
  for (size_t i = 0; i < n; i++) if (!strcmp(keys[i], "fail")) { report("told to fail"); return 0; }
  D* d = calloc(1, sizeof(D)); d->Prepare = prepare; return d; }
void tflite_plugin_destroy_delegate(void* d) { free(d); }
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_an_external_delegate_is_loaded(tmp_path: Path) -> None:
    """One that takes nothing: what it is called with, and what is said of it, is ours."""
    (tmp_path / "d.c").write_text(DELEGATE)
    library = tmp_path / "libd.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, tmp_path / "d.c"], check=True)
    report = benchmark(network(8, 1), external_delegate_path=str(library), external_delegate_options="a:1;b:2", **QUICK)
    t = report.timings[0]
    assert t.delegate == str(library)
    assert t.operators == ()
    assert any("no profiler" in n for n in report.notes)
    with pytest.raises(RuntimeFailure, match="cannot be loaded"):
        benchmark(network(8, 1), external_delegate_path=str(library), external_delegate_options={"fail": "1"}, **QUICK)
    (tmp_path / "no.so").write_text("no library")
    with pytest.raises(RuntimeFailure, match="cannot be loaded"):
        benchmark(network(8, 1), external_delegate_path=str(tmp_path / "no.so"), **QUICK)


@pytest.mark.alone
def test_integers_against_float() -> None:
    """What the whole is for: a float model and its integer twin, side by side, by kind, by operator and in all."""
    data = network(16, 2)
    result = fullint.quantize(data, [np.random.default_rng(i).normal(size=(1, 32, 32, 3)).astype(np.float32) for i in range(8)])
    report = benchmark(data, result.model, **QUICK)
    before, after = report.timings
    [c] = report.comparisons
    for place, t in enumerate((before, after)):
        assert c.kinds["CONV_2D"][place] == pytest.approx(sum(o.us for o in t.operators if o.kind == "CONV_2D"), abs=0.5)
        assert c.kinds["CONV_2D"][place] < t.profile_us * 1.001
    assert c.low <= c.ratio <= c.high
    assert 0.5 < c.ratio / (before.median_us / after.median_us) < 2
    assert {o.kind for o in c.operators} >= {"CONV_2D"}
    model = read_bytes(result.model)
    assert {o.output for o in after.operators if o.kind == "CONV_2D"} <= {op.output_name for op in model.main.ops}


@pytest.mark.parametrize(("count", "quantile"), [(2, 12.706), (3, 4.303), (5, 2.776), (10, 2.262)])
def test_the_interval_of_a_ratio_is_students(count: int, quantile: float) -> None:
    """Against the equation, with quantiles from a table of the distribution."""
    ratios = np.linspace(0.1, 0.3, count)
    turns = [[float(np.exp(r))] for r in ratios]
    a, b = SimpleNamespace(turns=turns), SimpleNamespace(turns=[[1.0]] * count)
    timing = SimpleNamespace(model="m", operators=())
    c = compared(a, b, timing, timing)
    half = quantile * ratios.std(ddof=1) / np.sqrt(count)
    assert c.ratio == pytest.approx(np.exp(ratios.mean()), rel=1e-3)
    assert c.low == pytest.approx(np.exp(ratios.mean() - half), rel=2e-3)
    assert c.high == pytest.approx(np.exp(ratios.mean() + half), rel=2e-3)


@pytest.mark.parametrize("path", corpus("singles", "gru.tflite") + corpus("singles", "lstm.tflite"), ids=lambda p: p.stem)
def test_what_runs_inside_a_loop_is_not_counted_twice(path: Path) -> None:
    t = benchmark(path, **QUICK).timings[0]
    inner = [o for o in t.operators if o.nested]
    assert {o.subgraph for o in inner} >= {1, 2}
    assert abs(sum(o.us for o in t.operators if not o.nested) - t.profile_us) < 1
    assert any(o.kind == "FULLY_CONNECTED" and not o.nested for o in t.operators)


@pytest.mark.parametrize("path", corpus("models", "oww_hey_jarvis_v0_1.tflite"), ids=lambda p: p.stem)
def test_a_branch_is_played_too(path: Path) -> None:
    t = benchmark(path, simulate="nnapi", **QUICK).timings[0]
    assert t.simulated
    assert any(o.kind == "IF" for o in t.operators)


def test_events_inside_a_loop_are_told_by_their_place() -> None:
    def event(tag: str, us: int, kind: int = native.OPERATOR, subgraph: int = 0) -> native.Happening:
        return native.Happening(tag, kind, 0, us, 0, subgraph)

    begin, end = event("Invoke", 40, native.DEFAULT), event("Invoke", 0, native.TELEMETRY)
    body = [begin, event("LESS", 1, subgraph=1), event("Multiply (ND)", 8, native.DELEGATE_PROFILED), end]
    run = [begin, event("ADD", 5), event("WHILE", 20), *body, event("Add (ND)", 2, native.DELEGATE_PROFILED), end]
    rows, totals = native.summed([run, run])
    expected = {"ADD": False, "WHILE": False, "LESS": True, "Multiply (ND)": True, "Add (ND)": False}
    assert {r[0]: r[4] for r in rows} == expected
    assert totals == [27e-6, 27e-6]
    cut_off, _ = native.summed([run[:-1]])
    assert {r[0]: r[4] for r in cut_off} == expected | {"Multiply (ND)": False}
