"""What reports say is a value; text is one rendering of it, and others can be added without a change of any command."""

import io
import json
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path

import numpy as np
import pytest

import fullint
from fullint import demo
from fullint.cli import main
from fullint.cli import options as flags
from fullint.documents import Document, Fact, Line, Table
from fullint.documents import renderings as known
from fullint.documents.text import render
from fullint.errors import OutputExistsError, UsageError
from fullint.frontends.environments import Environment
from fullint.frontends.report import Conversion
from fullint.reporting import ModelResult, Report

FILES = Path(demo.__file__).parent
MODEL, HALF, SAMPLES = FILES / "digits.tflite", FILES / "half.tflite", FILES / "calibration.npz"
SCREEN = 2000
"""Characters that fit a screen."""


@pytest.fixture(scope="module")
def results() -> dict[str, ModelResult]:
    conversion = Conversion("onnx", "onnx2tf", {"onnx2tf": "2.4", "numpy": "2.0"}, "python", 0, 84.2, None, "x.log")
    return {
        "quantize": fullint.quantize(MODEL, SAMPLES),
        "repair": fullint.repair(HALF),
        "convert": fullint.Converted(b"x" * 100_000, conversion),
        "demo": demo.run_demo(),
    }


@pytest.fixture(scope="module")
def reports(results: dict[str, ModelResult]) -> dict[str, Report]:
    quick = {"num_runs": 3, "min_secs": 0.02, "warmup_min_secs": 0.0}
    return {
        **{name: result._report() for name, result in results.items()},
        "plan": fullint.plan(MODEL, SAMPLES),
        "repair_plan": fullint.repair_plan(HALF),
        "audit": fullint.audit(HALF),
        "audit_of_several": fullint.audit(HALF, MODEL, FILES / "calibration.npz"),
        "inspect": fullint.inspect(HALF),
        "snippet": fullint.inspect(HALF, "python"),
        "partition": fullint.partition(HALF, target="nnapi:29", after="repair"),
        "benchmark": fullint.benchmark(MODEL, HALF, **quick),
        "explain": fullint.explain(),
        "explain_one": fullint.explain("bias-wrong-scale"),
        "setup": Environment("keras", "python", "/somewhere", True, 61.2, ("keras==3",)),
    }


NAMES = (
    "quantize repair convert demo plan repair_plan audit audit_of_several inspect snippet partition benchmark "
    "explain explain_one setup"
)


@pytest.mark.parametrize("name", NAMES.split())
def test_every_report_is_a_document_and_prints(reports: dict[str, Report], name: str) -> None:
    report = reports[name]
    document = report.document()
    assert document.blocks
    text = str(report)
    assert text == render(document)
    assert set(" ".join(_words(document)).split()) <= set(text.split())
    assert isinstance(json.loads(report.to_json()), dict)


def _words(document: Document) -> list[str]:
    found = []
    for block in document.blocks:
        if isinstance(block, Table):
            found += [block.title, *block.columns, *(cell for row in block.rows for cell in row)]
        elif isinstance(block, Fact):
            found += [block.label, block.text]
        else:
            found.append(block.text)
    return found


@pytest.mark.parametrize("name", NAMES.split())
def test_repr_of_a_report_fits_a_screen(reports: dict[str, Report], name: str) -> None:
    assert repr(reports[name]).startswith(type(reports[name]).__name__ + "(")
    assert len(repr(reports[name])) < SCREEN


@pytest.mark.parametrize("name", ["quantize", "repair", "convert", "demo"])
def test_a_result_prints_its_report_and_is_saved(results: dict[str, ModelResult], name: str, tmp_path: Path) -> None:
    result = results[name]
    assert str(result) == str(result._report())
    assert repr(result).startswith(f"{type(result).__name__}({len(result.model)} bytes, ")
    assert len(repr(result)) < SCREEN
    result.save(tmp_path / "m.tflite")
    assert (tmp_path / "m.tflite").read_bytes() == result.model
    with pytest.raises(OutputExistsError, match="force=True overwrites it"):
        result.save(tmp_path / "m.tflite")
    (tmp_path / "m.tflite").write_bytes(b"old")
    result.save(str(tmp_path / "m.tflite"), force=True)
    assert (tmp_path / "m.tflite").read_bytes() == result.model
    with pytest.raises(UsageError, match="cannot be written"):
        result.save(tmp_path / "nowhere" / "m.tflite")


@pytest.mark.parametrize(
    ("words", "call"),
    [
        (f"audit {HALF}", lambda: fullint.audit(HALF)),
        (f"inspect {HALF}", lambda: fullint.inspect(HALF)),
        (f"inspect {HALF} --snippet c", lambda: fullint.inspect(HALF, "c")),
        (f"partition {HALF} --target nnapi", lambda: fullint.partition(HALF, "nnapi")),
        ("explain", fullint.explain),
        ("explain op-version", lambda: fullint.explain("op-version")),
        (f"quantize {MODEL} -c {SAMPLES} --plan", lambda: fullint.plan(MODEL, SAMPLES)),
        (f"repair {HALF} --dry-run", lambda: fullint.repair_plan(HALF)),
    ],
)
def test_print_of_a_report_is_what_the_command_prints(words: str, call) -> None:
    out = io.StringIO()
    with redirect_stdout(out), suppress(SystemExit):  # audit ends with 1 where it finds something
        main(words.split(), standalone_mode=False)
    assert out.getvalue() == f"{call()}\n"


def test_text_of_each_block() -> None:
    document = Document.of(
        Line("m.tflite: all integer", "title"),
        Fact("operators", "12"),
        Fact("", "and more"),
        Line("[red]not markup[/red]", depth=1),
        Line("look here", "warning"),
        Line("know this", "note"),
        Table(("op", "ms"), (("CONV_2D", "1.3"), ("[b]", "20.1")), "a table"),
    )
    assert render(document).splitlines() == [
        "m.tflite: all integer",
        "  operators      12",
        "                 and more",
        "  [red]not markup[/red]",
        "warning: look here",
        "note: know this",
        "a table",
        " op       ms",
        " CONV_2D  1.3",
        " [b]      20.1",
    ]


def test_long_lines_and_wide_tables_stay_whole() -> None:
    text = "x" * 500
    assert render(Document.of(Line(text), Fact("a", text))).splitlines() == [text, f"  {'a':<14} {text}"]


def test_a_new_rendering_is_a_row_and_every_command_has_its_flag(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As the rendering to HTML would be: a function of a document, with a flag of its own, and no command knows of it."""

    def shout(document: Document) -> str:
        return "\n".join(b.text.upper() for b in document.blocks if isinstance(b, Line))

    monkeypatch.setitem(known.RENDERINGS, "shout", known.Rendering("Write the report in capitals.", shout))

    import click

    from fullint.cli.audit import audit

    command = click.Command("audit", callback=audit.callback, params=[*audit.params])
    option = flags._rendering("shout", known.RENDERINGS["shout"])
    shown = option(lambda: None).__click_params__
    command.params += shown
    out = tmp_path / "report.txt"
    with redirect_stdout(io.StringIO()), pytest.raises(SystemExit):
        command.main([str(HALF), "--shout", str(out)], standalone_mode=False)
    assert out.read_text() == shout(fullint.audit(HALF).document())
    out.write_text("mine")
    said = io.StringIO()
    with redirect_stderr(said), pytest.raises(SystemExit, match=r"^2$"):
        command.main([str(HALF), "--shout", str(out)], standalone_mode=False)
    assert said.getvalue() == f"error: {out} exists; --force overwrites it\n"
    assert out.read_text() == "mine"


def test_json_of_a_plan_has_every_encoding() -> None:
    plan = fullint.plan(MODEL, SAMPLES)
    body = json.loads(plan.to_json())
    assert len(body["tensors"]) == len(plan.assignment.tensors())
    assert len(body["operands"]) == len(plan.assignment.operands())
    first = next(iter(plan.assignment.tensors().values()))
    assert body["tensors"][0]["dtype"] == "int8"
    np.testing.assert_allclose(body["tensors"][0]["scale"], first.quant.scale)
