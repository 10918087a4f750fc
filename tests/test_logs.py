"""benchmark_model logs: read, written, read again, understood, and broken."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from conftest import CORPUS
from half import Half

from fullint.deployment.logs import BenchLog, Delegate, Section, Stat, format_log, parse_log, readlog
from fullint.deployment.logs.analysis import _by_kernel
from fullint.deployment.logs.record import INIT, INTERNAL, RUN, DelegateSaid, LogRow, rows_of
from fullint.errors import LogFormatError

SAMPLE = BenchLog(
    parameters=(("Graph", "m.tflite"), ("Use XNNPACK", "1")),
    graph="m.tflite",
    notes=(
        "Explicitly applied XNNPACK delegate, and the model graph will be partially executed by the delegate w/ 2 delegate "
        "kernels.",
    ),
    delegates=(Delegate("TfLiteXNNPackDelegate", 5, 3, 7, 0),),
    said=(DelegateSaid("XNNPACK", "part", 5, 7, 2, 3),),
    model_mb=1.25,
    init_ms=12.5,
    init_us=12500.0,
    first_us=900.0,
    warmup_us=800.5,
    inference_us=700.25,
    warmup=Stat(10, {"first": 900.0, "curr": 800.0, "min": 700.0, "max": 900.0, "avg": 800.5, "std": 12.0}),
    runs=Stat(50, {"first": 710.0, "curr": 700.0, "min": 690.0, "max": 720.0, "avg": 700.25, "std": 5.0, "p95": 715.0}),
    memory_init_mb=1.5,
    memory_mb=3.25,
    sections=(
        Section(
            INIT,
            rows_of(
                [
                    ("ModifyGraphWithDelegate", "ModifyGraphWithDelegate/0", 12.0, 12.0, 1),
                    ("AllocateTensors", "AllocateTensors/0", 11.5, 5.75, 2),
                ]
            ),
        ),
        Section(
            RUN,
            rows_of(
                [
                    ("TfLiteXNNPackDelegate", "[a, b;c]:7", 0.3, 0.31, 1),
                    ("SOFTMAX", "[d]:5", 0.1, 0.12, 1),
                    ("TfLiteXNNPackDelegate", "[e]:8", 0.2, 0.22, 1),
                ]
            ),
            Stat(50, {"avg": 650.0, "std": 3.0}),
        ),
        Section(
            INTERNAL,
            rows_of(
                [
                    ("DelegateOpInvoke", "Delegate/Convolution (NHWC, F32) IGEMM:0", 0.2, 0.2, 2),
                    ("DelegateOpInvoke", "Delegate/Convert (NC, F32, QS8):1", 0.05, 0.05, 2),
                ]
            ),
        ),
    ),
)


def test_what_is_written_is_read_back_equal() -> None:
    assert parse_log(format_log(SAMPLE)) == SAMPLE


def test_prefixes_of_a_logger_do_not_matter() -> None:
    text = "\n".join(
        f"INFO: {line}" if line.startswith(("Initialized", "The input")) else line for line in format_log(SAMPLE).splitlines()
    )
    assert parse_log(text) == SAMPLE


OLD = """\
Graph: [m.tflite]
INFO: Replacing 3 node(s) with delegate (TfLiteNnapiDelegate) node, yielding 2 partitions.
Average inference timings in us: Warmup: 110.5, Init: 1234, Inference: 99.5
Operator-wise Profiling Info for Regular Benchmark Runs:
============================== Run Order ==============================
\t             [node type]\t  [start]\t  [first]\t [avg ms]\t     [%]\t  [cdf%]\t  [mem KB]\t[times called]\t[Name]
\t                 CONV_2D\t    0.000\t    0.060\t    0.061\t 61.000%\t 61.000%\t     0.000\t        1\t[y]:0
\t                 SOFTMAX\t    0.061\t    0.039\t    0.039\t 39.000%\t100.000%\t     0.000\t        1\t[z]:1

Timings (microseconds): count=50 first=100 avg=100 std=1
"""


def test_the_older_form() -> None:
    log = parse_log(OLD)
    assert (log.init_us, log.warmup_us, log.inference_us) == (1234, 110.5, 99.5)
    assert log.delegates == (Delegate("TfLiteNnapiDelegate", 3, 2),)
    assert [(r.node_type, r.avg_ms, r.node) for r in log.sections[0].rows] == [("CONV_2D", 0.061, 0), ("SOFTMAX", 0.039, 1)]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("    0.061\t 61.000%", "    x.061\t 61.000%", "line 7: expected a number"),
        ("\t        1\t[z]:1", "", "line 8: the table has 9 columns"),
        ("[avg ms]\t     [%]", "[avg]\t     [?]", "line 6: expected the header of a profile"),
        ("Init: 1234", "Init: many", 'line 3: "Init: many" is not a timing'),
    ],
)
def test_a_broken_log_names_the_line(old: str, new: str, says: str) -> None:
    with pytest.raises(LogFormatError, match=re.escape(says)):
        parse_log(OLD.replace(old, new))


def test_what_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(LogFormatError, match="not a log of benchmark_model"):
        parse_log("hello\nworld\n")
    with pytest.raises(LogFormatError, match="cannot be read"):
        readlog(tmp_path / "nowhere.log")


def test_time_and_bound(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(format_log(SAMPLE))
    report = readlog(path)
    assert report.nodes == 7
    assert report.partitions == 3
    by_name = {d.name: d for d in report.delegates}
    assert by_name["TfLiteXNNPackDelegate"].kernels == 2
    assert by_name["TfLiteXNNPackDelegate"].ms == pytest.approx(0.53)
    assert report.float_part.operators == 2
    assert report.float_part.by_kernel == (1, 1)
    assert report.bound.at_most == pytest.approx(0.65 / 0.12, abs=0.01)
    assert any("nested" in w for w in report.warnings)


def test_joined_with_the_model(tmp_path: Path) -> None:
    """The row of a kernel is followed back to the float operators behind its tensors."""
    g = Half()
    y = g.sandwich(g.coded(1, 6, 6, 2))
    g.output(y)
    (tmp_path / "m.tflite").write_bytes(g.bytes())
    log = BenchLog(
        sections=(Section(RUN, rows_of([("TfLiteXNNPackDelegate", f"[{y.name}]:3", 1.0, 1.0, 1)])),), inference_us=1000.0
    )
    (tmp_path / "log").write_text(format_log(log))
    report = readlog(tmp_path / "log", tmp_path / "m.tflite")
    assert report.joined[0].operators == ('op 1 CONV_2D "conv_2d"',)


@pytest.mark.skipif(not CORPUS, reason="no corpus")
def test_the_log_of_the_case() -> None:
    report = readlog(Path(CORPUS) / "reference" / "issue_57758_benchmark.log")
    assert report.nodes == 216
    found = {d.name: (d.nodes, d.kernels) for d in report.delegates}
    assert found == {"TfLiteNnapiDelegate": (198, 4), "TfLiteXNNPackDelegate": (18, 3)}
    assert report.partitions == 7
    share = next(d.share for d in report.delegates if d.name == "TfLiteXNNPackDelegate")
    assert share == pytest.approx(0.405, abs=0.0005)
    assert report.total_ms == pytest.approx(68.2, abs=0.05)
    part = report.float_part
    assert (part.operators, part.by_kernel, part.conversions) == (6, (1, 2, 3), 6)
    assert part.operators_ms == pytest.approx(26.9, abs=0.05)
    assert part.operators_ms + part.conversions_ms == pytest.approx(27.6, abs=0.05)
    assert report.bound.at_most == pytest.approx(1.68, abs=0.005)
    assert any("3224 ms, but it took 1621 ms" in w for w in report.warnings)
    assert any("inside TfLiteNnapiDelegate" in w for w in report.warnings)
    log = parse_log((Path(CORPUS) / "reference" / "issue_57758_benchmark.log").read_text())
    assert parse_log(format_log(log)) == log


def test_what_is_odd_in_a_log_is_said(tmp_path: Path) -> None:
    text = format_log(SAMPLE)
    path = tmp_path / "log"
    g = Half()
    g.output(g.sandwich(g.coded(1, 6, 6, 2)))
    (tmp_path / "m.tflite").write_bytes(g.bytes())
    path.write_text(text)
    other = readlog(path, tmp_path / "m.tflite")
    assert other.joined == ()
    assert any("of a model with 7 operators, but this model has 3" in w for w in other.warnings)
    path.write_bytes(text.encode("utf-16"))
    assert readlog(path).total_ms == other.total_ms
    path.write_text(text[: text.index("Top by Computation Time", text.index("Operator-wise"))])
    assert any("truncated" in w for w in readlog(path).warnings)


def test_long_lines_take_no_time() -> None:
    parse_log(format_log(SAMPLE) + "A: [" + "x" * 3_000_000 + "]\n" + "count=" + "9" * 9 + " a" * 500_000)


@pytest.mark.parametrize(
    ("old", "new"),
    [("Inference (avg): 700.25", "Inference (avg): inf"), ("Init: 12500", "Init: 1.2.3"), ("\t        1\t", "\t       -1\t")],
)
def test_numbers_that_are_none_are_no_numbers(old: str, new: str) -> None:
    text = format_log(SAMPLE)
    assert old in text
    with pytest.raises(LogFormatError, match=r"line \d+"):
        parse_log(text.replace(old, new))


def test_a_size_that_is_no_number_is_no_size() -> None:
    text = format_log(SAMPLE).replace("file size (MB): 1.25", "file size (MB): nan")
    assert parse_log(text).model_mb is None


def test_float_operators_of_each_kernel() -> None:
    """Called 3, 2 and 1 times: kernels of one, two and three operators."""
    rows = [LogRow("CONV_2D", 0.1, 0.1, 1.0, 1.0, 0.0, calls, f"[{calls}]:0") for calls in (2, 3, 1)]
    assert _by_kernel(rows) == (1, 2, 3)
    assert _by_kernel(rows[:1]) == (1, 1)
    assert _by_kernel([]) == ()


GPU_REFUSES = """INFO: Created TensorFlow Lite delegate for GPU.
ERROR: Following operations are not supported by GPU delegate:
CONV_2D: OP is supported, but tensor type isn't matched!
SOFTMAX: OP is supported, but tensor type isn't matched!
No operations will run on the GPU, and all 9 operations will run on the CPU.
"""
TAKEN_BACK = """STARTING!
Num threads: [2]
INFO: Created TensorFlow Lite delegate for NNAPI.
WARNING: Operator HARD_SWISH (v1) refused by NNAPI delegate: Unsupported operation type.
VERBOSE: Replacing 88 node(s) with delegate (TfLiteNnapiDelegate) node, yielding 9 partitions.
ERROR: Node number 113 (TfLiteNnapiDelegate) failed to prepare.
ERROR: Restored original execution plan after delegate application failure.
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
VERBOSE: Replacing 101 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 3 partitions.
count=50 first=42011 curr=41766 min=41390 max=43120 avg=41880.6 std=310 median=41900
Inference timings in us: Init: 96200, First inference: 46110, Warmup (avg): 42230.1, Inference (avg): 41880.6
"""
LOGCAT = {
    "today": "05-31 10:38:42.583 22206 22206 {level} tflite  : {line}",
    "old": "2020-09-28 16:25:40.111 11580-11580/org.tensorflow.lite.benchmark {level}/tflite: {line}",
}


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "some.log"
    path.write_text(text)
    return path


def test_what_a_gpu_refuses(tmp_path: Path) -> None:
    report = readlog(written(tmp_path, GPU_REFUSES))
    (gpu,) = report.said
    assert (gpu.name, gpu.status, gpu.nodes, gpu.of) == ("GPU", "none", 0, 9)
    assert [x.kind for x in gpu.refused] == ["CONV_2D", "SOFTMAX"]
    assert not report.profile and report.total_ms == 0 and "no times" in str(report)


@pytest.mark.parametrize("form", LOGCAT)
def test_lines_of_logcat(tmp_path: Path, form: str) -> None:
    """The same as without what logcat puts before them."""
    lines = []
    for line in TAKEN_BACK.splitlines():
        word, _, said = line.partition(": ")
        bare = said if word in ("INFO", "ERROR", "WARNING", "VERBOSE") else line
        lines.append(LOGCAT[form].format(level=word[0] if bare is not line else "I", line=bare))
    plain, prefixed = (readlog(written(tmp_path, text)) for text in (TAKEN_BACK, "\n".join(lines) + "\n"))
    assert prefixed == plain


def test_a_delegate_that_was_taken_back_has_no_time(tmp_path: Path) -> None:
    report = readlog(written(tmp_path, TAKEN_BACK))
    nnapi, xnnpack = report.said
    assert (nnapi.name, nnapi.status, nnapi.nodes, nnapi.partitions) == ("NNAPI", "taken back", 88, 9)
    assert nnapi.errors == ("Node number 113 (TfLiteNnapiDelegate) failed to prepare.",)
    assert [(x.kind, x.reason) for x in nnapi.refused] == [("HARD_SWISH", "Unsupported operation type.")]
    assert (xnnpack.status, xnnpack.nodes, xnnpack.partitions) == ("part", 101, 3)
    assert "NNAPI was taken back before the runs: all times are without it" in report.warnings
    t = report.timing
    assert (t.init_ms, t.first_ms, t.mean_ms, t.median_ms, t.threads) == (96.2, 46.11, 41.881, 41.9, 2)


def test_several_runs_in_one_file(tmp_path: Path) -> None:
    once = readlog(written(tmp_path, TAKEN_BACK))
    twice = readlog(written(tmp_path, TAKEN_BACK + TAKEN_BACK.replace("41880.6", "50000.0")))
    (other,) = twice.others
    assert (twice.total_ms, other.total_ms) == (once.total_ms, 50.0) and "run 2 in the same file" in str(twice)


EDGETPU = """Edge TPU Compiler version 16.0.384591198
Input model: net.tflite
On-chip memory used for caching model parameters: 2.00KiB
Total number of operations: 5

Operator                       Count      Status

TRANSPOSE                      2          Operation not supported
PAD                            1          Mapped to Edge TPU
CONV_2D                        2          More than one subgraph is not supported
"""
VELA = """
Network summary for net
Accelerator configuration               Ethos_U55_128
Total SRAM used                                 21.67 KiB
CPU operators = 1 (25.0%)
NPU operators = 3 (75.0%)
"""


def test_reports_of_compilers(tmp_path: Path) -> None:
    found = readlog(written(tmp_path, EDGETPU)).compiler
    assert (found.compiler, found.taken, found.operators) == ("edgetpu_compiler 16.0.384591198", 1, 5)
    assert [(k.kind, k.count) for k in found.causes] == [("TRANSPOSE", 2)]
    assert ("On-chip memory used for caching model parameters", "2.00KiB") in found.figures
    found = readlog(written(tmp_path, VELA)).compiler
    assert (found.compiler, found.taken, found.operators) == ("Vela", 3, 4)
    assert ("Total SRAM used", "21.67 KiB") in found.figures


def test_what_is_damaged_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    text = format_log(SAMPLE)
    huge = text.replace("count=50 first=710", f"count={'9' * 500} first=710")
    report = readlog(written(tmp_path, huge))
    assert any("is damaged" in w and "statistics of the runs" in w for w in report.warnings)
    assert report.total_ms == readlog(written(tmp_path, text)).total_ms
    cut = text.replace("node(s) with delegate (TfLiteXNNPackDelegate)", "node(s) with delegate TfLiteXNNPackDelegate)")
    assert any("what a delegate took" in w for w in readlog(written(tmp_path, cut)).warnings)
    column = text.replace("[mem KB]", "[mem?KB]", 1)
    assert any("the name of a column" in w for w in readlog(written(tmp_path, column)).warnings)


@pytest.mark.alone
def test_noise_ends_quickly(tmp_path: Path) -> None:
    """100 MB that are no log, and the same around one."""
    noise = (b"x" * 79 + b"\n") * 600_000
    path = tmp_path / "noise.log"
    path.write_bytes(noise + noise)
    start = time.process_time()
    with pytest.raises(LogFormatError, match="not a log of benchmark_model"):
        readlog(path)
    path.write_bytes(noise + TAKEN_BACK.encode() + noise[:40_000_000])
    assert readlog(path).said[0].status == "taken back"
    assert time.process_time() - start < 4


EXPECTED = {
    "gpu_type": lambda r: r.said[0].status == "none" and r.said[0].of == 31 and len(r.said[0].refused) == 5 and not r.total_ms,
    "gpu_none": lambda r: r.said[0].status == "none" and r.said[0].kernels == 0 and r.total_ms == 701.234 and not r.profile,
    "gpu_verbose": lambda r: (
        (r.said[0].nodes, r.said[0].of, r.said[0].kernels, r.partitions) == (16, 182, 1, 2)
        and {x.kind for x in r.said[0].refused} == {"EXPAND_DIMS", "GELU"}
        and (r.timing.mean_ms, r.timing.median_ms) == (78.331, 78.3)
    ),
    "logcat_gpu": lambda r: (
        (r.said[0].nodes, r.said[0].of, r.said[0].kernels, r.partitions) == (294, 306, 6, 13)
        and {x.kind for x in r.said[0].refused} == {"LEAKY_RELU", "UNPACK"}
    ),
    "android_oneline": lambda r: (
        (r.said[0].nodes, r.partitions, r.timing.init_ms, r.timing.warmup_ms, r.timing.mean_ms, r.timing.memory_mb)
        == (61, 5, 838.811, 239.907, 246.387, 495.105)
    ),
    "nnapi_taken_back": lambda r: (
        (r.said[0].status, r.said[0].nodes, r.said[0].partitions) == ("taken back", 88, 9)
        and {x.kind for x in r.said[0].refused} == {"RESIZE_BILINEAR", "HARD_SWISH"}
        and (r.said[1].name, r.said[1].nodes, r.partitions) == ("XNNPACK", 101, 3)
    ),
    "external_vx": lambda r: (r.said[0].status, round(r.timing.first_ms), r.timing.mean_ms) == ("whole", 4612, 60.201),
    "pi_profile": lambda r: (
        (r.said[0].name, r.said[0].status, r.timing.threads) == ("XNNPACK", "created", 4)
        and (r.kinds[0].kind, r.kinds[0].operators, round(100 * r.kinds[0].share, 1)) == ("CONV_2D", 3, 87.4)
        and (r.slowest[0], round(100 * r.slowest[3], 1)) == (3, 54.9)
        and round(100 * sum(k.share for k in r.kinds if "QUANTIZE" in k.kind), 1) == 1.7
        and r.float_part is None
    ),
    "hexagon": lambda r: (
        [(d.name, d.nodes) for d in r.said] == [("HEXAGON", 19), ("XNNPACK", 24)]
        and (r.said[0].of, r.said[0].kernels, r.partitions) == (43, 17, 34)
    ),
    "edgetpu_compiler": lambda r: (r.compiler.taken, r.compiler.operators, r.compiler.causes[0].kind) == (2, 155, "TRANSPOSE"),
    "vela_summary": lambda r: (
        (r.compiler.taken, r.compiler.operators) == (39, 39)
        and {("Total SRAM used", "21.67 KiB"), ("Total Off-chip Flash used", "30.38 KiB")} <= set(r.compiler.figures)
    ),
    "adb": lambda r: (r.nodes, r.partitions, len(r.others)) == (216, 7, 0),
    "ansi": lambda r: (r.nodes, r.partitions, len(r.others)) == (216, 7, 0),
    "double": lambda r: (r.nodes, [o.nodes for o in r.others]) == (216, [216]),
    "hugeint": lambda r: r.nodes == 216 and any("line 24 is damaged" in w for w in r.warnings),
    "f003": lambda r: any("is damaged" in w for w in r.warnings),
    "f036": lambda r: any("line 13 is damaged" in w for w in r.warnings),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_what_a_person_reads_from_logs_of_others(name: str) -> None:
    path = Path(CORPUS) / "cases" / "logs" / f"{name}.log" if CORPUS else None
    if path is None or not path.exists():
        pytest.skip("no corpus")
    assert EXPECTED[name](readlog(path))


def test_a_log_whose_lines_are_shuffled_is_refused() -> None:
    path = Path(CORPUS) / "cases" / "logs" / "f178.log" if CORPUS else None
    if path is None or not path.exists():
        pytest.skip("no corpus")
    with pytest.raises(LogFormatError, match="line 92"):
        readlog(path)
