"""Fake quantization is part of the network: what it cuts off is no error, and parameters for every value need no samples."""

import numpy as np
import pytest
from conftest import run
from test_qat_params import fake_quant, pair

from fullint import quantize
from fullint.errors import UsageError
from fullint.model.ir import Quant, Tensor
from fullint.model.tflite import read_bytes
from fullint.ops.builder import Builder, samples_like
from fullint.ops.make import make_op
from fullint.passes.as_trained import as_trained
from fullint.passes.qat_params import apply_qat_params
from fullint.quantization.pipeline import plan


def trained(*, last: bool = True, cut: float = 0.4) -> Builder:
    """Two convolutions and a dense layer; a range cuts off half of what the first one computes.

    Args:
        last: whether the output was trained with parameters, too.
        cut: end of that range.
    """
    g = Builder(seed=4)
    x = fake_quant(g, g.input(1, 8, 8, 3), -2.0, 2.0)
    for channels, end in ((6, cut), (6, 3.0)):
        scale = Quant.of(np.linspace(0.004, 0.006, channels, dtype=np.float32), np.zeros(channels), 0)
        w = pair(g, g.random(channels, 3, 3, x.shape[-1], scale=0.2), scale)
        x = g.op("CONV_2D", x, w, g.random(channels, scale=0.3), shape=(1, 8, 8, channels), stride_h=1, stride_w=1, padding=0)
        x = fake_quant(g, x, -end, end)
    w = pair(g, g.random(5, 384, scale=0.1), Quant.of(0.002, 0))
    y = g.op("FULLY_CONNECTED", g.reshape(x, 1, -1), w, g.random(5), shape=(1, 5))
    g.output(fake_quant(g, y, -6.0, 6.0) if last else y)
    return g


def inputs(*given: object, **options: object) -> list[list[np.ndarray]]:
    """Samples in graph input order."""
    return [list(s.values()) for s in samples_like(*given, **options)]


def sqnr(g: Builder, data: bytes) -> float:
    """Of a result, against the network as it was trained, on fresh samples."""
    after = read_bytes(data).main
    signal = noise = 0.0
    for x in inputs(g.model(), 40, seed=77):
        (want,) = run(g.bytes(), x, "builtin")
        (got,) = run(
            data,
            [np.clip(np.rint(x[0] / after.inputs[0].quant.scale) + after.inputs[0].quant.zero_point, -128, 127).astype(np.int8)],
        )
        real = (got.astype(np.float32) - after.outputs[0].quant.zero_point) * after.outputs[0].quant.scale
        signal += float(np.square(want).sum())
        noise += float(np.square(want - real).sum())
    return 10 * np.log10(signal / max(noise, 1e-12))


@pytest.mark.parametrize("effort", ["fast", "balanced"])
def test_what_training_cut_off_is_not_corrected_back(effort: str) -> None:
    g = trained()
    result = quantize(g.bytes(), samples_like(g.model(), 40), effort=effort)
    assert sqnr(g, result.model) > 33
    convs = [op for op in read_bytes(result.model).main.ops if op.kind == "CONV_2D"]
    given = [op.inputs[2].array for op in read_bytes(g.bytes()).main.ops if op.kind == "CONV_2D"]
    for op, bias in zip(convs, given, strict=True):
        _, _, b = op.inputs
        assert np.abs(b.array - np.rint(bias / b.quant.scale)).max() <= 1


def test_values_without_parameters_are_measured_behind_the_cut() -> None:
    """The range of the last layer is that of what it gets to see in training."""
    g = trained(last=False, cut=0.05)
    result = quantize(g.bytes(), samples_like(g.model(), 40))
    assert sqnr(g, result.model) > 35
    y = read_bytes(result.model).main.outputs[0]
    largest = max(float(np.abs(run(g.bytes(), x, "builtin")[0]).max()) for x in inputs(g.model(), 40))
    assert 127 * float(y.quant.scale[0]) < 1.4 * largest


@pytest.mark.parametrize("inside", [False, True])
def test_put_back_it_computes_what_the_file_does(inside: bool) -> None:
    """Also within the body of a loop."""
    g = trained()
    if inside:
        g = Builder()
        cond, body = Builder(name="cond"), Builder(seed=1, name="body")
        i, _ = cond.input(dtype="int32"), cond.input(1, 5)
        cond.output(cond.op("LESS", i, cond.const(np.int32(3)), shape=()))
        j, h = body.input(dtype="int32"), body.input(1, 5)
        y = fake_quant(body, body.dense(h, 5), -0.2, 0.3)
        body.output(body.op("ADD", j, body.const(np.int32(1)), shape=()), body.op("MUL", y, body.const(1.5)))
        out = [Tensor("i", (), "int32"), Tensor("h", (1, 5), "float32")]
        first = [g.const(np.int32(0)), g.input(1, 5)]
        g.graph.ops.append(make_op("WHILE", first, out, cond_subgraph_index=cond.graph, body_subgraph_index=body.graph))
        g.output(out[1])
    data = g.bytes()
    model = read_bytes(data)
    pinned, _ = apply_qat_params(model)
    assert pinned
    back = as_trained(model, pinned)
    plain, different = read_bytes(data), 0.0
    for x in inputs(plain, 5):
        (want,), (got,), (without,) = run(data, x, "builtin"), run(_bytes(back), x, "builtin"), run(_bytes(model), x, "builtin")
        assert np.abs(want - got).max() < 1e-5
        different = max(different, float(np.abs(want - without).max()))
    assert different > 0.05


def _bytes(model) -> bytes:
    from fullint.model.tflite import write_model

    return write_model(model)


def test_parameters_for_every_value_need_no_samples() -> None:
    g = trained()
    result = quantize(g.bytes())
    assert result.report.float_operators == 0 and sqnr(g, result.model) > 33
    assert result.report.certificate.drawn and result.report.certificate.samples > 0
    assert any("no samples were given" in w for w in result.report.warnings)
    assert plan(g.bytes()) is not None


@pytest.mark.parametrize("clamp", ["RELU", "RELU6"])
def test_parameters_behind_what_cuts_off_are_those_before(clamp: str) -> None:
    """As exports of ONNX have them: CONV_2D, TRANSPOSE, RELU, and then the parameters."""
    g = Builder(seed=6)
    x = fake_quant(g, g.input(1, 6, 6, 3), -2.0, 2.0)
    w = pair(g, g.random(4, 3, 3, 3, scale=0.2), Quant.of(np.full(4, 0.005, np.float32), np.zeros(4), 0))
    y = g.op("CONV_2D", x, w, g.random(4), shape=(1, 6, 6, 4), stride_h=1, stride_w=1, padding=0)
    y = g.op(clamp, g.op("TRANSPOSE", y, g.const(np.int32([0, 3, 1, 2])), shape=(1, 4, 6, 6)))
    g.output(fake_quant(g, y, 0.0, 2.5))
    result = quantize(g.bytes())
    assert result.report.float_operators == 0 and sqnr(g, result.model) > 33
    assert not [op for op in read_bytes(result.model).main.ops if op.kind == "QUANTIZE"]


def test_what_training_left_out_is_named() -> None:
    with pytest.raises(UsageError, match=r"no parameters for 1 values?, \"[^\"]+\" \(FULLY_CONNECTED \d+\)(.|\n)*-c"):
        quantize(trained(last=False).bytes())


def test_random_inputs_serve_more_than_once() -> None:
    """`mixed` looks at them before the certificate does."""
    result = quantize(trained().bytes(), mixed=60.0)
    assert result.report.certificate.samples > 0
