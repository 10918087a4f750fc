"""The page in a real browser: search, click, keyboard, dark mode, hostile names, a large graph."""

import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import corpus
from half import Half
from test_page import HOSTILE, half

import fullint
from fullint.ops.builder import Builder

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.alone, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]
LARGE = 3000


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with playwright.sync_playwright() as p:
        started = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


class Opened:
    """A page, with the requests it made and the errors it had."""

    def __init__(self, browser: object, path: Path, **how: object) -> None:
        self.page = browser.new_page(viewport={"width": 1400, "height": 900}, **how)
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda r: self.requests.append(r.url))
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        self.page.goto(f"file://{path}")
        self.page.wait_for_selector("html[data-ready=yes]")

    def settled(self) -> None:
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def written(tmp_path: Path, report: object, *models: bytes, samples: object = None) -> Path:
    path = tmp_path / "page.html"
    fullint.page(report, *models, samples=samples).save(path)
    return path


def repaired(tmp_path: Path) -> Path:
    data = half()
    done = fullint.repair(data)
    return written(tmp_path, done.report, data, done.model)


def test_the_page_opens_and_asks_nobody(browser: object, tmp_path: Path) -> None:
    path = repaired(tmp_path)
    opened = Opened(browser, path)
    assert opened.requests == [f"file://{path}"] and opened.errors == []
    assert opened.page.inner_text("h1").startswith("model: all integer") or "all integer" in opened.page.inner_text("h1")
    assert opened.page.locator(".view").count() == 2
    assert opened.page.inner_text(".view:nth-child(1) .badge.float") == "float: 3"
    assert opened.page.inner_text(".view:nth-child(2) .badge.float") == "float: 0"


def test_search_click_and_keyboard(browser: object, tmp_path: Path) -> None:
    opened = Opened(browser, repaired(tmp_path))
    page = opened.page
    page.fill(".view:nth-child(1) input[type=search]", "CONV_2D int8[1 int32[4]")
    assert page.inner_text(".view:nth-child(1) .count") == "2 found"
    page.fill(".view:nth-child(1) input[type=search]", "op 4")
    assert page.inner_text(".view:nth-child(1) .count") == "1 found"
    page.fill(".view:nth-child(1) input[type=search]", "dequantize")
    assert page.inner_text(".view:nth-child(1) .count") == "1 found"
    page.keyboard.press("Enter")
    opened.settled()
    assert page.inner_text(".panel h3").startswith("op 1 DEQUANTIZE")
    page.click(".view:nth-child(1) .box[data-op='2']")
    opened.settled()
    assert page.inner_text(".panel h3").startswith("op 2 CONV_2D")
    said = page.inner_text(".panel")
    assert "error:" in said and "float32[1, 6, 6, 4]" in said
    page.focus(".view:nth-child(1) .box[data-op='2']")
    page.keyboard.press("ArrowDown")
    opened.settled()
    assert page.inner_text(".panel h3").startswith("op 3 QUANTIZE")
    assert page.evaluate("document.activeElement.dataset.op") == "3"
    page.click(".panel .near button >> nth=0")  # what it reads
    opened.settled()
    assert page.inner_text(".panel h3").startswith("op 2 CONV_2D")
    page.click(".panel .near button:has-text('op 1 CONV_2D')")  # the same operator of the result
    opened.settled()
    assert "int8" in page.inner_text(".panel h3")
    assert page.locator(".view:nth-child(1) .box[aria-pressed=true]").get_attribute("data-op") == "2"  # it follows
    page.locator("table td button", has_text="3").first.click()
    opened.settled()
    assert page.inner_text(".panel h3").startswith("op 3 QUANTIZE")
    assert opened.errors == []


def test_tables_sort_and_graphs_fold(browser: object, tmp_path: Path) -> None:
    opened = Opened(browser, repaired(tmp_path))
    page = opened.page
    column = page.locator("table").first.locator("th button").first
    column.click()
    column.click()
    assert page.locator("table").first.locator("th").first.get_attribute("aria-sort") == "descending"
    numbers = [int(t) for t in page.locator("table").first.locator("tbody tr td:first-child").all_inner_texts()]
    assert numbers == sorted(numbers, reverse=True) and len(numbers) > 1
    page.select_option(".view:nth-child(1) select[aria-label='what is one box']", "1")
    assert page.evaluate("fullint.viewers[0].viewer.nodes.length") <= 5
    page.select_option(".view:nth-child(1) select[aria-label='what is one box']", "0")
    assert page.evaluate("fullint.viewers[0].viewer.nodes.length") == 5
    before = page.evaluate("fullint.viewers[0].viewer.view.scale")
    page.click(".view:nth-child(1) button[aria-label='zoom in']")
    assert page.evaluate("fullint.viewers[0].viewer.view.scale") > before


def contrast(one: str, other: str) -> float:
    """By WCAG 2.1, of two colours such as rgb(1, 2, 3)."""

    def luminance(text: str) -> float:
        parts = [int(n) / 255 for n in text[text.index("(") + 1 : -1].split(",")[:3]]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_schemes_can_be_read(browser: object, tmp_path: Path, scheme: str) -> None:
    """Contrast AA: 4.5 to 1; float differs from integer by its border, too."""
    opened = Opened(browser, repaired(tmp_path), color_scheme=scheme)
    page = opened.page
    style = "(e) => { const s = getComputedStyle(e); return [s.color, s.backgroundColor, s.borderStyle]; }"
    borders = set()
    for kind in ("int", "float"):
        colour, ground, border = page.locator(f".view:nth-child(1) .box.{kind}").first.evaluate(style)
        assert contrast(colour, ground) >= 4.5, (kind, colour, ground)
        borders.add(border)
    assert borders == {"solid", "dashed"}
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    for text in ("dt", ".by", "h1"):
        assert contrast(page.locator(text).first.evaluate("(e) => getComputedStyle(e).color"), ground) >= 4.5
    page.click(".theme")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != ground


def test_a_hostile_model_runs_nothing(browser: object, tmp_path: Path) -> None:
    g = Builder()
    x = g.conv(g.input(1, 4, 4, 2, name=HOSTILE))
    g.output(g.op("RELU", x, name=HOSTILE + "x" * 100_000))
    data = g.bytes()
    path = written(tmp_path, fullint.audit(data), data)
    opened = Opened(browser, path)
    opened.page.click(".box >> nth=1")
    opened.settled()
    assert opened.page.evaluate("window.hurt") is None
    assert opened.requests == [f"file://{path}"] and opened.errors == []
    assert "<script>" in opened.page.inner_text(".panel .name")
    assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth + 1")


def large() -> bytes:
    g = Half()
    x = g.coded(1, 4, 4, 4)
    for i in range(LARGE // 4):
        a = g.int_op("RELU", x, scale=0.1, zero=0)
        b = g.int_op("TANH", x, scale=1 / 128, zero=0) if i % 2 else g.int_op("ABS", a, scale=0.1, zero=0)
        c = g.int_op("LOGISTIC", a, scale=1 / 256, zero=-128)
        x = g.int_op("ADD", b, c, scale=0.1, zero=0)
    g.output(x)
    return g.bytes()


def test_a_graph_of_3000_operators_stands_soon_and_moves_smoothly(browser: object, tmp_path: Path) -> None:
    data = large()
    opened = Opened(browser, written(tmp_path, fullint.inspect(data), data))
    page = opened.page
    assert page.evaluate("fullint.viewers[0].viewer.nodes.length") == LARGE
    assert page.evaluate("performance.now()") < 5000
    for scale in (0.9, 0.2, 0.02):
        frames = page.evaluate(
            """(scale) => new Promise((done) => {
                const v = fullint.viewers[0].viewer;
                v.zoom(scale / v.view.scale);
                let count = 0;
                const start = performance.now();
                const step = () => {
                    v.pan(0, -20);
                    count += 1;
                    if (performance.now() - start > 1500) done(count / (performance.now() - start) * 1000);
                    else requestAnimationFrame(step);
                };
                requestAnimationFrame(step);
            })""",
            scale,
        )
        assert frames >= 30, (scale, frames)
    xs = page.evaluate("fullint.viewers[0].viewer.nodes.map((n) => [n.x, n.y])")
    assert len({tuple(map(round, p)) for p in xs}) == LARGE  # no two boxes in one place


def test_histograms_and_pictures(browser: object, tmp_path: Path) -> None:
    g = Builder()
    g.output(g.conv(g.input(1, 16, 16, 3), activation="RELU"))
    rng = np.random.default_rng(0)
    samples = [rng.normal(size=(1, 16, 16, 3)).astype(np.float32) for _ in range(12)]
    data = g.bytes()
    made = fullint.quantize(data, samples, min_sqnr=0)
    opened = Opened(browser, written(tmp_path, made.report, data, made.model, samples=samples))
    opened.page.click(".view:nth-child(2) .box >> nth=0")
    opened.settled()
    assert opened.page.locator(".histogram rect").count() == 32
    assert "have the smallest code" in opened.page.inner_text(".histogram figcaption")
    assert opened.page.locator(".sample img").count() == 8
    assert opened.page.evaluate("[...document.images].every((i) => i.naturalWidth === 16)")
    assert opened.errors == []


def command(*words: object, cwd: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fullint", *map(str, words)], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr


def clicks_through(opened: Opened, graphs: int) -> None:
    """Each graph: a box is picked, the whole is shown, every colour is tried."""
    page = opened.page
    assert page.locator(".view").count() == graphs
    for i in range(1, graphs + 1):
        page.locator(f".view:nth-child({i}) .box").nth(1).click()
        opened.settled()
        assert page.inner_text(".panel h3").startswith("op ")
        page.click(f".view:nth-child({i}) button[aria-label='the whole graph']")
        choice = page.locator(f".view:nth-child({i}) select[aria-label='colour by']")
        for value in choice.locator("option").evaluate_all("(all) => all.map((o) => o.value)"):
            choice.select_option(value)
            opened.settled()
    assert opened.errors == []


MODELS = [p for p in corpus("models", "*.tflite") if p.stem in ("issue57758_like_half", "mlperf_vww_96_float", "kwt_non_stream")]


@pytest.mark.slow
@pytest.mark.parametrize("path", MODELS, ids=[p.stem for p in MODELS])
def test_pages_of_real_models(browser: object, tmp_path: Path, path: Path) -> None:
    if "half" in path.stem:
        command("repair", path, "-o", "r.tflite", "--html", "page.html", cwd=tmp_path)
    else:
        command("quantize", path, "--synthetic", "-o", "r.tflite", "--html", "page.html", cwd=tmp_path)
    opened = Opened(browser, tmp_path / "page.html")
    assert opened.page.evaluate("performance.now()") < 5000
    clicks_through(opened, 2)
    if "half" in path.stem:
        assert "6 of 82 CONV_2D" in opened.page.inner_text("dl >> nth=0")


def test_pages_of_a_comparison_and_of_times(browser: object, tmp_path: Path) -> None:
    g = Builder()
    x = g.conv(g.input(1, 12, 12, 3), activation="RELU")
    x = g.conv(g.op("GELU", x))
    g.output(g.dense(g.reshape(x, 1, -1), 6))
    (tmp_path / "float.tflite").write_bytes(g.bytes())
    rng = np.random.default_rng(0)
    np.save(tmp_path / "s.npy", rng.normal(size=(24, 12, 12, 3)).astype(np.float32))
    command("quantize", "float.tflite", "-c", "s.npy", "-o", "int.tflite", "--min-sqnr", 0, cwd=tmp_path)
    command("compare", "float.tflite", "int.tflite", "-c", "s.npy", "--html", "compare.html", cwd=tmp_path)
    command("benchmark", "float.tflite", "int.tflite", "--num-runs", 5, "--html", "benchmark.html", cwd=tmp_path)
    compared = Opened(browser, tmp_path / "compare.html")
    clicks_through(compared, 2)
    assert "SQNR of what it adds itself" in compared.page.inner_text(".panel")
    timed = Opened(browser, tmp_path / "benchmark.html")
    clicks_through(timed, 2)
    assert " us" in timed.page.inner_text(".bars >> nth=0")


@pytest.mark.skipif(shutil.which("model-explorer") is None, reason="needs ai-edge-model-explorer")
def test_model_explorer_shows_the_data(browser: object, tmp_path: Path) -> None:
    (tmp_path / "half.tflite").write_bytes(half())
    command("audit", "half.tflite", "--model-explorer", "over.json", cwd=tmp_path)
    files = ",".join(str(tmp_path / f"over{word}.json") for word in ("", ".type", ".findings"))
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    call = [
        "model-explorer",
        str(tmp_path / "half.tflite"),
        "--node_data_paths",
        files,
        "--no_open_in_browser",
        "--port",
        str(port),
    ]
    server = subprocess.Popen([*call, "--skip_health_check"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        address = next(line.strip() for line in server.stdout if line.startswith("http://localhost"))
        page = browser.new_page()
        page.goto(address)
        page.wait_for_function("document.body.innerText.includes('bits of the activations')", timeout=60_000)
        said = page.inner_text("body")
        assert "multiply-accumulates (M)" in said and "findings" in said
        sums = re.search(r"^Sum\s+(\S+)\s+(\S+)\s+(\S+)", said, re.MULTILINE)
        assert float(sums[2]) == 8 + 32 + 32 + 32 + 8
    finally:
        server.kill()
        server.wait()
