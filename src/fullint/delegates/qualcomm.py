"""Which operators Qualcomm's compiler maps to the HTP of a SoC, by LiteRT's plugin with the libraries of QNN.

    QNN op validation failed: 'Exp_0' (type=ElementWiseUnary, …)           ->   the operator and why it is refused
    LiteRT Op #1 'Exp' (code=47) is not supported in Qualcomm Compiler.

QNN comes with the package onnxruntime-qnn. Its licence allows development and benchmarking, and no redistribution: it is
never part of fullint.
"""

from __future__ import annotations

import re

from fullint.delegates.litert_plugin import Plugin
from fullint.delegates.target import DelegateTarget, Software, TargetAnswer
from fullint.model.ir import Model, Op
from fullint.model.tflite import write_model

_USUAL_SOC = "SM8750"
QNN = Plugin(
    "qualcomm",
    "Qualcomm",
    "Qualcomm's compiler",
    package="onnxruntime-qnn",
    module="onnxruntime_qnn",
    standins=(("libQnnLpai.so", "libQnnSystem.so"),),
)
_UNSUPPORTED = re.compile(r"^LiteRT Op #(\d+) '(\w+)' \(code=\d+\) is not supported", re.MULTILINE)
_FAILED = re.compile(r"^QNN op validation failed: '[^']*' \((.+)\)$", re.MULTILINE)
_SAID = re.compile(r"<E> (.+)$", re.MULTILINE)
_TYPE = re.compile(r"dtype=QNN_DATATYPE_(\w+)")
_BOTH = frozenset({"int8", "int16"})
_LACKS = {
    "EXP": _BOTH,
    "REDUCE_PROD": _BOTH,
    "LOG_SOFTMAX": frozenset({"int8"}),
}
"""Seen in the compiler's answers: look-ups and products are taken in their place."""


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


def _answer(model: Model, detail: str) -> TargetAnswer:
    soc = detail or _USUAL_SOC
    refused = reasons_of(QNN.said_of(write_model(model), soc, "qualcomm"))
    reasons: dict[Op, str | None] = {op: refused.get(i) for i, op in enumerate(model.main.ops)}
    return TargetAnswer(f"qualcomm:{soc}", f"QNN ({QNN.source()})", reasons, own=True)


TARGET = DelegateTarget(
    "qualcomm",
    _answer,
    "SOC",
    software=Software("qualcomm", QNN.package, "Qualcomm AI Stack License: development and benchmarking only", QNN.installed),
    tabled=False,
    lacks=_LACKS,
)
