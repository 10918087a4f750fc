"""The best effort: finds what is better on data that nobody chose on, keeps nothing else, and loses nothing when interrupted."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import run
from test_ranges import long_tails

import fullint
from fullint.model.tflite import read_bytes
from fullint.ops.builder import Builder
from fullint.quantization.forms import Form
from fullint.quantization.search import _gain
from fullint.verification.kernel_outputs import integer_inputs, real


def sqnr(data: bytes, result: bytes, samples: np.ndarray) -> float:
    """On samples that no run has seen."""
    model, signal, noise = read_bytes(result), 0.0, 0.0
    for x in samples:
        [a] = run(data, [x[None]])
        [b] = run(result, integer_inputs(model, [x[None]]))
        signal += float(np.square(a).sum())
        noise += float(np.square(a - real(b, model.main.outputs[0])).sum())
    return 10 * np.log10(signal / noise)


def test_it_finds_what_helps_and_says_what_it_tried(g: Builder) -> None:
    data, samples = long_tails(g)
    plain, best = (fullint.quantize(data, samples[:120], effort=e) for e in ("balanced", "best"))
    assert plain.report.trials == ()
    kept = [t for t in best.report.trials if t.kept]
    assert kept and all(t.gain_db > 0.1 for t in kept) and len(kept) < len(best.report.trials)
    assert any('range of "first"' in t.what or "least squared error" in t.what for t in kept)
    assert sqnr(data, best.model, samples[120:]) > sqnr(data, plain.model, samples[120:]) + 1.5
    text = str(best.report)
    assert f"{len(best.report.trials)} changes, {len(kept)} kept" in text and kept[0].what in text
    assert best.report.ranges is not None and best.report.ranges.sqnr_db > best.report.ranges.minmax_sqnr_db + 1


def test_the_same_bytes_each_time_with_any_number_of_threads(g: Builder) -> None:
    data, samples = long_tails(g)
    found = [fullint.quantize(data, samples[:60], effort="best", threads=n).model for n in (1, 2)]
    assert found[0] == found[1]


def network(g: Builder) -> bytes:
    g.output(g.dense(g.reshape(g.conv(g.input(1, 6, 6, 3), 8, activation="RELU"), 1, -1), 4))
    return g.bytes()


def test_few_samples_choose_nothing(g: Builder) -> None:
    data = network(g)
    samples = np.random.default_rng(0).normal(size=(12, 1, 6, 6, 3)).astype(np.float32)
    plain, best = (fullint.quantize(data, samples, effort=e) for e in ("balanced", "best"))
    assert best.model == plain.model and best.report.trials == ()
    assert any("16 samples would have to judge, but there are 12" in w for w in best.report.warnings)


def test_operators_in_int16_get_no_trials_of_narrower_ranges(g: Builder) -> None:
    data, samples = long_tails(g)
    trials = fullint.quantize(data, samples[:60], effort="best", int16=["first"]).report.trials
    assert trials and not any('range of "first"' in t.what for t in trials)


def test_repair_says_where_it_has_nothing_to_try() -> None:
    half = Path(fullint.__file__).parent / "demo" / "half.tflite"
    said = fullint.repair(half, effort="best").report.result.warnings
    assert any("effort best: ranges come from the file" in w for w in said)


def test_repair_searches_where_it_quantizes(g: Builder) -> None:
    """A float model whose weights are stored in float16."""
    codes = g.const(np.random.default_rng(0).normal(size=(8, 3, 3, 8)).astype(np.float16))
    w = g.op("DEQUANTIZE", codes, shape=(8, 3, 3, 8), dtype="float32")
    options = {"stride_h": 1, "stride_w": 1, "dilation_h_factor": 1, "dilation_w_factor": 1}
    g.output(g.op("CONV_2D", g.input(1, 24, 24, 8), w, g.random(8), shape=(1, 24, 24, 8), **options))
    samples = np.random.default_rng(0).laplace(size=(60, 1, 24, 24, 8)).astype(np.float32)
    assert fullint.repair(g.bytes(), samples=samples, effort="best").report.result.trials


@pytest.mark.parametrize("after", [0, 2])
def test_an_interrupt_keeps_what_is_done(g: Builder, after: int) -> None:
    data = network(g)
    samples = np.random.default_rng(0).normal(size=(60, 1, 6, 6, 3)).astype(np.float32)

    def progress(stage: str, done: int, total: int | None) -> None:
        if stage == "search" and done >= after and total is not None:
            raise KeyboardInterrupt

    result = fullint.quantize(data, samples, effort="best", progress=progress)
    assert result.report.certificate.sqnr_db > 25
    assert len(result.report.trials) == after
    assert any(f"interrupted after {after} of" in w for w in result.report.warnings)


@pytest.mark.skipif(os.name != "posix", reason="signals of a terminal")
def test_ctrl_c_writes_the_best_so_far(tmp_path: Path, g: Builder) -> None:
    """A terminal's interrupt reaches all processes of the command; those that run models go on."""
    x = g.conv(g.input(1, 48, 48, 3), 32, activation="RELU")
    for _ in range(4):
        x = g.conv(x, 32, activation="RELU")
    g.output(g.dense(g.reshape(x, 1, -1), 4))
    (tmp_path / "m.tflite").write_bytes(g.bytes())
    np.savez(tmp_path / "s.npz", x=np.random.default_rng(0).normal(size=(80, 48, 48, 3)).astype(np.float32))
    command = [sys.executable, "-m", "fullint", "quantize", "m.tflite", "-c", "s.npz", "-o", "out.tflite", "--effort", "best"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if "search" in line:
                assert "left" in line
                break
        time.sleep(0.3)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, errors
    assert (tmp_path / "out.tflite").exists()


def found(errors: list[float]) -> np.ndarray:
    return np.array(errors)[:, None]


def test_better_by_more_than_chance() -> None:
    old, every = np.full(20, 1.0), np.arange(20)
    assert _gain(found(old), found(old * 0.8), every) == (0.97, True)
    assert _gain(found(old), found(old * 0.99), every)[1] is False
    by_chance = old.copy()
    by_chance[:2] = 0.05, 1.26
    gain, better = _gain(found(old), found(by_chance), every)
    assert gain > 0.5 and by_chance.sum() < old.sum() and better is False
    one_lost = old * 0.8
    one_lost[0] = 10
    assert _gain(found(old), found(one_lost), every)[1] is False
    assert _gain(found(old), None, every) == (None, False)


def test_forms_are_values() -> None:
    assert replace(Form(), equalized=False) == Form(equalized=False) != Form()
