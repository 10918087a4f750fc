"""The targets of `partition`; each is a module that defines `TARGET`."""

from __future__ import annotations

from fullint.delegates import edgetpu, gpu, nnapi, openvino, qualcomm, tflm, vela, xnnpack
from fullint.delegates.target import DelegateTarget
from fullint.errors import UsageError
from fullint.passes.target_forms import Lacks
from fullint.targets import names_of_targets

DELEGATES: dict[str, DelegateTarget] = {
    target.name: target
    for target in (
        xnnpack.TARGET,
        nnapi.TARGET,
        gpu.TARGET,
        edgetpu.TARGET,
        tflm.TARGET,
        vela.TARGET,
        qualcomm.TARGET,
        openvino.TARGET,
    )
}


def lacks_of(target: str) -> Lacks:
    """Operator -> types of activations that the kernel of one of the targets of `--target` does not take."""
    found: dict[str, frozenset[str]] = {}
    for known, _ in judges_of(target):
        for kind, types in known.lacks.items():
            found[kind] = found.get(kind, frozenset()) | types
    return found


def judges_of(target: str) -> list[tuple[DelegateTarget, str]]:
    """The targets of `--target` that answer for themselves, with what is asked of them (a configuration); LiteRT is none.

    Raises:
        UsageError: a target is unknown, or has no configurations.
    """
    parts = [name.partition(":") for name in names_of_targets(target)]
    for name, colon, _ in parts:
        if colon and (name not in DELEGATES or not DELEGATES[name].detail):
            raise UsageError(f"target: {name} takes nothing after a colon")
    return [(DELEGATES[name], detail) for name, _, detail in parts if name in DELEGATES]
