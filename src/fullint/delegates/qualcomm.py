"""Which operators Qualcomm's compiler maps to the HTP of a SoC: LiteRT's compiler plugin is run, with the libraries of QNN.

    apply_plugin_main --cmd=partition --model=M --soc_model=SM8750   ->   QNN op validation failed: … (type=ElementWiseUnary, …)
                                                                          LiteRT Op #1 'Exp' (code=47) is not supported …

The plugin comes with LiteRT, QNN with the package onnxruntime-qnn. Its licence allows development and benchmarking, and no
redistribution: it is never part of fullint.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

from fullint.delegates.target import DelegateTarget, Software, TargetAnswer
from fullint.errors import RuntimeFailure, UsageError
from fullint.model.ir import Model, Op
from fullint.model.tflite import write_model
from fullint.runtime.litert_release import PACKAGE as LITERT
from fullint.runtime.supervised import said_by
from fullint.temporary import temporary_folder

USUAL_SOC = "SM8750"
QNN, QNN_MODULE = "onnxruntime-qnn", "onnxruntime_qnn"
_SOC = re.compile(r"[A-Za-z0-9_]{2,20}")
_UNSUPPORTED = re.compile(r"^LiteRT Op #(\d+) '(\w+)' \(code=\d+\) is not supported", re.MULTILINE)
_FAILED = re.compile(r"^QNN op validation failed: '[^']*' \((.+)\)$", re.MULTILINE)
_SAID = re.compile(r"<E> (.+)$", re.MULTILINE)
_TYPE = re.compile(r"dtype=QNN_DATATYPE_(\w+)")
_DONE = "Partitioned subgraph"
LACKS_EXP = {"EXP": frozenset({"int8", "int16"})}
"""Seen in the compiler's answers: a look-up is taken in its place."""


def _litert() -> Path | None:
    """The folder of LiteRT, where it has the tool and the plugin."""
    found = importlib.util.find_spec(LITERT.replace("-", "_"))
    folder = Path(next(iter(found.submodule_search_locations or ["."]))) if found is not None else None
    return (
        folder if folder is not None and (folder / "tools" / "apply_plugin_main").is_file() and _plugin(folder).is_dir() else None
    )


def _plugin(litert: Path) -> Path:
    return litert / "vendors" / "qualcomm" / "compiler"


def _installed() -> bool:
    return sys.platform == "linux" and _litert() is not None and importlib.util.find_spec(QNN_MODULE) is not None


def source() -> str:
    """Names and versions of what answers."""
    import importlib.metadata  # slow to import, and mostly not needed

    return f"QNN ({QNN} {importlib.metadata.version(QNN)}), by LiteRT's plugin"


def reasons_of(text: str) -> dict[int, str]:
    """Index of an operator of the main graph -> why it is refused, from what the plugin prints."""
    found: dict[int, str] = {}
    before = 0
    for m in _UNSUPPORTED.finditer(text):
        part = text[before : m.start()]
        before = m.end()
        failed = _FAILED.findall(part)
        said = _SAID.findall(part)
        types = ", ".join(dict.fromkeys(_TYPE.findall(part)))
        what = failed[-1] if failed else f"type={m[2]}"
        by_types = f"its validator refuses {what} of {types or 'its types'}"
        found[int(m[1])] = max((s.strip() for s in said), key=len, default=by_types)
    return found


def _run(data: bytes, soc: str) -> str:
    litert, qnn = _litert(), importlib.util.find_spec(QNN_MODULE)
    assert litert is not None and qnn is not None and qnn.submodule_search_locations
    libraries = Path(next(iter(qnn.submodule_search_locations)))
    with temporary_folder() as folder:
        (folder / "model.tflite").write_bytes(data)
        stub = folder / "stub"
        stub.mkdir()
        (stub / "libQnnLpai.so").symlink_to(libraries / "libQnnSystem.so")  # the plugin looks for it, and does not need it here
        command = [
            "env",
            f"LD_LIBRARY_PATH={libraries}:{stub}",
            str(litert / "tools" / "apply_plugin_main"),
            "--cmd=partition",
            f"--model={folder / 'model.tflite'}",
            f"--o={folder / 'out.tflite'}",
            "--soc_manufacturer=Qualcomm",
            f"--soc_model={soc}",
            f"--libs={_plugin(litert)}",
        ]
        return said_by("Qualcomm's compiler", command, folder)[1]


def _answer(model: Model, detail: str) -> TargetAnswer:
    soc = detail or USUAL_SOC
    if not _SOC.fullmatch(soc):
        raise UsageError(f'qualcomm:SOC must be the name of a chip such as {USUAL_SOC}, not "{soc}"')
    if not _installed():
        raise UsageError(
            f'{QNN}, which answers for Qualcomm, is not installed: pip install "fullint[qualcomm]" (Linux on x86-64)'
        )
    text = _run(write_model(model), soc)
    if _DONE not in text:
        last = next((line for line in reversed(text.splitlines()) if "ERROR" in line), "it does not say why")
        raise RuntimeFailure(f"Qualcomm's compiler fails on the model: {last[:200]}")
    refused = reasons_of(text)
    reasons: dict[Op, str | None] = {op: refused.get(i) for i, op in enumerate(model.main.ops)}
    return TargetAnswer(f"qualcomm:{soc}", source(), reasons, own=True)


TARGET = DelegateTarget(
    "qualcomm",
    _answer,
    "SOC",
    software=Software("qualcomm", QNN, "Qualcomm AI Stack License: development and benchmarking only", _installed),
    tabled=False,
    lacks=LACKS_EXP,
)
