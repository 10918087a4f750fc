"""What is published: the wheel, and the LiteRT that it asks for."""

import importlib.metadata
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
import tomli
from conftest import quantized
from packaging.requirements import Requirement

from fullint.ops.builder import Builder
from fullint.runtime import litert_release

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_a_wheel_has_all_modules_and_data_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    source = ROOT / "src"
    wanted = {str(p.relative_to(source)) for p in source.rglob("*") if p.is_file() and p.suffix != ".pyc"}
    found = {n for n in wheel.namelist() if ".dist-info/" not in n}
    assert found == wanted
    assert {"fullint/py.typed", "fullint/demo/digits.tflite", "fullint/frontends/workers/onnx_float.py"} <= found
    assert sum(i.file_size for i in wheel.infolist()) < 4_000_000


def test_its_metadata(wheel: zipfile.ZipFile) -> None:
    (name,) = [n for n in wheel.namelist() if n.endswith("/METADATA")]
    facts = Parser().parsestr(wheel.read(name).decode())
    assert facts["Name"] == "fullint" and facts["Requires-Python"] == ">=3.10" and facts["License-Expression"] == "Apache-2.0"
    needed = {Requirement(d) for d in facts.get_all("Requires-Dist") if "extra ==" not in d}
    assert needed == {Requirement(d) for d in _project()["dependencies"]}
    (scripts,) = [n for n in wheel.namelist() if n.endswith("/entry_points.txt")]
    assert "fullint = fullint.cli:main" in wheel.read(scripts).decode()
    assert any(n.endswith("/LICENSE") for n in wheel.namelist())


def _project() -> dict:
    return tomli.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_tested_litert_is_what_is_asked_for() -> None:
    (asked,) = [d for d in _project()["dependencies"] if d.startswith(litert_release.PACKAGE)]
    (a, b), (c, d) = litert_release.OLDEST, litert_release.NEWEST
    assert asked == f"{litert_release.PACKAGE}>={a}.{b},<{c}.{d + 1}"
    assert litert_release.untested() == ()


@pytest.mark.own_workers
@pytest.mark.parametrize("release", ["2.0.3", "2.4.0", "3.0.0"])
def test_another_litert_is_named(release: str, monkeypatch: pytest.MonkeyPatch) -> None:
    there = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda n: release if n == litert_release.PACKAGE else there(n))
    g = Builder()
    g.output(g.dense(g.input(1, 4), 3))
    (warning,) = [w for w in quantized(g).report.warnings if "LiteRT" in w or "litert" in w]
    assert release in warning and "tested with 2.1 to 2.3" in warning
