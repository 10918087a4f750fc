"""float-neighbour: The operator itself could be integer; it is float because an operator next to it is.

What it does:
    Finds float operators that exchange values with operators that are float for a reason of their own.

Why it matters:
    Converters decide operator by operator, all or nothing: one float operand, or one reader that needs float, keeps the
    whole operator in float. A single comparison with a shared constant keeps the convolution before it in float, and
    the convolution is where the time is spent.

Seen in:
    Face-liveness networks with PReLU written as GREATER, MUL, SELECT: convolutions in float because GREATER reads them.

Example:
    op 3 CONV_2D "conv": its result is read in float by op 5 GREATER (shared-constant-conflict)

Fix (safe):
    Fix the named operator; this one then becomes integer too.
"""

from __future__ import annotations

from collections.abc import Callable

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope, name_of
from fullint.model.ir import Op

Reason = Callable[[Op, Facts], str | None]
MOST_STEPS = 100
"""How many operators away the cause is searched for."""


def rule(reason: Reason) -> Rule:
    """Make the rule; `reason` returns the rule that explains an operator by itself, if any."""

    def find(op: Op, facts: Facts) -> Found | None:
        """The nearest operator with a cause of its own, reached through float operators."""
        seen, edge, first = {op}, [(n, n) for n in facts.float_neighbours(op)], True
        for _ in range(MOST_STEPS):
            found = [(near, end, name) for near, end in edge if (name := reason(end, facts)) is not None]
            if found:
                near, end, name = found[0]
                made = any(near is facts.uses.producer.get(t) for t in op.inputs if t is not None)
                how = "an input is computed in float by" if made else "its result is read in float by"
                behind = "" if first else f", which is float because of {name_of(end)}"
                root = {"index": end.origin, "kind": end.kind, "rule": name}
                return Found(f"{how} {name_of(near)}{behind} ({name})", f"make {name_of(end)} integer", {"because_of": root})
            seen |= {end for _, end in edge}
            edge = [(near, n) for near, end in edge for n in facts.float_neighbours(end) if n not in seen]
            first = False
        return None

    return Rule("float-neighbour", "error", (Scope.FLOAT,), Mend.QUANTIZE, True, __doc__, find)
