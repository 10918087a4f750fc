"""A detector of digits: boxes in pixels and scores share one output, which int8 destroys unless they are taken apart."""

import sys
from pathlib import Path

import numpy as np
import pytest
from detection import average_precision, canvases

import fullint
from fullint import demo
from fullint.errors import AccuracyError
from fullint.model.tflite import read_bytes
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import WorkerProcess, model_file
from fullint.verification.kernel_outputs import integer_inputs, real

DETECTOR = Path(__file__).parent / "detector" / "detector.tflite"
DEMO = Path(demo.__file__).parent


def pictures(file: str, count: int, seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    with np.load(DEMO / file) as found:
        labels = found.get("label")
        return canvases(found["image"].astype(np.float32), labels, count, seed)


def answers(data: bytes, given: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
    """Outputs by name, in real values."""
    model = read_bytes(data)
    with model_file(data) as path, WorkerProcess() as worker:
        worker.call(Open(path, "builtin", 1))
        found = [worker.call(Run(integer_inputs(model, [x[None]]))) for x in given]
    return [{t.name: real(v, t) for t, v in zip(model.main.outputs, values, strict=True)} for values in found]


@pytest.fixture(scope="module")
def samples() -> list[np.ndarray]:
    return [x[None] for x in pictures("calibration.npz", 100, seed=11)[0]]


def test_plain_int8_is_refused_with_the_operator_and_ways_out(samples: list[np.ndarray]) -> None:
    with pytest.raises(AccuracyError) as caught:
        fullint.quantize(DETECTOR, samples, threads=1)
    [join] = [op for op in fullint.read_model(DETECTOR).main.ops if op.kind == "CONCATENATION"]
    said = str(caught.value)
    assert f'op {join.origin} CONCATENATION "{join.output_name}" puts it on a scale with larger values' in said
    assert caught.value.lost == (join.inputs[1].name,)
    assert "--split-outputs: " in said
    assert f"--keep-float {join.origin}: " in said


def test_an_accepted_loss_is_a_warning_and_the_scores_are_gone(samples: list[np.ndarray]) -> None:
    """What the refusal is about: the whole output has more than 30 dB."""
    with pytest.raises(AccuracyError) as caught:
        fullint.quantize(DETECTOR, samples, threads=1)
    result = fullint.quantize(DETECTOR, samples, threads=1, allow_lost=caught.value.lost)
    assert any("is lost" in w for w in result.report.warnings)
    assert result.report.certificate.sqnr_db > 30
    given, truths = pictures("test.npz", 40, seed=2)
    assert average_precision([next(iter(a.values())) for a in answers(result.model, given)], truths) == 0


def test_split_outputs_keep_the_precision_of_float(samples: list[np.ndarray]) -> None:
    """Within 1 % average precision, joined again by the code that the report prints."""
    result = fullint.quantize(DETECTOR, samples, threads=1, split_outputs=True)
    assert not any("about its mean" in w for w in result.report.warnings)
    [split] = [c for c in result.report.changes if c.rule == "split_outputs"]
    given, truths = pictures("test.npz", 200, seed=2)
    joined = []
    for out in answers(result.model, given):
        exec(split.why.removeprefix("taken off: "), {"np": np, "out": out})
        joined.append(out[split.output])
    whole = [a[split.output] for a in answers(DETECTOR.read_bytes(), given)]
    before, after = average_precision(whole, truths), average_precision(joined, truths)
    assert before > 0.9
    assert abs(before - after) < 0.01, (before, after)


def test_the_data_are_made_without_training_tools() -> None:
    assert "sklearn" not in sys.modules
