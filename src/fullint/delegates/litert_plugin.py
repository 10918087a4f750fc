"""LiteRT's compiler plugins: a vendor's compiler says which operators of a model it takes.

    apply_plugin_main --cmd=partition --model=M --soc_model=S --libs=vendors/V/compiler   ->   its log, with what is refused

Tool and plugins come with the package of LiteRT for Linux, the libraries that a plugin needs with a package of the vendor.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fullint.errors import RuntimeFailure, UsageError
from fullint.runtime.litert_release import PACKAGE as LITERT
from fullint.runtime.supervised import said_by
from fullint.temporary import temporary_folder

_SOC = re.compile(r"[A-Za-z0-9_]{2,20}")
_MISSING = re.compile(r"Could not load shared library \S+: (\S+): cannot open shared object file")
_DONE = "Partitioned subgraph"


@dataclass(frozen=True)
class Plugin:
    """A vendor's plugin.

    Attributes:
        vendor: its folder in LiteRT's package.
        manufacturer: its name for the tool.
        speaker: who answers, for messages.
        package: on the package index, with the libraries that the plugin loads.
        module: of that package.
        libraries: their folder within the module.
        standins: (a library that it loads and does not need here, one that stands in for it).
    """

    vendor: str
    manufacturer: str
    speaker: str
    package: str
    module: str
    libraries: str = "."
    standins: Sequence[tuple[str, str]] = ()

    def installed(self) -> bool:
        """Whether tool, plugin and libraries are there."""
        return sys.platform == "linux" and self._compiler() is not None and _folder_of(self.module) is not None

    def source(self) -> str:
        """Names and versions of what answers."""
        import importlib.metadata  # slow to import, and mostly not needed

        return f"{self.package} {importlib.metadata.version(self.package)}, by LiteRT's plugin"

    def said_of(self, data: bytes, soc: str, extra: str) -> str:
        """What is printed for a model.

        Args:
            data: the model's bytes.
            soc: the chip.
            extra: of fullint, that installs the package.

        Raises:
            UsageError: `soc` is no name of a chip, or the software is not installed, or not the one that the plugin needs.
            RuntimeFailure: the compiler fails on the model.
        """
        if not _SOC.fullmatch(soc):
            raise UsageError(f'{extra}:SOC must be the name of a chip, not "{soc}"')
        if not self.installed():
            raise UsageError(
                f'{self.package}, which answers for {extra}, is not installed: pip install "fullint[{extra}]" (Linux on x86-64)'
            )
        text = self._run(data, soc)
        missing = _MISSING.search(text)
        if missing and _DONE not in text:
            raise UsageError(
                f"LiteRT's plugin for {extra} needs {missing[1]}, which this release of {self.package} has not: "
                f'pip install "fullint[{extra}]" installs one that fits'
            )
        if _DONE not in text:
            last = next((line for line in reversed(text.splitlines()) if "ERROR" in line), "it does not say why")
            raise RuntimeFailure(f"{self.speaker} fails on the model: {last[:200]}")
        return text

    def _compiler(self) -> Path | None:
        litert = _folder_of(LITERT.replace("-", "_"))
        if litert is None or not _tool(litert).is_file():
            return None
        compiler = litert / "vendors" / self.vendor / "compiler"
        return compiler if compiler.is_dir() else None

    def _run(self, data: bytes, soc: str) -> str:
        compiler, module = self._compiler(), _folder_of(self.module)
        assert compiler is not None and module is not None
        libraries = module / self.libraries
        with temporary_folder() as folder:
            (folder / "model.tflite").write_bytes(data)
            others = folder / "others"
            others.mkdir()
            for name, stand_in in self.standins:
                (others / name).symlink_to(libraries / stand_in)
            command = [
                "env",
                f"LD_LIBRARY_PATH={libraries}:{others}",
                str(_tool(compiler.parents[2])),
                "--cmd=partition",
                f"--model={folder / 'model.tflite'}",
                f"--o={folder / 'out.tflite'}",
                f"--soc_manufacturer={self.manufacturer}",
                f"--soc_model={soc}",
                f"--libs={compiler}",
            ]
            return said_by(self.speaker, command, folder)[1]


def _folder_of(module: str) -> Path | None:
    found = importlib.util.find_spec(module)
    return Path(next(iter(found.submodule_search_locations or ["."]))) if found is not None else None


def _tool(litert: Path) -> Path:
    return litert / "tools" / "apply_plugin_main"
