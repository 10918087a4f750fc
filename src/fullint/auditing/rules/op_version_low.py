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

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope, integer_row
from fullint.model.ir import Op
from fullint.ops.base import codes


def find(op: Op, facts: Facts) -> Found | None:
    """A version below what the row says."""
    row = integer_row(op)
    kinds = {t.dtype for t in op.values() if codes(t) and not t.is_constant and not t.is_variable}
    if row is None or not op.outputs or len(kinds) != 1 or any(t.is_float for t in op.values()):
        return None
    needed = row.version_of(op)
    if op.version >= needed:
        return None
    cause = f"it is stamped version {op.version}, its types need {needed}"
    return Found(cause, "stamp it right", {"version": op.version, "needed": needed})


RULE = Rule("op-version-low", "note", (Scope.INTEGER,), Mend.STAMP, True, __doc__, find)
