"""Which operators Intel's OpenVINO takes for the NPU of a SoC, by LiteRT's plugin with the libraries of OpenVINO.

    INFO: [openvino_compiler_plugin.cc:497] op type 111 is not supported      ->   ELU is left to the CPU

The plugin decides by kind, and prints a line for each operator that it leaves, in the order of the graph. Whether the NPU's own
compiler takes types and shapes is not known: it needs a library that comes with Intel's driver.
"""

from __future__ import annotations

import re
from collections import Counter

from fullint.delegates.litert_plugin import Plugin
from fullint.delegates.target import DelegateTarget, Software, TargetAnswer
from fullint.model.ir import Model, Op
from fullint.model.tflite import schema, write_model

_USUAL_SOC = "PTL"
OPENVINO = Plugin("intel_openvino", "IntelOpenVINO", "Intel's plugin", package="openvino", module="openvino", libraries="libs")
_UNSUPPORTED = re.compile(r"op type (\d+) is not supported")
_END_OF_MAIN = "Partitioned subgraph<0>"
_LACKS = dict.fromkeys(
    "ELU RELU6 RELU_N1_TO_1 LOG_SOFTMAX REDUCE_PROD SPACE_TO_DEPTH SPLIT_V SQUEEZE".split(), frozenset({"int8", "int16"})
)
"""Not in the plugin's list of kinds (LiteRT, vendors/intel_openvino/compiler/openvino_compiler_plugin.cc): other forms are."""


def reasons_of(text: str, model: Model) -> dict[Op, str]:
    """Operator of the main graph -> why it is refused, from what the plugin prints."""
    names = schema.names("BuiltinOperator")
    said = Counter(names.get(int(code), code) for code in _UNSUPPORTED.findall(text.partition(_END_OF_MAIN)[0]))
    found: dict[Op, str] = {}
    for kind, count in said.items():
        same = [op for op in model.main.ops if op.kind == kind]
        form = ""
        if count < len(same):  # TOPK_V2, whose number of values has to be a constant
            same = [op for op in same if any(t is not None and t.buffer is None for t in op.inputs[1:])]
            form = " of this form"
        found.update((op, f"Intel's plugin takes no {kind}{form}") for op in same)
    return found


def _answer(model: Model, detail: str) -> TargetAnswer:
    soc = detail or _USUAL_SOC
    refused = reasons_of(OPENVINO.said_of(write_model(model), soc, "openvino"), model)
    reasons: dict[Op, str | None] = {op: refused.get(op) for op in model.main.ops}
    return TargetAnswer(f"openvino:{soc}", f"OpenVINO ({OPENVINO.source()}, by kind of operator)", reasons, own=True)


TARGET = DelegateTarget(
    "openvino",
    _answer,
    "SOC",
    software=Software("openvino", OPENVINO.package, "Apache-2.0", OPENVINO.installed),
    tabled=False,
    lacks=_LACKS,
)
