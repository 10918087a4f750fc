"""op-version-low: The operator's version is lower than its types require.

What it does:
    Finds integer operators whose version predates their int8 or int16 form.

Why it matters:
    Current LiteRT does not check this. Runtimes and compilers that do reject the model, and the file claims to run on
    releases that cannot run it.

Seen in:
    Models made by ai-edge-quantizer, which keeps the versions of the float operators; files edited by hand.

Example:
    op 4 FULLY_CONNECTED "dense": its version is 1, but its types require 4

Fix (safe):
    The version is corrected.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op
from fullint.verification.operator_checks import version


def find(op: Op, facts: Facts) -> Found | None:
    """A version below the one that the op table requires."""
    breach = version(op)
    return Found.of(breach, "correct the version") if breach else None


RULE = Rule("op-version-low", "note", (Scope.INTEGER,), Mend.STAMP, True, __doc__, find)
