"""Which operators Arm's Vela maps to an Ethos-U, determined by running the compiler (optional package ethos-u-vela).

    vela MODEL --accelerator-config CONFIG      ->      Warning (supported operators) operator: DIV, ofm: 'NAME'
                                                        Reason: Unsupported opType

Output tensors get unique names for this, so that each warning can be assigned to its operator.
"""

from __future__ import annotations

import importlib.util
import re
import sys

from fullint.delegates.target import DelegateTarget, Software, TargetAnswer
from fullint.documents import cut
from fullint.errors import RuntimeFailure, UsageError
from fullint.model.ir import Model, Op
from fullint.model.tflite import write_model
from fullint.runtime.supervised import said_by
from fullint.temporary import temporary_folder

DEFAULT = "ethos-u55-128"
CONFIGS = tuple(
    f"ethos-{family}-{macs}"
    for family, sizes in (("u55", (32, 64, 128, 256)), ("u65", (256, 512)), ("u85", (128, 256, 512, 1024, 2048)))
    for macs in sizes
)
_WARNING = re.compile(
    r"Warning \(supported operators\) operator: \w+, ofm: 'fullint_op(\d+)'\n+Reason: (.*(?:\n(?!Warning|[ \t]*\n|[ \t]*\Z).*)*)"
)
_MARK = re.compile(r"fullint_op(\d+)(?:_act)?")

_LACKS = {
    **dict.fromkeys("DEPTH_TO_SPACE SPACE_TO_DEPTH GATHER L2_NORMALIZATION POW".split(), frozenset({"int8", "int16"})),
    "MEAN over depth": frozenset({"int8", "int16"}),
    "HARD_SWISH": frozenset({"int16"}),
    "ARG_MAX": frozenset({"int64"}),
}
"""Not among the supported operators of an Ethos-U55 and U65 (vela --supported-ops-report), and written with those that are."""


def source() -> str:
    """Name and version of the installed Vela."""
    import importlib.metadata  # slow to import, and mostly not needed

    return f"Arm Vela {importlib.metadata.version('ethos-u-vela')}"


def verdicts(model: Model, config: str) -> dict[Op, str | None]:
    """Operator of the main graph -> why Vela leaves it to the CPU, or None if the NPU runs it.

    Raises:
        UsageError: Vela is not installed, or the configuration is unknown.
        RuntimeFailure: Vela fails on the model.
    """
    if config not in CONFIGS:
        raise UsageError(f'ethos-u:CONFIG must be one of {", ".join(CONFIGS)}, not "{config}"')
    if not _installed():
        raise UsageError('Vela is not installed: pip install "fullint[ethos-u]"')
    ops = model.main.ops

    def name(m: re.Match[str]) -> str:
        return f'"{cut(ops[int(m[1])].output_name)}"'

    found = _WARNING.findall(_run(_named(model), config))
    reasons = {int(i): _MARK.sub(name, " ".join(why.split())) for i, why in found}
    return {op: reasons.get(i) for i, op in enumerate(model.main.ops)}


def _named(model: Model) -> bytes:
    """The model's bytes, with each operator's first output renamed to "fullint_op<index>"."""
    names = {t: t.name for op in model.main.ops for t in op.outputs}
    try:
        for i, op in enumerate(model.main.ops):
            for t in op.outputs[:1]:
                t.name = f"fullint_op{i}"
        return write_model(model)
    finally:
        for t, name in names.items():
            t.name = name


def _run(data: bytes, config: str) -> str:
    with temporary_folder() as folder:
        path = folder / "model.tflite"
        path.write_bytes(data)
        vela = [sys.executable, "-c", "import sys; from ethosu.vela.vela import main; main(sys.argv[1:])"]
        command = [*vela, str(path), "--output-dir", str(folder), "--accelerator-config", config]
        code, text = said_by("Vela", command, folder)
    if code:
        last = text.strip().splitlines()[-1:] or ["no message"]
        raise RuntimeFailure(f"Vela failed on the model: {last[0]}")
    return text


def _answer(model: Model, detail: str) -> TargetAnswer:
    config = detail or DEFAULT
    reasons = verdicts(model, config)
    return TargetAnswer(f"ethos-u:{config}", source(), reasons, own=True)


def _installed() -> bool:
    return importlib.util.find_spec("ethosu") is not None


TARGET = DelegateTarget(
    "ethos-u",
    _answer,
    "CONFIG",
    software=Software("ethos-u", "ethos-u-vela", "Apache-2.0", _installed),
    tabled=False,
    lacks=_LACKS,
)
