"""Large constants lie in mapped files, and memory has them while they are read; nothing else depends on that."""

import numpy as np
import pytest

import fullint
from fullint.model.ir import Model
from fullint.model.tflite import mappings, read_bytes, read_model, write_file
from fullint.model.tflite import read as reading
from fullint.model.tflite.read import mapping_of
from fullint.ops.builder import Builder
from fullint.quantization import workbench
from fullint.quantization.workbench import Workbench


def network(g: Builder) -> bytes:
    """Channels of unequal size, so that constants are made anew by equalization."""
    x = g.input(1, 8, 8, 3, name="x")
    w = np.random.default_rng(0).normal(size=(8, 3, 3, 3)).astype(np.float32) * np.geomspace(0.01, 1, 8)[:, None, None, None]
    y = g.conv(x, 8, weights=g.const(w.astype(np.float32)), activation="RELU")
    g.output(g.conv(g.depthwise(y, activation="RELU"), 4))
    return g.bytes()


def samples() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(30, 8, 8, 3)).astype(np.float32)


def test_results_are_the_same_bytes(g: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    data = network(g)
    plain = fullint.quantize(data, samples())
    assert any(c.rule == "equalize" for c in plain.report.changes)
    put: list[int] = []
    put_by = Workbench.put_by

    def counted(self: Workbench, model: Model) -> None:
        put_by(self, model)
        put.append(len(self.mapped))

    monkeypatch.setattr(workbench, "READ_BYTES", 100)
    monkeypatch.setattr(workbench, "_LARGE", 10)
    monkeypatch.setattr(Workbench, "put_by", counted)
    assert fullint.quantize(data, samples()).model == plain.model
    assert 1 in put


def test_what_is_put_by_keeps_its_values(g: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    model = read_bytes(network(g))
    constants = [t for t in model.main.tensors if t.buffer is not None]
    before = [t.array.copy() for t in constants]
    monkeypatch.setattr(workbench, "READ_BYTES", 100)
    monkeypatch.setattr(workbench, "_LARGE", 64)
    with Workbench(None) as bench:
        bench.put_by(model)
        assert len(bench.mapped) == 1 and mappings(model) == bench.mapped
        for t, values in zip(constants, before, strict=True):
            np.testing.assert_array_equal(t.array, values)
            assert t.buffer is not None and (mapping_of(t.buffer) is None) == (values.nbytes < 64)
        with bench.stage("something"):
            pass  # their memory is given back
        np.testing.assert_array_equal(constants[0].array, before[0])
        bench.put_by(model)
        assert len(bench.mapped) == 1, "what is mapped is not put by again"


def test_a_large_file_is_mapped(g: Builder, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path_factory.mktemp("large") / "model.tflite"
    write_file(read_bytes(network(g)), str(path))
    assert mappings(read_model(path)) == set()
    monkeypatch.setattr(reading, "READ_BYTES", 100)
    model = read_model(path)
    assert len(mappings(model)) == 1
    assert fullint.write_model(model) == fullint.write_model(read_bytes(path.read_bytes()))
