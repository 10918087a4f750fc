"""op-version-low: The operator is stamped with a version below the one its types need.

What it does:
    Finds integer operators whose version came before their int8 or int16 form.

Why it matters:
    LiteRT of today does not look; runtimes and compilers that do refuse it, and the file claims to run on releases
    that cannot run it.

Seen in:
    Models out of ai-edge-quantizer, which leaves the versions of the float operators; files edited by hand.

Example:
    op 4 FULLY_CONNECTED "dense": it is stamped version 1, its types need 4

Fix (safe):
    The version is stamped right.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op
from fullint.verification.operator_checks import version


def find(op: Op, facts: Facts) -> Found | None:
    """A version below what the row says."""
    breach = version(op)
    return Found.of(breach, "stamp it right") if breach else None


RULE = Rule("op-version-low", "note", (Scope.INTEGER,), Mend.STAMP, True, __doc__, find)
