"""What the docs say is run or compared."""

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from test_layers import ROOMS

import fullint
from fullint.auditing import audit as auditing
from fullint.auditing import inspect as inspection
from fullint.cli import main
from fullint.comparing import report as comparing
from fullint.deployment import benchmark as bench
from fullint.deployment import partition as partitions
from fullint.deployment.logs import analysis
from fullint.fleets.cache import Cache
from fullint.frontends.environments import Environment
from fullint.frontends.report import Conversion
from fullint.quantization.pipeline import QUANTIZE
from fullint.quantization.range_effect import NarrowedRange, RangesReport
from fullint.quantization.report import QuantizeReport
from fullint.quantization.stage_values import MixedReport, MixedStep
from fullint.repairing.pipeline import REPAIR
from fullint.sensitivities import report as sensing
from fullint.verification.report import Certificate, KernelSet, OutputQuality

ROOT = Path(__file__).parents[1]
HOME = ROOT / "src" / "fullint"
README = (ROOT / "README.md").read_text()
ELSEWHERE = {"convert", "setup"}
"""Commands whose example needs a framework; the tests of the front ends run it."""
FOUND = {"audit": 1}
"""Commands whose example has findings, and says so with its exit code."""
DEMO = ROOT / "src" / "fullint" / "demo"


@pytest.fixture
def folder(tmp_path: Path, log: str) -> Path:
    for name in ("digits.tflite", "half.tflite", "calibration.npz"):
        (tmp_path / name).write_bytes((DEMO / name).read_bytes())
    (tmp_path / "benchmark.log").write_text(log)
    return tmp_path


@pytest.fixture(scope="session")
def log() -> str:
    """Of the half-quantized model of the demo."""
    return bench.benchmark(DEMO / "half.tflite", num_runs=5, min_secs=0.05, warmup_min_secs=0.0).to_log()


def blocks(text: str) -> list[tuple[str, str]]:
    """(language, code) of the blocks marked to be run."""
    return re.findall(r"<!-- run -->\n```(\w*)\n(.*?)```", text, re.DOTALL)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What a clone's root has after `make demo`, as far as the README speaks of it."""
    home = tmp_path / "clone" / "src" / "fullint" / "demo"
    home.mkdir(parents=True)
    for name in ("digits.tflite", "half.tflite", "calibration.npz"):
        (home / name).write_bytes((DEMO / name).read_bytes())
    (tmp_path / "clone" / ".venv").symlink_to(sys.prefix)
    return tmp_path / "clone"


@pytest.mark.skipif(not (Path(sys.prefix) / "bin" / "activate").exists(), reason="no virtual environment")
def test_readme_quickstart_runs_as_pasted(clone: Path) -> None:
    """The commands and the Python, in an empty shell that stands in the clone's root."""
    found = blocks(README)
    assert [language for language, _ in found] == ["", "", "python"]
    (clone / "quickstart.py").write_text(found[2][1])
    audit = next(line for line in found[1][1].splitlines() if line.startswith("fullint audit"))
    script = found[0][1] + found[1][1].replace(audit, f"{audit} || test $? = 1") + "python quickstart.py\n"
    empty = {"PATH": "/usr/bin:/bin", "HOME": str(clone)}
    done = subprocess.run(["bash", "-e"], input=script, cwd=clone, env=empty, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("repaired 0 float operators\n")
    assert {p.name for p in clone.glob("*.tflite")} == {"digits_int8.tflite", "digits_uint8.tflite", "repaired.tflite"}


@pytest.mark.slow
def test_python_of_the_readme_is_typed(tmp_path: Path) -> None:
    """mypy --strict has nothing to say, of what the reader brings along either."""
    brought = "from typing import Any\ntf: Any = None\nmodel: Any = None\nrepresentative_dataset: Any = None\n"
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", README, re.DOTALL)):
        (tmp_path / f"block{number}.py").write_text(brought + code)
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--config-file=", *map(str, tmp_path.glob("*.py"))]
    environment = {**os.environ, "MYPYPATH": str(ROOT / "src")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    ours = [line for line in done.stdout.splitlines() if line.startswith("block")]
    assert not ours, done.stdout


OF_FLEETS = ("manifest", "processes", "cache", "scheduler", "shared")
"""Options of commands that are run on many models; `fullint.run_jobs` has them."""
TOP = click.Context(main)
COMMANDS = {name: command for name in main.list_commands(TOP) if (command := main.get_command(TOP, name))}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help_with_an_example_that_runs(folder: Path, name: str) -> None:
    text = COMMANDS[name].get_help(click.Context(COMMANDS[name], info_name=f"fullint {name}"))
    example = re.search(r"Example:\s+(fullint .*)", text)
    assert example, "no example"
    assert f"`fullint {name}" in README + (ROOT / "CHANGELOG.md").read_text()
    if name == "compare":
        (folder / "model_int8.tflite").write_bytes((folder / "half.tflite").read_bytes())
    if name == "report":
        for made, rest in (("audit", []), ("repair", ["-o", "r.tflite"])):
            call = [sys.executable, "-m", "fullint", made, "half.tflite", *rest, "--json", "--details"]
            said = subprocess.run(call, cwd=folder, capture_output=True, text=True, check=False)
            (folder / f"{made}.json").write_text(said.stdout)
    if name == "cache":
        Cache(folder / "kept").begin()
    words = example[1].replace("model.tflite", "digits.tflite").replace("samples.npz", "calibration.npz").split()
    if name in ELSEWHERE:
        context = COMMANDS[name].make_context(name, words[2:])
        assert not [p for p in COMMANDS[name].params if context.params.get(p.name) is None and p.required]
        return
    done = subprocess.run([sys.executable, "-m", *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == FOUND.get(name, 0), done.stderr


def test_every_option_has_help() -> None:
    for command in COMMANDS.values():
        for p in command.params:
            assert not isinstance(p, click.Option) or p.help, p.name


@pytest.mark.parametrize(("command", "call"), [("audit", fullint.audit), ("inspect", fullint.inspect)])
def test_audit_and_inspect_have_the_options_of_the_api(command: str, call: object) -> None:
    import inspect

    api = inspect.signature(call).parameters
    cli = COMMANDS[command].make_context(f"fullint {command}", ["model.tflite"]).params
    only_cli = {"model", "models", "samples", "output", "dry_run", "fail_on", "force", "as_json", *OF_FLEETS}
    assert set(cli) - only_cli == set(api) - {"model", "models", "samples", "progress"}
    for name in set(cli) - only_cli:
        expected = api[name].default
        expected = () if name in ("only", "skip", "rule") else expected  # none given
        assert cli[name] == ((expected,) if name in ("mean", "std") else expected), name


@pytest.mark.parametrize(("command", "call"), [("setup", fullint.setup)])
def test_front_ends_have_the_options_of_the_api(command: str, call: object) -> None:
    import inspect

    api = inspect.signature(call).parameters
    word = {"convert": "model.keras", "setup": "keras"}[command]
    cli = COMMANDS[command].make_context(f"fullint {command}", [word]).params
    only_cli = {"output", "as_json"} | ({"force"} if command == "convert" else set())
    assert set(cli) - only_cli == set(api) - {"progress"}
    for name in set(cli) - only_cli - {"model", *({"framework"} if command == "setup" else ())}:
        assert cli[name] == api[name].default, name


@pytest.mark.parametrize(("command", "call"), [("partition", fullint.partition), ("benchmark", fullint.benchmark)])
def test_delegates_and_measuring_have_the_options_of_the_api(command: str, call: object) -> None:
    import inspect

    api = inspect.signature(call).parameters
    cli = COMMANDS[command].make_context(f"fullint {command}", ["model.tflite"]).params
    spelled = {"graph", "use_xnnpack", "use_nnapi", "profiling_output_csv_file", "op_profiling_output_mode"}
    spelled |= {"input_layer_value_files", "report_peak_memory_footprint", "verbose"}
    only_cli = {"model", "models", "as_json", "log", "csv", "force", "op_profiling_output_file", *spelled}
    assert set(cli) - only_cli == set(api) - {"model", "models"}
    for name in set(cli) - only_cli:
        assert cli[name] == api[name].default, name


def test_compare_has_the_options_of_the_api() -> None:
    import inspect

    api = inspect.signature(fullint.compare).parameters
    cli = COMMANDS["compare"].make_context("fullint compare", ["model.tflite", "model_int8.tflite"]).params
    given = set(cli) - {"force", "as_json", "csv", "manifest", "processes", "cache"}
    assert given == set(api) - {"progress"}
    for name in given - {"model", "integer"}:
        assert cli[name] == ((api[name].default,) if name in ("mean", "std") else api[name].default), name


@pytest.mark.slow
@pytest.mark.parametrize("page", ["faster.md", "comparing.md", "steering.md", "worse_than_float.md"])
def test_the_commands_of_a_page_run(folder: Path, page: str) -> None:
    """Those that need no file of the reader's."""
    (folder / "model_int8.tflite").write_bytes((folder / "half.tflite").read_bytes())
    found = blocks((ROOT / "docs" / page).read_text())
    assert found
    for _, code in found:
        for line in code.strip().splitlines():
            command = f"{sys.executable} -m {line}"
            done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, check=False)
            assert done.returncode == FOUND.get(line.split()[1], 0), done.stderr


def test_generated_pages_are_fresh() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "gen_docs.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "kind",
    [
        QuantizeReport,
        RangesReport,
        NarrowedRange,
        Certificate,
        OutputQuality,
        KernelSet,
        Conversion,
        Environment,
        inspection.Inspection,
        fullint.Blocker,
        auditing.AuditReport,
        auditing.FileAudit,
        fullint.Finding,
        fullint.RepairReport,
        fullint.RepairPlan,
        fullint.PartitionReport,
        partitions.Partition,
        partitions.Refusal,
        fullint.LogReport,
        analysis.DelegateTime,
        analysis.FloatPart,
        analysis.Bound,
        analysis.Joined,
        fullint.BenchmarkReport,
        bench.ModelTiming,
        bench.OperatorTime,
        bench.Comparison,
        fullint.CompareReport,
        comparing.ComparedOutput,
        comparing.ComparedOperator,
        comparing.Unmatched,
        fullint.SensitivityReport,
        sensing.UnitCost,
        sensing.Remedy,
        MixedReport,
        MixedStep,
    ],
)
def test_every_field_of_the_reports_is_documented(kind: type) -> None:
    page = (ROOT / "docs" / "report.md").read_text()
    for field in dataclasses.fields(kind):
        if field.name not in ("name",):
            assert f"`{field.name}`" in page or field.name in ("schema_version",), field.name


def test_public_names_are_there_and_documented() -> None:
    for name in fullint.__all__:
        assert getattr(fullint, name).__doc__ or name == "__version__"


def test_links_point_at_files() -> None:
    """Absolute ones in the README, which a package index shows, too; relative ones between the pages."""
    home = re.search(r'^Repository = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert home is not None
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(links) > 15
    for link in links:
        inside = re.fullmatch(rf"{re.escape(home[1])}/(blob|tree)/main/(.*)", link)
        assert inside is not None, f"README: {link}"
        assert (ROOT / inside[2]).is_dir() if inside[1] == "tree" else (ROOT / inside[2]).is_file(), link
    for page in sorted((ROOT / "docs").glob("*.md")):
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert link.startswith("http") or (page.parent / link).exists(), f"{page.name}: {link}"


def rooms(page: str) -> list[str]:
    """The rooms of a page's table, in its order."""
    table = page[page.index("How the code is laid out") :].split("\n\n")[2]
    return [
        name.strip("/`").removesuffix(".py")
        for row in table.splitlines()[2:]
        for name in re.findall(r"`[a-z_./]+`", row.split("|")[1])
    ]


def test_the_pages_show_the_house_as_it_is() -> None:
    """README's table and the design notes name the rooms that there are, in the order in which they may import each other."""
    assert rooms(README) == list(ROOMS)
    notes = (ROOT / "docs" / "design.md").read_text()
    shape = notes[notes.index("## The shape of it") :].split("```")[1]
    found = [re.search(rf"\b{room}\b", shape) for room in ROOMS]
    places = [m.start() for m in found if m is not None]
    assert len(places) == len(ROOMS)
    assert places == sorted(places)


def test_paths_in_the_design_notes_are_there() -> None:
    notes = (ROOT / "docs" / "design.md").read_text()
    named = re.findall(rf"`((?:{'|'.join(ROOMS)})/[a-z_0-9/]+)(?:\.py)?`", notes)
    assert len(named) > 15
    for path in named:
        assert (HOME / path).is_dir() or (HOME / f"{path}.py").exists(), path
    called = re.search(r"```text\n(.*?)```", notes[notes.index("## Stages") :], re.DOTALL)
    assert called is not None
    for stage in (*QUANTIZE, *REPAIR):
        assert stage.__name__ in called[1], stage.__name__
