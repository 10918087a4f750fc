"""benchmark_model logs: read, written, read again, understood, and broken."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import CORPUS
from half import Half

from fullint.deployment.logs import BenchLog, Delegate, Section, Stat, format_log, parse_log, readlog
from fullint.deployment.logs.analysis import _by_kernel
from fullint.deployment.logs.record import INIT, INTERNAL, RUN, LogRow, rows_of
from fullint.errors import LogFormatError

SAMPLE = BenchLog(
    parameters=(("Graph", "m.tflite"), ("Use XNNPACK", "1")),
    graph="m.tflite",
    notes=(
        "Explicitly applied XNNPACK delegate, and the model graph will be partially executed by the delegate w/ 2 delegate "
        "kernels.",
    ),
    delegates=(Delegate("TfLiteXNNPackDelegate", 5, 3, 7, 0),),
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
        ("[avg ms]", "[avg]", "line 6: expected the header of a profile"),
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
