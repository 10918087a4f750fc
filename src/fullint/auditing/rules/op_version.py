"""op-version: The operator's version is too new for the runtime.

What it does:
    Compares each operator's version with the first release of LiteRT or TensorFlow Lite that supports it (--runtime).

Why it matters:
    A runtime rejects versions it does not know: "Didn't find op for builtin opcode 'FULLY_CONNECTED' version '12'".

Seen in:
    Models converted with a newer TensorFlow than the one on the phone or in the Edge TPU compiler.

Example:
    op 40 FULLY_CONNECTED "logits": version 12 needs runtime 2.17.0, the target has 2.5.0

Fix (none):
    Update the runtime, or convert the model for the older one.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op
from fullint.ops.releases import RELEASES, release_of


def find(op: Op, facts: Facts) -> Found | None:
    """A version that is newer than the runtime, or than any known version."""
    evidence = {"version": op.version}
    known = len(RELEASES[op.kind].split()) if op.kind in RELEASES else None
    if known is not None and op.version > known:
        return Found(f"version {op.version} is newer than any known version ({known})", "update the runtime", evidence)
    release = release_of(op.kind, op.version)
    if facts.runtime is not None and release > facts.runtime:
        cause = f"version {op.version} needs runtime {_text(release)}, the target has {_text(facts.runtime)}"
        return Found(cause, "update the runtime, or convert the model for the older one", evidence)
    return None


def _text(release: tuple[int, ...]) -> str:
    return ".".join(map(str, release))


RULE = Rule("op-version", "error", (Scope.EVERY,), Mend.NONE, True, __doc__, find, bearable=True)
