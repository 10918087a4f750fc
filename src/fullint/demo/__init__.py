"""The demo: a small trained network, its samples, and a comparison before and after quantization.

tools/train_demo.py makes `digits.tflite`, `calibration.npz` and `test.npz`.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from importlib.resources import as_file, files

import numpy as np

from fullint.documents import Document, Table, size
from fullint.model.census import count_conv, count_float
from fullint.model.ir import Array, Model
from fullint.model.tflite import read_model
from fullint.options import Progress
from fullint.quantization.pipeline import quantize
from fullint.quantization.report import QuantizeReport
from fullint.reporting import SCHEMA_VERSION, ModelResult, Report
from fullint.runtime.messages import Latency, Open, Run
from fullint.runtime.process import WorkerProcess, model_file
from fullint.verification.kernel_outputs import integer_inputs, real
from fullint.verification.report_document import certificate_blocks

LATENCY_RUNS = 400


@dataclass(frozen=True)
class Side:
    """One model of the comparison: accuracy is 0 to 1, latency the median in microseconds."""

    operators: int
    float_operators: int
    conv_2d: str
    bytes: int
    accuracy: float
    latency_us: float


@dataclass(frozen=True, repr=False)
class DemoReport(Report):
    """The model before and after, and the report of its quantization."""

    schema_version: int
    test_digits: int
    before: Side
    after: Side
    quantize: QuantizeReport

    def document(self) -> Document:
        """Before and after, side by side, and the certificate."""
        before, after = self.before, self.after
        rows = (
            ("operators", str(before.operators), str(after.operators)),
            ("float operators", str(before.float_operators), str(after.float_operators)),
            ("CONV_2D int8 weights, int32 bias", before.conv_2d, after.conv_2d),
            ("size", size(before.bytes), size(after.bytes)),
            (f"accuracy on {self.test_digits} digits", f"{100 * before.accuracy:.2f} %", f"{100 * after.accuracy:.2f} %"),
            ("latency (median, 1 thread)", f"{before.latency_us:.0f} us", f"{after.latency_us:.0f} us"),
        )
        certificate = self.quantize.certificate
        table = Table(("", "float", "all integer"), rows, "handwritten digits, a small trained network")
        return Document.of(table, *(certificate_blocks(certificate) if certificate is not None else ()))


@dataclass(frozen=True, repr=False)
class Demo(ModelResult):
    """The quantized model and the report."""

    model: bytes
    report: DemoReport

    def _report(self) -> DemoReport:
        return self.report


def run_demo(progress: Progress | None = None) -> Demo:
    """Quantize the digits network, and measure both models on digits that were not used for training or calibration."""
    home = files("fullint.demo")
    before = (home / "digits.tflite").read_bytes()
    with as_file(home / "calibration.npz") as samples:
        result = quantize(before, samples, progress=progress)
    with as_file(home / "test.npz") as path, np.load(path) as test:
        images, labels = test["image"].astype(np.float32), test["label"]
    sides = [_measure(data, images, labels) for data in (before, result.model)]
    return Demo(result.model, DemoReport(SCHEMA_VERSION, len(labels), sides[0], sides[1], result.report))


def _measure(data: bytes, images: Array, labels: Array) -> Side:
    model = read_model(data)
    with model_file(data) as path, WorkerProcess() as worker:
        worker.call(Open(path, "xnnpack", 1))
        hits = sum(_digit(model, worker, image) == int(label) for image, label in zip(images, labels, strict=True))
        seconds = worker.call(Latency(integer_inputs(model, [images[:1]]), LATENCY_RUNS))
    convs = count_conv(model)
    return Side(
        operators=sum(1 for _ in model.ops()),
        float_operators=count_float(model),
        conv_2d=f"{convs.int8_weights_int32_bias} of {convs.total}",
        bytes=len(data),
        accuracy=hits / len(labels),
        latency_us=statistics.median(seconds) * 1e6,
    )


def _digit(model: Model, worker: WorkerProcess, image: Array) -> int:
    outputs = worker.call(Run(integer_inputs(model, [image])))
    return int(real(outputs[0], model.main.outputs[0]).argmax())
