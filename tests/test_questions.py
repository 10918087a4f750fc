"""What the samples are asked: by what they are like, and by what the float model answers to them."""

from __future__ import annotations

import struct
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from half import Half
from plantings import DEMO, NETWORKS, digits, two_inputs

import fullint
from fullint.calibration.samples import Slot
from fullint.calibration.samples.findings import of_normalization
from fullint.calibration.samples.values_seen import ValuesSeen
from fullint.errors import SamplesError
from fullint.model.ir import Buffer, Tensor
from fullint.model.tflite import read_model, write_model
from fullint.model.tflite.normalization import KEY, input_normalizations
from fullint.ops.builder import Builder
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import WorkerProcess, model_file
from fullint.verification.answers import Answers, class_scores


def kinds(report: object) -> list[str]:
    return [f.kind for f in report.sample_findings]


# --- metadata ---


def metadata(mean: list[float], std: list[float]) -> bytes:
    """A ModelMetadata with one subgraph, whose one input is normalized so."""
    b = flatbuffers.Builder(256)

    def floats(values: list[float]) -> int:
        b.StartVector(4, len(values), 4)
        for v in reversed(values):
            b.PrependFloat32(v)
        return b.EndVector()

    def tables(offsets: list[int]) -> int:
        b.StartVector(4, len(offsets), 4)
        for o in reversed(offsets):
            b.PrependUOffsetTRelative(o)
        return b.EndVector()

    def table(size: int, fields: dict[int, tuple[str, int]]) -> int:
        b.StartObject(size)
        for slot, (kind, value) in fields.items():
            b.PrependUint8Slot(slot, value, 0) if kind == "u8" else b.PrependUOffsetTRelativeSlot(slot, value, 0)
        return b.EndObject()

    means, stds = floats(mean), floats(std)
    options = table(2, {0: ("table", means), 1: ("table", stds)})
    unit = table(2, {0: ("u8", 1), 1: ("table", options)})
    units = tables([unit])
    tensor = table(7, {4: ("table", units)})
    inputs = tables([tensor])
    graph = table(10, {2: ("table", inputs)})
    graphs = tables([graph])
    b.Finish(table(8, {3: ("table", graphs)}), b"M001")
    return bytes(b.Output())


def with_metadata(path: Path, mean: list[float], std: list[float]) -> bytes:
    model = read_model(path)
    model.metadata.append((KEY, Buffer.of(np.frombuffer(metadata(mean, std), np.uint8))))
    return write_model(model)


@pytest.mark.parametrize(("mean", "std"), [([127.5], [127.5]), ([120.0, 110.0, 100.0], [58.0, 57.0, 56.0])])
def test_metadata_are_read(tmp_path: Path, mean: list[float], std: list[float]) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(with_metadata(NETWORKS[0], mean, std))
    assert input_normalizations(read_model(path)) == {0: (tuple(mean), tuple(std))}
    assert input_normalizations(read_model(NETWORKS[0])) == {}


def test_damaged_metadata_are_none() -> None:
    """Each byte overwritten in turn, and the data cut off anywhere: what is read is some numbers or nothing, never an error."""
    whole = metadata([127.5], [127.5])
    model = read_model(NETWORKS[0])
    for place in range(len(whole)):
        for data in (whole[:place], whole[:place] + b"\xff" + whole[place + 1 :]):
            model.metadata = [(KEY, Buffer.of(np.frombuffer(data, np.uint8)))]
            found = input_normalizations(model)
            assert all(len(mean) == len(std) for mean, std in found.values())
    model.metadata = [(KEY, Buffer.of(np.frombuffer(struct.pack("<I", 2**31) * 8, np.uint8)))]
    assert input_normalizations(model) == {}


def seen(values: np.ndarray, slot: Slot | None = None) -> ValuesSeen:
    found = ValuesSeen(slot or Slot("x", (), values.shape[1:], "float32"))
    for v in values:
        found.add(v)
    return found


@pytest.mark.parametrize(
    ("low", "high", "named"),
    [(-1, 1, False), (-0.9, 0.8, False), (0, 1, True), (0, 255, True), (-0.05, 0.05, True), (-1.02, 1.02, False)],
)
def test_values_beside_the_metadata(low: float, high: float, named: bool) -> None:
    """Pixels that are normalized to -1..1."""
    values = np.linspace(low, high, 300, dtype=np.float32).reshape(3, 100)
    found = of_normalization(seen(values), [127.5], [127.5], None)
    assert [f.kind for f in found] == ["normalization"] * named


def test_mean_and_std_beside_the_metadata(tmp_path: Path) -> None:
    """The advice that is printed, followed, ends the finding."""
    from PIL import Image

    images, _ = digits()
    (tmp_path / "photos").mkdir()
    for i in range(24):
        Image.fromarray((images[i, ..., 0] * 255).astype(np.uint8)).save(tmp_path / "photos" / f"{i}.png")
    data = with_metadata(DEMO / "digits.tflite", [0.0], [255.0])
    assert kinds(fullint.quantize(data, tmp_path / "photos").report) == []
    report = fullint.quantize(data, tmp_path / "photos", mean=127.5, std=127.5).report
    [found] = [f for f in report.sample_findings if f.kind == "normalization"]
    assert "try: --mean 0 --std 255" in found.text
    assert report.normalization == {"mean": [127.5], "std": [127.5], "layout": "NHWC"}


# --- inputs ---


def half() -> bytes:
    """A convolution of codes, a float one between conversions, and a third."""
    g = Half()
    x = g.coded(1, 8, 8, 2, scale=0.02, zero=0)
    g.output(g.quantize(g.conv(g.dequantize(x), filters=3), 0.05, 0))
    return g.bytes()


@pytest.mark.parametrize(("scale", "found"), [(1.0, []), (0.01, ["few-codes"])])
def test_codes_that_are_hit(scale: float, found: list[str]) -> None:
    x = np.clip(np.random.default_rng(0).normal(size=(30, 8, 8, 2)), -2.5, 2.5).astype(np.float32) * scale
    report = fullint.repair(half(), x).report.result
    assert kinds(report) == found
    if found:
        assert "hit 3 of its 256 codes; it takes -2.56 to 2.54" in report.sample_findings[0].text


def test_pictures_in_black_and_white_are_sound() -> None:
    x = np.where(np.random.default_rng(0).random((30, 8, 8, 2)) < 0.5, -128, 127).astype(np.int8)
    slot = Slot("x", (), (8, 8, 2), "int8", read_model_input(half()).quant)
    from fullint.calibration.samples.findings import of_values

    assert of_values(seen(x, slot)) == []
    assert [f.kind for f in of_values(seen(np.clip(x, -1, 1), slot))] == ["few-codes"]


def read_model_input(data: bytes) -> Tensor:
    from fullint.model.tflite import read_bytes

    return read_bytes(data).main.inputs[0]


def test_strict_samples_say_all_that_is_wrong() -> None:
    images, labels = digits()
    with pytest.raises(SamplesError) as caught:
        fullint.quantize(NETWORKS[3], images[:60] / 255, labels=labels[:60] + 9, strict_samples=True)
    named = [line.split(":")[0].strip() for line in str(caught.value).splitlines()[1:]]
    assert named == ["one-class", "labels-out-of-range"]
    assert caught.value.exit_code == 2


def test_what_helps_against_one_class_was_tried() -> None:
    """255 times larger, as the finding says: then nothing is found."""
    images, _ = digits()
    report = fullint.quantize(NETWORKS[3], images[:60] / 255, min_sqnr=-100).report
    [found] = report.sample_findings
    assert "255 times larger it gives" in found.text
    assert kinds(fullint.quantize(NETWORKS[3], images[:60]).report) == []


def test_exchanged_inputs_given_by_name_are_right() -> None:
    task = two_inputs(0)
    arrays, _ = task.draw(80, np.random.default_rng(3))
    wrong = list(zip(*reversed(arrays.values()), strict=True))
    assert kinds(fullint.quantize(task.model, wrong).report) == ["inputs-exchanged"]
    assert kinds(fullint.quantize(task.model, {k: arrays[k] for k in reversed(arrays)}).report) == []


# --- labels ---


def test_accuracy_before_and_after() -> None:
    """As counted by hand, on the samples that judged."""
    images, labels = digits()
    report = fullint.quantize(DEMO / "digits.tflite", images[:300], labels=labels[:300]).report
    a = report.certificate.accuracy
    assert (a.output, a.rows) == ("digit", report.certificate.samples)
    assert a.before > 0.95
    assert abs(a.after - a.before) < 0.03
    wrong = np.where(np.arange(300) % 2, labels[:300], (labels[:300] + 5) % 10)
    half_right = fullint.quantize(DEMO / "digits.tflite", images[:300], labels=wrong).report.certificate.accuracy
    assert half_right.before == pytest.approx(a.before / 2, abs=0.15)


def test_labels_are_corrected_as_the_finding_says() -> None:
    images, labels = digits()
    [found] = fullint.quantize(NETWORKS[3], images[:100], labels=labels[:100] + 1).report.sample_findings
    assert found.kind == "labels-shifted"
    assert found.evidence["shift"] == -1
    corrected = labels[:100] + 1 + int(found.evidence["shift"])
    report = fullint.quantize(NETWORKS[3], images[:100], labels=corrected).report
    assert kinds(report) == []
    assert report.certificate.accuracy.before == pytest.approx(found.evidence["shifted"], abs=0.05)


def test_labels_of_a_network_without_classes() -> None:
    g = Builder()
    g.output(g.conv(g.input(1, 8, 8, 1)))
    with pytest.raises(SamplesError, match="no output of the model is class scores"):
        fullint.quantize(g.bytes(), digits()[0][:40], labels=digits()[1][:40])


def test_labels_in_batches() -> None:
    """The last batch is filled up; what fills it has no label."""
    images, labels = digits()
    path = NETWORKS[3]
    model = read_model(path)
    assert model.main.inputs[0].shape[0] == 1
    g = Builder()
    x = g.input(-1, 8, 8, 1)
    g.output(g.op("SOFTMAX", g.dense(g.op("RESHAPE", x, g.const(np.int32([-1, 64])), shape=(1, 64)), 10), beta=1.0))
    report = fullint.quantize(g.bytes(), images[:90], batch=4, labels=labels[:90], min_sqnr=-100).report
    assert report.certificate.accuracy.rows in (4 * report.certificate.samples, 4 * report.certificate.samples - 2)


# --- answers ---


def answers(values: list[np.ndarray], name: str = "y") -> Answers:
    shape = values[0].shape
    found = Answers.of(Tensor(name, shape, "float32"))
    for v in values:
        found.add(v.astype(np.float32), v.astype(np.float32))
    return found


def test_how_far_answers_move() -> None:
    assert answers([np.full((1, 4), v) for v in (9.0, 11.0)]).moves == pytest.approx(0.1)
    assert answers([np.full((1, 4), 3.0)] * 5).moves == 0
    assert answers([np.zeros((1, 4))] * 5).moves is None


def test_probabilities_are_told_from_landmarks() -> None:
    rng = np.random.default_rng(0)
    shares = [rng.dirichlet(np.ones(5))[None] for _ in range(5)]
    marks = [np.array([[10.0, 20.0, 30.0]]) + rng.normal(size=(1, 3)) for _ in range(5)]
    assert answers(shares).probabilities
    assert not answers(marks).probabilities
    assert class_scores([answers(marks, "marks"), answers(shares, "classes")]).name == "classes"
    assert class_scores([answers(marks, "marks")]).name == "marks"
    assert class_scores([answers([np.zeros((1, 2, 2, 3))])]) is None


def test_landmarks_whose_largest_is_always_the_same_are_sound(g: Builder) -> None:
    """The rightmost point of a face is always the same one."""
    w = g.const(0.05 * g.rng.normal(size=(6, 64)).astype(np.float32))
    g.output(g.op("FULLY_CONNECTED", g.input(1, 64), w, g.const(np.linspace(5, 60, 6, dtype=np.float32)), shape=(1, 6)))
    x = np.random.default_rng(0).normal(size=(60, 1, 64)).astype(np.float32)
    assert (
        kinds(fullint.quantize(g.bytes(), x, min_sqnr=-100, allow_lost=[f"fully_connected[..., {i}]" for i in range(6)]).report)
        == []
    )


@pytest.mark.parametrize("outputs", ["presence, classes", "classes, presence", "embedding, classes"])
def test_labels_are_of_the_output_that_they_fit(g: Builder, outputs: str) -> None:
    """A yes or no is no class of ten, and an embedding agrees with labels by chance only."""
    h = g.dense(g.input(1, 16), 64, activation="RELU")
    made = {"classes": g.op("SOFTMAX", g.dense(h, 10), beta=1.0, name="classes")}
    made |= {"presence": g.op("LOGISTIC", g.dense(h, 1), name="presence"), "embedding": g.dense(h, 32)}
    order = outputs.split(", ")
    g.output(*(made[n] for n in order))
    x = np.random.default_rng(0).normal(size=(100, 1, 16)).astype(np.float32)
    with model_file(g.bytes()) as path, WorkerProcess() as worker:
        worker.call(Open(path, "xnnpack", 1))
        labels = [int(worker.call(Run([v]))[order.index("classes")].argmax()) for v in x]
    report = fullint.quantize(g.bytes(), x, labels=labels, min_sqnr=-100).report
    assert (report.certificate.accuracy.output, report.certificate.accuracy.before) == ("classes", 1.0)
    assert kinds(report) == []


@pytest.mark.parametrize("given", [[], 7, np.full(40, np.inf), np.full(40, 1e30), "empty.txt"])
def test_labels_that_make_no_sense_are_one_error(tmp_path: Path, given: object) -> None:
    images, _ = digits()
    (tmp_path / "empty.txt").write_text("")
    labels = str(tmp_path / given) if isinstance(given, str) else given
    with pytest.raises(SamplesError, match="not one class number per sample"):
        fullint.quantize(NETWORKS[3], images[:40], labels=labels)


def test_labels_that_are_a_number_in_an_archive(tmp_path: Path) -> None:
    images, _ = digits()
    np.savez(tmp_path / "s.npz", images=images[:40], labels=np.int64(3))
    for source in (f"{tmp_path}/s.npz:images", {"images": images[:40], "labels": 3}):
        with pytest.raises(SamplesError, match="not one class number per sample"):
            fullint.quantize(NETWORKS[3], source, labels="labels")


@pytest.mark.parametrize("most", [1023, 32767])
def test_readings_of_more_than_eight_bits_are_no_pixels(g: Builder, most: int) -> None:
    """A network for numbers of ten or fifteen bits, with biases that hardly show beside them."""
    w = g.const((g.rng.normal(size=(32, 64)) / most).astype(np.float32))
    h = g.op("FULLY_CONNECTED", g.input(1, 64), w, g.const(np.zeros(32, np.float32)), shape=(1, 32), fused_activation_function=1)
    g.output(g.op("SOFTMAX", g.dense(h, 6), beta=8.0))
    x = np.random.default_rng(0).integers(0, most, (60, 1, 64)).astype(np.float32)
    assert "input-scale" not in kinds(fullint.quantize(g.bytes(), x, min_sqnr=-100).report)


def test_planes_of_a_board_are_sound() -> None:
    """-1, 0 and 1 fill the range of an input that takes -1..1."""
    from fullint.calibration.samples.findings import of_values
    from fullint.model.ir import Quant

    slot = Slot("x", (), (8, 8, 2), "int8", Quant.of(1 / 127, 0))
    codes = 127 * np.random.default_rng(0).integers(-1, 2, (30, 8, 8, 2)).astype(np.int8)
    assert of_values(seen(codes, slot)) == []
    from fullint.model.ranges import Range

    assert [f.kind for f in of_values(seen(codes, slot), Range(0.0, 255.0))] == ["few-codes"]


def test_a_mask_that_is_always_open_is_sound(g: Builder) -> None:
    x, mask = g.input(1, 4, 8), g.input(1, 4, 1)
    g.output(g.reshape(g.op("MUL", x, mask, shape=(1, 4, 8)), 1, 32))
    samples = [
        (v, np.ones((1, 4, 1), np.float32)) for v in np.random.default_rng(0).normal(size=(40, 1, 4, 8)).astype(np.float32)
    ]
    assert kinds(fullint.quantize(g.bytes(), samples).report) == []


def test_few_possible_samples_are_sound(g: Builder) -> None:
    """64 words, each many times."""
    g.output(g.dense(g.input(1, 64), 8))
    x = np.eye(64, dtype=np.float32)[np.random.default_rng(0).integers(0, 64, 300)]
    report = fullint.quantize(g.bytes(), x, min_sqnr=-100).report
    assert kinds(report) == []
    assert report.samples["calibrated"] < 64
