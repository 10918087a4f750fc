"""Accuracy floors, so that a clone without a folder of models notices a loss of 1 dB.

    FULLINT_GOLDEN=write python -m pytest tests/test_floors.py      write the figures anew; read the difference first

Trained networks (`networks/`, made by tools/train_networks.py and tools/train_sequences.py, and the demo's) are calibrated on
the demo's digits and compared with float on its test digits, which took part in nothing; random graphs on what their
certificates say. One figure may fall by `SLACK` dB, since processors round differently, their mean hardly at all.
"""

from __future__ import annotations

import json
import os
import statistics
from pathlib import Path

import numpy as np
import pytest
from random_graphs import made

import fullint
from fullint import demo
from fullint.errors import FullintError
from fullint.model.tflite import read_bytes, read_model
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import WorkerProcess, model_file
from fullint.verification.kernel_outputs import integer_inputs, real
from fullint.verification.metrics import Score

HERE = Path(__file__).parent
DEMO = Path(demo.__file__).parent
NETWORKS = {p.stem: p for p in [*sorted((HERE / "networks").glob("*.tflite")), DEMO / "digits.tflite"]}
FORMS: dict[str, dict[str, object]] = {
    "per_channel": {},
    "per_tensor": {"per_tensor": True},
    "few_samples": {"num_samples": 12},
    "int16": {"activations": "int16"},
}
SEEDS = range(1000, 1040)
TEST_DIGITS = 200
FILE = HERE / "golden" / "floors.json"
WRITE = os.environ.get("FULLINT_GOLDEN") == "write"
SLACK, MEAN_SLACK = 0.7, 0.2
MOST, TRAINED_MOST = 40.0, 50.0
"""dB beyond which the figure of a random graph, or a trained network, is not looked at closely: single codes decide there, and
processors that round otherwise differ by dBs."""


def floors() -> dict[str, float]:
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def check(found: dict[str, float]) -> None:
    known = floors()
    if WRITE:
        FILE.parent.mkdir(exist_ok=True)
        FILE.write_text(json.dumps(dict(sorted({**known, **found}.items())), indent=1) + "\n")
        return
    lower = {name: (known[name], value) for name, value in found.items() if value < known[name] - SLACK}
    assert not lower, f"dB, before and now: {lower}"
    assert statistics.mean(found.values()) > statistics.mean(known[name] for name in found) - MEAN_SLACK


def samples(name: str, images: np.ndarray) -> list[list[np.ndarray]]:
    """What the network takes: a picture; or which rows there are, and the rows, some pictures without one to three of theirs."""
    if name != "masked":
        return [[x[None]] for x in images.astype(np.float32)]
    order = np.random.default_rng(0).permuted(np.tile(np.arange(8), (len(images), 1)), axis=1)
    kept = [x[np.sort(order[i, i % 4 :])] for i, x in enumerate(images[..., 0].astype(np.float32))]
    return [[(np.arange(8) < len(x))[None].astype(np.float32), np.pad(x, ((0, 8 - len(x)), (0, 0)))[None]] for x in kept]


def outputs(data: bytes | Path, given: list[list[np.ndarray]]) -> list[np.ndarray]:
    model = read_model(data) if isinstance(data, Path) else read_bytes(data)
    content = data.read_bytes() if isinstance(data, Path) else data
    with model_file(content) as path, WorkerProcess() as worker:
        worker.call(Open(path, "builtin", 1))
        return [real(worker.call(Run(integer_inputs(model, x)))[0], model.main.outputs[0]) for x in given]


@pytest.mark.parametrize("name", NETWORKS)
def test_trained_networks(name: str) -> None:
    """SQNR on digits that nobody calibrated on, per form; and the labels."""
    with np.load(DEMO / "test.npz") as test:
        given, labels = samples(name, test["image"][:TEST_DIGITS]), test["label"][:TEST_DIGITS]
    with np.load(DEMO / "calibration.npz") as calibration:
        seen = samples(name, calibration["image"]) if name == "masked" else DEMO / "calibration.npz"
    expected = outputs(NETWORKS[name], given)
    right = np.mean([e.argmax() == label for e, label in zip(expected, labels, strict=True)])
    assert right > 0.9
    found = {}
    for form, options in FORMS.items():
        result = fullint.quantize(NETWORKS[name], seen, min_sqnr=-100, threads=1, **options)
        score = Score()
        got = outputs(result.model, given)
        for a, b in zip(expected, got, strict=True):
            score.add(a, b)
        found[f"{name} {form}"] = round(min(score.sqnr, TRAINED_MOST), 2)
        assert np.mean([g.argmax() == label for g, label in zip(got, labels, strict=True)]) > right - 0.03, form
    check(found)


def test_random_graphs() -> None:
    found = {}
    for seed in SEEDS:
        g, samples = made(seed)
        try:
            report = fullint.quantize(g.bytes(), samples, min_sqnr=-1000, threads=1).report
        except FullintError:
            continue
        if report.certificate is not None and report.certificate.sqnr_db is not None:
            found[f"graph {seed}"] = round(min(report.certificate.sqnr_db, MOST), 2)
    assert len(found) > 25
    assert WRITE or set(found) == {name for name in floors() if name.startswith("graph ")}
    check(found)
