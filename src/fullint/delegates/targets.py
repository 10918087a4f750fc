"""The targets of `partition`; each is a module that defines `TARGET`."""

from __future__ import annotations

from fullint.delegates import edgetpu, nnapi, tflm, vela, xnnpack
from fullint.delegates.target import DelegateTarget

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
