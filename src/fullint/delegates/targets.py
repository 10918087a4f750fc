"""The targets of `partition`; each is a module that defines `TARGET`."""

from __future__ import annotations

from fullint.delegates import edgetpu, nnapi, tflm, vela, xnnpack
from fullint.delegates.target import DelegateTarget
from fullint.passes.target_forms import Lacks

DELEGATES: dict[str, DelegateTarget] = {
    target.name: target
    for target in (
        xnnpack.TARGET,
        nnapi.TARGET,
        edgetpu.TARGET,
        tflm.TARGET,
        vela.TARGET,
    )
}


def lacks_of(target: str) -> Lacks:
    """Operator -> types of activations that the kernel of a target of `--target` does not take."""
    known = DELEGATES.get(target)
    return known.lacks if known is not None else {}
