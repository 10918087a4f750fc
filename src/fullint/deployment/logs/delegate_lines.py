"""What delegates print of themselves: what they refuse and why, what they take, and when that is taken back.

CONV_2D: OP is supported, but tensor type isn't matched!            GPU
Operator HARD_SWISH (v1) refused by NNAPI delegate: …               NNAPI
16 operations will run on the GPU, and the remaining 166 …          GPU
Node number 113 (TfLiteNnapiDelegate) failed to prepare.            any
Restored original execution plan after delegate application …       the runtime
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from fullint.deployment.logs.record import Delegate, DelegateSaid, RefusedKind

GPU, NNAPI, HEXAGON, EXTERNAL, XNNPACK = "GPU", "NNAPI", "HEXAGON", "EXTERNAL", "XNNPACK"
_FAMILIES = {
    "gpu": GPU,
    "nnapi": NNAPI,
    "hexagon": HEXAGON,
    "external": EXTERNAL,
    "xnnpack": XNNPACK,
    "coreml": "COREML",
    "edgetpu": "EDGETPU",
    "vx": EXTERNAL,
}
_CREATED = re.compile(
    r"Created TensorFlow Lite (?:(\w+) )?delegate for (\w+)|(\w+) delegate created\.|Initialized (\w+) delegate\."
)
_GPU_LIST = re.compile(r"Following operations are not supported by GPU delegate")
_GPU_ROW = re.compile(r"^(?:ERROR: |INFO: )?([A-Z][A-Z0-9_]*): (.+)$")
_GPU_SPLIT = re.compile(r"(?:(\d{1,9})|No) operations will run on the GPU, and (?:the remaining|all) (\d{1,9}) operations")
_REFUSED = re.compile(r"Operator (\w+) \(v(\d{1,4})\) refused by (\w+) delegate: (.+)$")
_HEXAGON = re.compile(r"Hexagon delegate: (\d{1,9}) nodes delegated out of (\d{1,9}) nodes with (\d{1,9}) partitions")
_APPLIED = re.compile(
    r"Explicitly applied (\w+) delegate, and the model graph will be (completely|partially) executed by the delegate"
    r"(?: w/ (\d{1,9}) delegate kernels)?"
)
_UNUSED = re.compile(r"Though (\w+) delegate is explicitly applied, the model graph will not be executed")
_FAILED = re.compile(r"Node number (\d{1,9}) \((\w+)\) failed to (prepare|invoke)")
_RESTORED = "Restored original execution plan after delegate application failure"
_ERROR = re.compile(r"^(?:ERROR: |E )(.+)$")


@dataclass
class DelegateLines:
    """Gathers what delegates say, line by line, in the order of the log."""

    said: dict[str, DelegateSaid] = field(default_factory=dict)
    listing: bool = False
    current: str = ""
    errors: list[str] = field(default_factory=list)

    def replaced(self, d: Delegate) -> None:
        """The runtime has given nodes to a delegate."""
        status = "whole" if d.partitions == 1 or d.nodes == d.of else "part" if d.nodes else "none"
        self._set(_family(d.name), {"status": status, "nodes": d.nodes, "of": d.of, "partitions": d.partitions})

    def line(self, text: str) -> bool:
        """Take in a line; whether it was one of a delegate."""
        if self.listing and (m := _GPU_ROW.search(text)) is not None and not _GPU_SPLIT.search(text):
            self._refuse(GPU, m[1], m[2])
            return True
        self.listing = bool(_GPU_LIST.search(text))
        if self.listing:
            return True
        return self._taken(text) or self._trouble(text)

    def _taken(self, text: str) -> bool:
        if (m := _GPU_SPLIT.search(text)) is not None:
            taken, left = int(m[1] or 0), int(m[2])
            status = "part" if taken and left else "whole" if taken else "none"
            self._set(GPU, {"status": status, "nodes": taken, "of": taken + left})
        elif (m := _REFUSED.search(text)) is not None:
            self._refuse(_family(m[3]), m[1], m[4])
        elif (m := _HEXAGON.search(text)) is not None:
            self._set(HEXAGON, {"status": "part", "nodes": int(m[1]), "of": int(m[2]), "kernels": int(m[3])})
        elif (m := _APPLIED.search(text)) is not None:
            status = "whole" if m[2] == "completely" else "part"
            self._set(_family(m[1]), {"status": status, "kernels": int(m[3]) if m[3] else None})
        elif (m := _UNUSED.search(text)) is not None:
            self._set(_family(m[1]), {"status": "none", "kernels": 0})
        elif (m := _CREATED.search(text)) is not None:
            name = _family(next(g for g in (m[1], m[2], m[3], m[4]) if g))
            self._set(name if name != "CPU" else XNNPACK, {})
        else:
            return False
        return True

    def _trouble(self, text: str) -> bool:
        if (m := _FAILED.search(text)) is not None:
            self.current = _family(m[2])
            self.errors.append(text.partition("ERROR: ")[2] or text)
        elif _RESTORED in text:
            name = self.current or next(reversed(self.said), "")
            if name:
                before = self.said[name]
                self.said[name] = replace(before, status="taken back", errors=(*before.errors, *self.errors))
                self.errors = []
        elif (m := _ERROR.match(text)) is not None:
            self.errors.append(m[1])
        else:
            return False
        return True

    def result(self) -> tuple[DelegateSaid, ...]:
        """All delegates; errors that nothing follows belong to the one that took nothing, else to the first."""
        if self.errors and self.said:
            name = next((n for n, d in self.said.items() if d.status == "none"), next(iter(self.said)))
            self.said[name] = replace(self.said[name], errors=(*self.said[name].errors, *self.errors))
        return tuple(self.said.values())

    def _set(self, name: str, facts: Mapping[str, object]) -> None:
        known = self.said.get(name, DelegateSaid(name))
        if known.status == "taken back":
            known = DelegateSaid(name)
        told = {field_: value for field_, value in facts.items() if value is not None}
        self.said[name] = replace(known, **told)  # type: ignore[arg-type]  # facts are fields

    def _refuse(self, name: str, kind: str, reason: str) -> None:
        known = self.said.get(name, DelegateSaid(name))
        self.said[name] = replace(known, refused=(*known.refused, RefusedKind(kind, reason.strip())))


def _family(name: str) -> str:
    """One name for what is called GPU, TfLiteGpuDelegateV2 and so on."""
    low = name.lower().removeprefix("tflite").removesuffix("delegate").removesuffix("delegatev2")
    return _FAMILIES.get(low, name)
