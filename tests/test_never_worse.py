"""What `quantize` does beyond plain min-max never costs accuracy, whatever the number of samples.

    the same draws of samples --+-- min-max alone ---------> logits of test digits     dB
                                +-- all methods (default) -> logits of test digits     dB', at most `TOLERANCE` less

Trained networks, and such as nobody has tuned anything on: convolutions at random with a last layer that is the least-squares
fit to the digits' labels. Logits are compared, since behind a softmax a few samples decide. What methods are left out of
"min-max alone" is said in benchmarks/accuracy.py.
"""

from __future__ import annotations

import statistics
from pathlib import Path

import numpy as np
import pytest
from accuracy import METHODS, Network, drawn, ours, outputs, sqnr
from conftest import run
from test_floors import DEMO, NETWORKS

from fullint.model.tflite import read_bytes, read_model, write_model
from fullint.ops.builder import Builder

pytestmark = pytest.mark.slow
TOLERANCE = 0.5
COUNTS, DRAWS, TESTED = (8, 16, 32, 200), 3, 200
TUNED = ("attention", "lstm_loop", "mobile", "residual", "vit")
UNTUNED = range(3)


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Pictures that calibrate, and pictures to test on."""
    with np.load(DEMO / "calibration.npz") as seen, np.load(DEMO / "test.npz") as tests:
        return seen["image"].astype(np.float32), tests["image"][:TESTED].astype(np.float32)


def without_softmax(path: Path) -> bytes:
    model = read_model(path)
    last = model.main.ops.pop()
    assert last.kind == "SOFTMAX"
    model.main.outputs, model.signatures = [last.inputs[0]], []
    model.main.sync_tensors()
    return write_model(model)


def fitted(seed: int) -> bytes:
    """Layers at random, of other kinds and sizes each time, and a last one that fits the labels of other digits."""
    draw, g = np.random.default_rng(seed), Builder(seed=seed)
    kinds = ("RELU", "RELU6") if seed % 2 else ("RELU6", "RELU")
    y = g.conv(g.input(1, 8, 8, 1), int(draw.integers(6, 24)), activation=kinds[0])
    for _ in range(int(draw.integers(1, 4))):
        if draw.random() < 0.5:
            y = g.depthwise(y, activation="RELU")
        y = g.conv(y, int(draw.integers(8, 24)), activation=kinds[1])
    pooled = g.op(
        "AVERAGE_POOL_2D", y, shape=(1, 4, 4, y.shape[-1]), filter_height=2, filter_width=2, stride_h=2, stride_w=2, padding=1
    )
    features = g.reshape(pooled, 1, -1)
    g.output(features)
    with np.load(DEMO / "test.npz") as others:
        images, labels = others["image"][TESTED:].astype(np.float32), others["label"][TESTED:]
    made = np.stack([run(g.bytes(), [x[None]])[0].ravel() for x in images])
    h = made.T @ made + 0.01 * np.square(made).sum() / made.shape[1] * np.eye(made.shape[1])
    w = np.linalg.solve(h, made.T @ np.eye(10)[labels]).T.astype(np.float32)
    g.graph.outputs = []
    g.output(g.op("FULLY_CONNECTED", features, g.const(w), None, shape=(1, 10)))
    return g.bytes()


def check(name: str, file: bytes, folder: Path) -> None:
    """The mean of three draws, for each number of samples, per channel and per tensor."""
    path = folder / f"{name}.tflite"
    path.write_bytes(file)
    seen, tests = digits()
    network = Network(name, path, seen, tests)
    expected = outputs(file, read_bytes(file), tests)

    def mean(method: str, count: int, *, per_tensor: bool) -> float:
        found = []
        for draw in range(DRAWS):
            result = ours(network, drawn(network, count, draw), per_tensor=per_tensor, recipe=METHODS[method], seed=draw)
            found.append(sqnr(expected, outputs(result, read_bytes(result), tests)))
        return statistics.mean(found)

    worse = {}
    for count in COUNTS:
        for per_tensor in (False, True):
            plain, all_methods = (mean(method, count, per_tensor=per_tensor) for method in ("min-max", "+ rounding"))
            assert plain > 10
            if all_methods < plain - TOLERANCE:
                worse[count, per_tensor] = (plain, all_methods)
    assert not worse


@pytest.mark.parametrize("name", TUNED)
def test_trained_networks(name: str, tmp_path: Path) -> None:
    check(name, without_softmax(NETWORKS[name]), tmp_path)


@pytest.mark.parametrize("seed", UNTUNED)
def test_networks_that_nothing_was_tuned_on(seed: int, tmp_path: Path) -> None:
    check(f"random_{seed}", fitted(seed), tmp_path)
