"""The targets of `partition`; each is a module that defines `TARGET`."""

from __future__ import annotations

import functools
from importlib import import_module
from typing import TYPE_CHECKING

from fullint.errors import UsageError
from fullint.targets import names_of_targets

if TYPE_CHECKING:
    from fullint.delegates.target import DelegateTarget
    from fullint.passes.target_forms import Lacks

LITERT = "litert"
"""The target that answers for nothing: what the contract asks runs on its kernels."""
_MODULES = ("xnnpack", "nnapi", "gpu", "edgetpu", "tflm", "vela", "qualcomm", "openvino")


@functools.cache
def delegate_targets() -> dict[str, DelegateTarget]:
    """All targets by their names; their modules are slow to import, and most runs are for LiteRT."""
    targets: list[DelegateTarget] = [import_module(f"fullint.delegates.{name}").TARGET for name in _MODULES]
    return {target.name: target for target in targets}


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
    if all(name == LITERT and not colon for name, colon, _ in parts):
        return []
    known = delegate_targets()
    for name, colon, _ in parts:
        if colon and (name not in known or not known[name].detail):
            raise UsageError(f"target: {name} takes nothing after a colon")
    return [(known[name], detail) for name, _, detail in parts if name in known]
