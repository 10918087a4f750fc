"""Reports as HTML pages: what is in them, and what a model's names cannot do there."""

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import click
import numpy as np
import pytest
from half import Half

import fullint
from fullint.cli import main
from fullint.documents import Document, Fact, Line, Table
from fullint.documents.html import render
from fullint.errors import UsageError
from fullint.ops.builder import Builder
from fullint.pages.page import pictured

HERE = Path(__file__).resolve().parent
FRONTEND = HERE.parent / "frontend"
OWN = HERE.parent / "src" / "fullint" / "documents" / "page"
HOSTILE = "</script><script>window.hurt = 1</script>\"'`&<img src=x onerror=hurt()>\u202egnp.exe\u202c"


def report_of(html: str) -> dict:
    """The JSON of a page."""
    found = re.search(r'<script type="application/json" id="report">(.*?)</script>', html, re.DOTALL)
    return json.loads(found[1])


def graphs_of(document: Document) -> list[dict]:
    return [b for b in document.plain() if b["block"] == "graph"]


def half() -> bytes:
    g = Half()
    x = g.int_conv(g.coded(1, 6, 6, 4))
    g.output(g.int_conv(g.sandwich(x)))
    return g.bytes()


def test_a_document_is_in_the_page_as_it_is() -> None:
    html = render(Document.of(Line("the <title>", "title"), Fact("operators", "12"), Table(("op", "ms"), (("CONV_2D", "1.3"),))))
    (part,) = report_of(html)["parts"]
    assert [b["block"] for b in part["blocks"]] == ["line", "fact", "table"] and part["blocks"][2]["rows"] == [["CONV_2D", "1.3"]]
    assert "<title>the &lt;title&gt;</title>" in html and len(html) < 120_000


def test_a_graph_shows_what_is_float_and_why() -> None:
    data = half()
    (graph,) = graphs_of(pictured(fullint.audit(data), [data]))
    assert [n["type"] for n in graph["nodes"]] == ["int", "float", "float", "float", "int"]
    conv = graph["nodes"][2]
    assert (conv["kind"], conv["badge"], conv["index"]) == ("CONV_2D", "float32", 2)
    assert conv["marks"] and any(label.startswith("error: ") for label, _ in conv["facts"])
    assert {(e["source"], e["target"]) for e in graph["edges"]} == {(-1, 0), (0, 1), (1, 2), (2, 3), (3, 4)}


def test_before_and_after_are_joined_by_operator() -> None:
    data = half()
    done = fullint.repair(data)
    document = pictured(done.report, [data, done.model])
    _, after = graphs_of(document)
    assert [n["type"] for n in after["nodes"]] == ["int"] * 3
    assert [n["twins"] for n in after["nodes"]] == [(0,), (2,), (4,)]
    assert [m["name"] for m in after["measures"]][1].startswith("time on one core")
    said = {
        b.label: b.text
        for b in document.blocks[: document.blocks.index(next(b for b in document.blocks if not isinstance(b, Fact)))]
    }
    assert said["float before"].startswith("1 of 3 CONV_2D, 33.3 % of the multiply-accumulates: op 2")
    assert said["why"].startswith("1 time ") and said["done"] == "2 times: make the float operator next to it integer"
    assert said["time"].startswith("about 0.") and "random samples: only real ones" in said["check"]
    assert said["left"] == "nothing that has to be done; judge it on samples of your data (-c)"
    wrong = next(b for b in document.blocks if isinstance(b, Table))
    assert wrong.title == "What was wrong in the given model, and is repaired" and wrong.graph == 0


def test_ranges_have_histograms_of_the_samples() -> None:
    g = Builder()
    g.output(g.conv(g.input(1, 6, 6, 3), activation="RELU"))
    rng = np.random.default_rng(0)
    samples = [rng.normal(size=(1, 6, 6, 3)).astype(np.float32) for _ in range(30)]
    data = g.bytes()
    made = fullint.quantize(data, samples, min_sqnr=0)
    _, after = graphs_of(pictured(made.report, [data, made.model], samples))
    held = after["nodes"][0]["histogram"]
    values = 16 * int(np.prod(fullint.read_model(made.model).main.outputs[0].shape))
    assert sum(held["counts"]) == values and len(held["counts"]) == 32
    assert held["low"] == 0 and 0.2 < held["clipped_low"] < 0.8  # RELU
    assert "multiply-accumulates" in [m["name"] for m in after["measures"]]


def test_comparisons_times_partitions_and_sensitivities_are_measures(tmp_path: Path) -> None:
    g = Builder()
    x = g.op("GELU", g.conv(g.input(1, 6, 6, 3)))
    g.output(g.dense(g.reshape(x, 1, -1), 4))
    rng = np.random.default_rng(0)
    samples = [rng.normal(size=(1, 6, 6, 3)).astype(np.float32) for _ in range(30)]
    data = g.bytes()
    made = fullint.quantize(data, samples, min_sqnr=0).model
    _, after = graphs_of(pictured(fullint.compare(data, made, samples), [data, made]))
    assert [m["name"] for m in after["measures"]][:2] == ["SQNR", "SQNR of what it adds itself"]
    assert after["measures"][0]["low_is_bad"] and any(v is not None for v in after["measures"][0]["values"])
    (cut,) = graphs_of(pictured(fullint.partition(made, "nnapi"), [made]))
    assert [n["piece"] for n in cut["nodes"]].count(-1) == 1 and ["not taken"] in [list(n["marks"]) for n in cut["nodes"]]
    (timed,) = graphs_of(pictured(fullint.benchmark(made, num_runs=5, warmup_runs=1, kernels="builtin"), [made]))
    assert timed["measures"][0]["name"] == "time" and all(v is not None for v in timed["measures"][0]["values"])
    path = tmp_path / "made.tflite"
    path.write_bytes(made)
    log = command(
        "benchmark",
        "made.tflite",
        "--num-runs",
        5,
        "--kernels",
        "builtin",
        "--enable-op-profiling",
        "true",
        "--log",
        cwd=tmp_path,
    )
    (tmp_path / "made.log").write_text(log.stdout)
    (logged,) = graphs_of(pictured(fullint.readlog(tmp_path / "made.log", path), [made]))
    assert logged["measures"][0]["name"] == "time in the log" and logged["measures"][0]["values"][0] > 0, log.stderr
    (cost,) = graphs_of(pictured(fullint.sensitivity(data, samples), [data]))
    assert cost["measures"][0]["name"] == "share of the outputs' noise"


def test_samples_that_do_not_fit_are_a_note_and_no_error(tmp_path: Path) -> None:
    """The work is done by then."""
    data = half()
    report = fullint.audit(data)
    document = pictured(report, [data], np.zeros((3, 7, 7, 9), np.float32))
    (said,) = [b.text for b in document.blocks if isinstance(b, Line) and "histograms" in b.text]
    assert "7" in said and len(graphs_of(document)) == 1
    held = [n["histogram"] for n in graphs_of(pictured(report, [data], np.ones((3, 6, 6, 4), np.float32)))[0]["nodes"]]
    assert held[0] is not None and held[1] is None  # codes have one, floats none
    with pytest.raises(fullint.ModelFormatError):
        fullint.page(report, b"no model")


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)


def test_names_of_a_model_are_never_html() -> None:
    g = Builder()
    g.output(g.op("RELU", g.conv(g.input(1, 4, 4, 2)), name=HOSTILE + "x" * 100_000))
    data = g.bytes()
    html = fullint.page(fullint.audit(data), data).html
    found = Tags()
    found.feed(html)
    assert found.tags.count("script") == 2 and "img" not in found.tags and len(html) < 400_000
    names = [n["name"] for b in report_of(html)["parts"][0]["blocks"] if b["block"] == "graph" for n in b["nodes"]]
    assert any(n.startswith(HOSTILE.partition("\u202e")[0]) for n in names) and max(map(len, names)) <= 400


def test_a_page_runs_its_own_script_and_loads_nothing() -> None:
    html = render(Document.of(Line("x")))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1]
    assert "default-src 'none'" in policy and "unsafe-eval" not in policy
    assert re.search(r"script-src 'sha256-[\w+/=]{44}'$", policy)
    code = (OWN / "page.js").read_text()
    assert not re.search(
        r"\b(fetch|XMLHttpRequest|WebSocket|importScripts|innerHTML|insertAdjacentHTML|document\.write)\b", own_code()
    )
    assert "</script" not in code.lower()


def own_code() -> str:
    return "\n".join(p.read_text() for p in (FRONTEND / "src").glob("*.js"))


def command(*words: object, cwd: Path) -> subprocess.CompletedProcess:
    call = [sys.executable, "-m", "fullint", *map(str, words)]
    return subprocess.run(call, cwd=cwd, capture_output=True, text=True, check=False)


def test_commands_write_pages_and_reports_are_joined(tmp_path: Path) -> None:
    (tmp_path / "half.tflite").write_bytes(half())
    first = command("audit", "half.tflite", "--json", "--details", "--html", "audit.html", cwd=tmp_path)
    assert first.returncode == 1
    (tmp_path / "a.json").write_text(first.stdout)
    assert report_of((tmp_path / "audit.html").read_text())["parts"][0]["blocks"] == json.loads(first.stdout)["document"]
    second = command("repair", "half.tflite", "-o", "r.tflite", "--json", "--details", cwd=tmp_path)
    (tmp_path / "b.json").write_text(second.stdout)
    done = command("report", "a.json", "b.json", "-o", "both.html", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "both.html: 2 reports\n")
    parts = report_of((tmp_path / "both.html").read_text())["parts"]
    assert [len([b for b in p["blocks"] if b["block"] == "graph"]) for p in parts] == [1, 2]
    assert parts[0]["title"].startswith("a.json: ")
    again = command("report", "a.json", "-o", "both.html", cwd=tmp_path)
    assert again.returncode == 2 and "--force" in again.stderr
    assert command("audit", "half.tflite", "--details", cwd=tmp_path).returncode == 2


@pytest.mark.parametrize(
    "words",
    [
        ("audit", "half.tflite"),
        ("inspect", "half.tflite"),
        ("explain", "shared-constant-conflict"),
        ("partition", "half.tflite"),
        ("benchmark", "half.tflite", "--csv", "--num-runs", "1"),
    ],
)
def test_a_page_that_is_there_is_overwritten_where_that_is_asked_for(words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "half.tflite").write_bytes(half())
    (tmp_path / "page.html").write_text("mine")
    refused = command(*words, "--html", "page.html", cwd=tmp_path)
    assert refused.returncode == 2 and "--force overwrites it" in refused.stderr
    assert (tmp_path / "page.html").read_text() == "mine"
    done = command(*words, "--html", "page.html", "--force", cwd=tmp_path)
    assert done.returncode in (0, 1), done.stderr
    assert "<html" in (tmp_path / "page.html").read_text()


def test_every_command_that_writes_a_page_can_overwrite_it() -> None:
    commands = {name: main.get_command(click.Context(main), name) for name in main.list_commands(click.Context(main))}
    flags = {name: {flag for p in command.params for flag in p.opts} for name, command in commands.items() if command}
    assert [name for name, own in flags.items() if "--html" in own and "--force" not in own] == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "no report with a document"),
        ('{"status": "quantized"}', "--json --details"),
        ('{"document": 3}', "is damaged"),
        ('{"document": [{"block": "script", "text": "x"}]}', "block 0 of its document is damaged"),
        ('{"document": [{"block": "picture", "text": "x", "data": "https://example.com/x.png"}]}', "is damaged"),
        ('{"document": [{"block": "table", "title": "", "columns": ["a"], "rows": [["1", "2"]]}]}', "is damaged"),
        (
            '{"document": [{"block": "graph", "title": "", "nodes": [], "edges": [{"source": 0, "target": 9}]}]}',
            "is damaged",
        ),
    ],
)
def test_files_that_are_no_reports_are_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(UsageError, match=re.escape(says)):
        fullint.report(tmp_path / "x.json")
    with pytest.raises(UsageError, match="cannot be read"):
        fullint.report(tmp_path / "missing.json")


def test_notebooks_show_the_same_document() -> None:
    shown = fullint.audit(half())._repr_html_()
    assert shown.startswith("<iframe") and "&lt;script&gt;" in shown and "<script" not in shown


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("npm") is None, reason="needs node")
def test_the_bundle_is_built_from_the_sources(tmp_path: Path) -> None:
    """With the packages of the lock file, byte for byte."""
    shutil.copytree(FRONTEND, tmp_path / "frontend", ignore=shutil.ignore_patterns("node_modules"))
    got = subprocess.run(["npm", "ci", "--silent"], cwd=tmp_path / "frontend", capture_output=True, check=False, timeout=200)
    if got.returncode:
        pytest.skip("no registry of npm")
    (tmp_path / "out").mkdir()
    subprocess.run(["node", "build.mjs", str(tmp_path / "out")], cwd=tmp_path / "frontend", check=True, capture_output=True)
    for name in ("page.js", "page.css", "page_licences.txt"):
        assert (tmp_path / "out" / name).read_bytes() == (OWN / name).read_bytes(), f"make page writes another {name}"
    assert sum(p.stat().st_size for p in OWN.iterdir()) < 2 << 20


def test_model_explorer_gets_data_of_each_kind(tmp_path: Path) -> None:
    """As model_explorer/node_data_builder.py reads it: graph -> results by output tensor, each with a number."""
    (tmp_path / "half.tflite").write_bytes(half())
    assert command("audit", "half.tflite", "--model-explorer", "over.json", cwd=tmp_path).returncode == 1
    read = {p.name: json.loads(p.read_text())["main"] for p in tmp_path.glob("over*.json")}
    assert sorted(read) == ["over.findings.json", "over.json", "over.type.json"]
    names = [op.output_name for op in fullint.read_model(half()).main.ops]
    assert {n: r["value"] for n, r in read["over.type.json"]["results"].items()} == dict(
        zip(names, [8, 32, 32, 32, 8], strict=True)
    )
    assert read["over.json"]["name"] == "multiply-accumulates (M)"
    assert [g["stop"] for g in read["over.json"]["gradient"]] == [0, 1]
    assert set(read["over.findings.json"]["results"]) < set(names)
    again = command("audit", "half.tflite", "--model-explorer", "over.json", cwd=tmp_path)
    assert again.returncode == 2 and "over.json exists" in again.stderr
