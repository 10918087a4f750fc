"""Options are said once: calls, commands, reports and the drop-in converter have the same."""

import hashlib
import inspect
import json
import os
from dataclasses import fields
from pathlib import Path

import click
import numpy as np
import pytest
from half import Half
from PIL import Image

import fullint
from fullint.cli import main
from fullint.compat.attributes import OWN
from fullint.errors import UsageError
from fullint.model.tflite import read_bytes
from fullint.ops.builder import Builder, samples_like
from fullint.options import ConvertOptions, QuantizeOptions, RepairOptions, SensitivityOptions, flag_of, reported

CALLS = {
    "quantize": (fullint.quantize, QuantizeOptions),
    "plan": (fullint.plan, QuantizeOptions),
    "sensitivity": (fullint.sensitivity, SensitivityOptions),
    "repair": (fullint.repair, RepairOptions),
    "repair_plan": (fullint.repair_plan, RepairOptions),
    "convert": (fullint.convert, ConvertOptions),
}


def small() -> Builder:
    g = Builder()
    g.output(g.dense(g.reshape(g.conv(g.input(1, 8, 8, 3), activation="RELU"), 1, -1), 4))
    return g


@pytest.mark.parametrize("name", CALLS)
def test_a_call_takes_the_fields_and_documents_each(name: str) -> None:
    call, options = CALLS[name]
    assert list(inspect.signature(call).parameters) == list(inspect.signature(options).parameters)
    for f in fields(options):
        assert f"{f.name}: {flag_of(f).help}" in (call.__doc__ or "")
    text = call.__doc__ or ""  # all of it indented alike, whether or not Python has dedented what was written
    assert inspect.cleandoc(text) == text.strip() and "\nArgs:\n" in text and "\nRaises:\n" in text
    with pytest.raises(TypeError, match="no_such_option"):
        call("model.tflite", no_such_option=1)


def command_of(name: str) -> click.Command:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    return command


@pytest.mark.parametrize("name", ["quantize", "repair", "convert", "sensitivity"])
def test_a_command_has_the_fields_as_flags(name: str) -> None:
    """fullint quantize --min-sqnr is quantize(min_sqnr=...), with the same default and the same help."""
    _, options = CALLS[name]
    flags = {p.name: p for p in command_of(name).params if isinstance(p, click.Option)}
    for f in fields(options):
        if f.name in ("model", "progress"):
            continue
        flag = flags[f.name]
        assert f"--{f.name.replace('_', '-')}" in flag.opts
        assert flag.help == flag_of(f).help
        given = command_of(name).make_context(name, ["model.tflite"]).params[f.name]
        several = () if flag_of(f).several and f.name != "samples" else f.default
        assert given == ((f.default,) if flag_of(f).parse is tuple else several), f.name


def test_the_drop_in_has_options_as_attributes() -> None:
    assert set(OWN) == {
        "num_samples",
        "seed",
        "drop_outliers",
        "strict_samples",
        "threads",
        "certify",
        "effort",
        "min_sqnr",
        "keep_float",
        "int16",
        "split_outputs",
        "ranges",
        "mixed",
        "recipe",
        "allow_lost",
        "target",
        "shape",
        "batch",
    }


@pytest.mark.parametrize(
    "options",
    [
        {"per_tensor": True, "num_samples": 12},
        {"activations": "int16", "io": "int16,float32"},
        {"keep_float": ["CONV_2D", 1], "target": "ethos-u", "min_sqnr": -5},
        {"shape": ["input=1,8,8,3"], "batch": 1, "threads": 1, "dense_per_tensor": True},
    ],
)
def test_a_report_repeats_the_run(tmp_path: Path, options: dict[str, object]) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(small().bytes())
    np.savez(
        tmp_path / "s.npz", input=np.concatenate([next(iter(s.values())) for s in samples_like(read_bytes(small().bytes()), 20)])
    )
    result = fullint.quantize(path, tmp_path / "s.npz", **options)
    asked = json.loads(result.report.to_json())["options"]
    again = fullint.quantize(**asked)
    assert again.model == result.model
    assert again.report.options == result.report.options
    assert again.report.samples["sha256"] == result.report.samples["sha256"]


def test_a_command_on_images_is_repeated_from_its_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From another folder, and with what makes samples of pictures."""
    (tmp_path / "photos").mkdir()
    for i in range(12):
        pixels = np.random.default_rng(i).integers(0, 255, (9, 9, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{i}.png")
    (tmp_path / "m.tflite").write_bytes(small().bytes())
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        words = "quantize m.tflite -c photos --mean 120,110,100 --std 60 -o int8.tflite --json"
        main(words.split(), standalone_mode=False)
    finally:
        os.chdir(here)
    asked = json.loads(capsys.readouterr().out)["options"]
    assert asked["mean"] == [120, 110, 100]
    assert asked["std"] == [60]
    assert fullint.quantize(**asked).model == (tmp_path / "int8.tflite").read_bytes()
    assert fullint.quantize(**{**asked, "std": 255}).model != (tmp_path / "int8.tflite").read_bytes()


def test_the_report_of_a_repair_repeats_it(tmp_path: Path) -> None:
    path = tmp_path / "half.tflite"
    path.write_bytes(Half().bytes())
    result = fullint.repair(path, skip="useless-requantize", weights="per-tensor", min_sqnr=3)
    asked = json.loads(result.report.to_json())["options"]
    assert asked["skip"] == "useless-requantize"
    assert fullint.repair(**asked).model == result.model


def test_samples_are_known_by_what_they_hold() -> None:
    data = small().bytes()
    samples = samples_like(read_bytes(data), 19)  # too few to hold some back
    report = fullint.quantize(data, samples).report
    each = [hashlib.sha256(next(iter(s.values())).tobytes()).digest()[:16] for s in samples]
    digest = hashlib.sha256(hashlib.sha256(b"".join(each)).digest()).hexdigest()
    assert report.samples == {"calibrated": 19, "total": 19, "held_back": False, "sha256": digest, "seed": 0, "left_out": []}
    assert report.options["model"] == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert report.options["samples"] == "<list>"


def test_what_was_given_is_told() -> None:
    def tell(samples: object) -> object:
        return reported(QuantizeOptions("m.tflite", samples))["samples"]

    assert tell(None) is None
    assert tell({"a": "x.npz", "b": Path("y.npz")}) == {"a": str(Path("x.npz").absolute()), "b": str(Path("y.npz").absolute())}
    assert tell(np.zeros((3, 2))) == "<ndarray [3, 2]>"
    assert tell(small) == "<function small>"


def test_options_are_short_to_print() -> None:
    asked = QuantizeOptions(b"x" * 5_000_000, [np.zeros(100_000)] * 3, io="int8", threads=2)
    assert repr(asked) == "QuantizeOptions(io='int8', threads=2)"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"layout": "CHWN"}, "layout must be NHWC or NCHW"),
        (
            {"target": "gpu"},
            "target must be one of litert, tflm, ethos-u, edgetpu, qualcomm, openvino, or several joined by commas",
        ),
        ({"activations": "int4"}, "activations must be int8 or int16"),
        ({"std": [1, 0, 1]}, "std must not be zero"),
        ({"mean": "dark"}, "numbers or sequences of numbers"),
        ({"framework": "jax"}, "framework must be auto, keras, torch or onnx"),
    ],
)
def test_values_that_make_no_sense_are_refused_by_name(options: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        fullint.quantize("m.tflite", None, **options)


def test_arrays_and_signatures_are_repeated_too(tmp_path: Path) -> None:
    """mean as an array, samples as KEY=DATA; and what had no path says that it has to be given again."""
    data = small().bytes()
    samples = samples_like(read_bytes(data), 12)
    report = fullint.quantize(data, samples, mean=np.float32([1, 2, 3])).report
    asked = json.loads(report.to_json())["options"]
    assert asked["mean"] == [1, 2, 3]
    assert repr(QuantizeOptions(data, mean=np.float32([1, 2, 3]))).startswith("QuantizeOptions(mean=")
    with pytest.raises(UsageError, match="give model= again"):
        fullint.quantize(**asked)
    with pytest.raises(UsageError, match="give samples= again"):
        fullint.quantize(**{**asked, "model": data})
    (tmp_path / "a b.npz").touch()
    given = reported(QuantizeOptions("m.tflite", f"serving_default={tmp_path / 'a b.npz'}"))["samples"]
    assert given == f"serving_default={tmp_path / 'a b.npz'}"
