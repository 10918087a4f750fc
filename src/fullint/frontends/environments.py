"""Environments of the front ends: each converter in a virtual environment of its own, created once.

    fullint setup keras      ->  FOLDER/keras-1/bin/python, with the versions listed in `formats`
    fullint quantize m.keras ->  runs its worker there, or in the current Python if all it needs is installed

Their version pins contradict each other and fullint's own (onnx2tf needs another TensorFlow, LiteRT and NumPy), so they
never share an environment. FOLDER is $FULLINT_ENVIRONMENTS, or `fullint` in the user's data folder. An environment is made
under another name, and gets its own when it is whole: what is there until then stays.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fullint.documents import Document
from fullint.errors import SetupError, UsageError
from fullint.frontends.formats import Framework, here, to_set_up
from fullint.frontends.report_document import environment_document
from fullint.reporting import SCHEMA_VERSION, Report
from fullint.runtime.supervised import run_supervised
from fullint.temporary import folder_beside

VARIABLE = "FULLINT_ENVIRONMENTS"
READY = "fullint-ready"
"""A file that a whole environment has."""
_TAIL = 25
NEWER = 3
"""Versions of Python, from the one that packages ask for, that are looked for."""
PACKAGES = "Lib/site-packages/*.dist-info" if sys.platform == "win32" else "lib/python*/site-packages/*.dist-info"


@dataclass(frozen=True, repr=False)
class Environment(Report):
    """The environment a front end runs in.

    Attributes:
        framework: "keras", "torch", "onnx" or "onnx-tensorflow".
        python: path of its Python interpreter.
        folder: path of the environment; "" for the current Python.
        created: whether this call created it.
        seconds: time it took to create, in seconds.
        packages: the installed packages, as "name==version".
        version: of its Python, "3.12.4"; "" where it was not asked.
    """

    framework: str
    python: str
    folder: str = ""
    created: bool = False
    seconds: float = 0.0
    packages: tuple[str, ...] = ()
    version: str = ""
    schema_version: int = SCHEMA_VERSION

    def document(self) -> Document:
        """What the report says."""
        return environment_document(self)


def root() -> Path:
    """The folder that contains all environments and logs."""
    given = os.environ.get(VARIABLE)
    if given:
        return Path(given).expanduser().absolute()
    data = os.environ.get("XDG_DATA_HOME")
    base = Path(data) if data else Path.home() / ("Library/Application Support" if sys.platform == "darwin" else ".local/share")
    return base / "fullint"


def log_file(name: str) -> Path:
    """Path of a front end's most recent log."""
    return root() / "logs" / f"{name}.log"


def find(framework: Framework) -> Environment:
    """The environment a front end runs in: the one created by `setup`, else the current Python if it has all packages.

    Raises:
        UsageError: there is none; the message has the command that creates one.
    """
    folder = folder_of(framework)
    if (folder / READY).is_file():
        return Environment(framework.name, str(_python(folder)), str(folder))
    if here(framework):
        return Environment(framework.name, sys.executable)
    raise UsageError(
        f"{framework.title} models are converted by {framework.tool}, which is not installed: "
        f"run `fullint setup {framework.name}` once"
    )


def setup(
    framework: str,
    *,
    python: str | None = None,
    force: bool = False,
    progress: Callable[[str, int, int | None], None] | None = None,
) -> Environment:
    """Create the environment in which models of a framework are converted.

    Args:
        framework: "keras", "torch", "onnx" or "onnx-tensorflow".
        python: the Python to make it with; by default this one, or a newer one of the machine where the packages ask for that.
        force: create it again if it already exists.
        progress: called with (stage, done, total) during the installation.

    Raises:
        UsageError: the framework is unknown, or the Python cannot make environments.
        SetupError: the packages cannot be installed; the message has the end of pip's log.
    """
    if framework not in to_set_up():
        raise UsageError(f'framework must be one of {", ".join(to_set_up())}, not "{framework}"')
    chosen = to_set_up()[framework]
    folder = folder_of(chosen)
    if (folder / READY).is_file() and not force:
        own = _python(folder)
        return Environment(framework, str(own), str(folder), packages=_packages(folder), version=_version(own))
    base, version = python_for(chosen, python)
    start = time.perf_counter()
    log = log_file(f"setup-{framework}")
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder_beside(folder) as made:
            _install(chosen, made, (base, version), log, progress)
            _rename(made, folder)
    except OSError as e:
        raise SetupError(f"the environment for {chosen.title} cannot be created in {folder}: {e.strerror or e}") from e
    seconds = round(time.perf_counter() - start, 1)
    return Environment(framework, str(_python(folder)), str(folder), True, seconds, _packages(folder), version)


def python_for(framework: Framework, given: str | None) -> tuple[str, str]:
    """(path, version) of the Python to make an environment with.

    Raises:
        UsageError: the one that was asked for cannot make environments.
    """
    if given is not None:
        version = _version(Path(shutil.which(given) or given))
        if not version:
            raise UsageError(f"python: {given} is no Python that can make environments (it needs venv and ensurepip)")
        return given, version
    own = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] >= framework.python:
        return sys.executable, own
    for minor in range(framework.python[1], framework.python[1] + NEWER):
        found = shutil.which(f"python3.{minor}")
        if found is not None and (version := _version(Path(found))):
            return found, version
    return sys.executable, own


def _version(python: Path) -> str:
    """Version of a Python that can make environments, "" for what is none."""
    asks = "import ensurepip, sys, venv; print('.'.join(map(str, sys.version_info[:3])))"
    try:
        done = subprocess.run([str(python), "-c", asks], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _install(
    framework: Framework,
    folder: Path,
    made_with: tuple[str, str],
    log: Path,
    progress: Callable[[str, int, int | None], None] | None,
) -> None:
    """All that belongs into an environment."""
    python, (base, version) = str(_python(folder)), made_with
    older = tuple(map(int, version.split(".")[:2])) < framework.python
    options = ["--disable-pip-version-check", *(["--ignore-requires-python"] if older else [])]
    steps = (
        ("create", [base, "-m", "venv", str(folder)]),
        ("install", [python, "-m", "pip", "install", *options, *framework.requirements]),
        *([("install", [python, "-m", "pip", "install", *options, "--no-deps", *framework.alone])] if framework.alone else []),
        ("check", [python, "-c", f"import {', '.join(framework.modules)}"]),
    )
    with open(log, "w") as out:
        for name, command in steps:
            if progress is not None:
                progress(name, 0, None)
            if run_supervised(command, out, temporary=folder):
                said = f"{tail(log)}\n  complete log: {log}"
                raise SetupError(f"the environment for {framework.title} cannot be created ({name} failed):\n{said}")
    (folder / READY).write_text("\n".join(framework.packages) + "\n")


def _rename(made: Path, folder: Path) -> None:
    """Put an environment in the place of the old one; its scripts have its path in them."""
    old, new = (os.fsencode(p) for p in (made, folder))
    for script in [*_python(made).parent.iterdir(), made / "pyvenv.cfg"]:
        if script.is_file() and not script.is_symlink() and old in (text := script.read_bytes()):
            script.write_bytes(text.replace(old, new))
    with folder_beside(folder) as before:
        if folder.exists():
            folder.rename(before / "old")
        made.rename(folder)


def tail(log: Path, lines: int = _TAIL) -> str:
    """The last lines of a log, indented."""
    text = log.read_text(errors="replace").splitlines()
    shown = [f"    {line[:300]}" for line in text if line.strip()][-lines:]
    return "\n".join(shown)


def folder_of(framework: Framework) -> Path:
    """Folder of the environment; it depends on the required versions, so that a newer fullint creates its own."""
    text = "\n".join((*framework.packages, f"{sys.version_info[0]}.{sys.version_info[1]}"))
    return root() / "environments" / f"{framework.name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def _packages(folder: Path) -> tuple[str, ...]:
    """The installed packages as "name==version", from the names of their .dist-info folders."""
    found = (p.name.removesuffix(".dist-info").rsplit("-", 1) for p in folder.glob(PACKAGES))
    return tuple(sorted("==".join(parts) for parts in found if len(parts) == 2))
