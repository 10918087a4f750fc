"""Large networks on the slow kernel sets: one operator of each form, by itself."""

import numpy as np
import pytest

import fullint
from fullint.errors import VerificationError
from fullint.model.tflite import read_model
from fullint.ops.builder import Builder
from fullint.ops.macs import macs, total_macs
from fullint.verification import kernel_forms, slow_kernels
from fullint.verification.kernel_forms import WHOLE_MACS, stands_alone


def network(size: int) -> bytes:
    """CONV_2D 3x3 (three of them, two alike), 1x1, ADD."""
    g = Builder()
    x = g.conv(g.input(1, size, size, 8), 32, kernel=3, activation="RELU")
    y = g.conv(x, 32, kernel=3, activation="RELU")
    g.output(g.op("ADD", y, g.conv(g.conv(y, 32, kernel=1), 32, kernel=3)))
    return g.bytes()


def quantized(size: int) -> fullint.Result:
    samples = np.random.default_rng(0).normal(size=(24, size, size, 8)).astype(np.float32)
    return fullint.quantize(network(size), samples, effort="fast")


def test_a_large_network_runs_one_operator_of_each_form() -> None:
    made = quantized(96)
    model = read_model(made.model)
    assert total_macs(model) > WHOLE_MACS
    chosen = stands_alone(model)
    assert [op.kind for op in chosen] == ["CONV_2D", "CONV_2D", "CONV_2D", "ADD"]
    assert min(macs(op) for op in model.main.ops if op.kind == "CONV_2D" and op.input(1).shape[1] == 3) == macs(chosen[0])
    for k in made.report.certificate.kernel_sets[1:]:
        assert (k.status, k.samples, k.operators, k.sqnr_db) == ("ran", 1, 4, None)
        assert 0 <= k.disagreement_steps <= 2
    assert "1 sample, 4 operators by themselves, one of each form, at most" in str(made.report)


def test_a_small_network_runs_as_a_whole() -> None:
    assert [k.operators for k in quantized(16).report.certificate.kernel_sets] == [None, None, None]
    assert stands_alone(read_model(quantized(16).model)) == []


def test_a_kernel_that_computes_something_else_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_forms, "WHOLE_MACS", 1)
    right = slow_kernels.SlowKernels.outputs

    def wrong(self: slow_kernels.SlowKernels, failures: dict) -> list[list[np.ndarray]]:
        """The first CONV_2D's values, mirrored."""
        return [[outputs[0][:, ::-1].copy(), *outputs[1:]] for outputs in right(self, failures)]

    quantized(16)
    monkeypatch.setattr(slow_kernels.SlowKernels, "outputs", wrong)
    with pytest.raises(
        VerificationError, match=r'the builtin kernels, given the same inputs as XNNPACK\'s: CONV_2D ".*", op \d: '
    ):
        quantized(16)
