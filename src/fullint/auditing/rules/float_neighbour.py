"""float-neighbour: Nothing is wrong with this operator; it hands values to one that stays float, or takes them from one.

What it does:
    Finds float operators beside others that are in float for a reason of their own.

Why it matters:
    Converters decide operator by operator and all or nothing: one operand that is computed in float, or one reader that
    wants float, keeps the whole operator from being integer. A single comparison with a shared constant keeps the
    convolution before it in float, where the time is spent.

Seen in:
    Face-liveness networks with PReLU written as GREATER, MUL, SELECT: convolutions in float because of what GREATER reads.

Example:
    op 3 CONV_2D "conv": its result is read in float by op 5 GREATER (shared-constant-conflict)

Fix (safe):
    Mend the operators named; this one follows.
"""

from __future__ import annotations

from collections.abc import Callable

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope, name_of
from fullint.model.ir import Op

Reason = Callable[[Op, Facts], str | None]
MOST_STEPS = 100
"""How far away the reason is looked for."""


def rule(reason: Reason) -> Rule:
    """The rule, told how to find the name of the rule that explains an operator by itself."""

    def find(op: Op, facts: Facts) -> Found | None:
        """The nearest operator with a reason of its own, over operators that compute in float."""
        seen, edge, first = {op}, [(n, n) for n in facts.float_neighbours(op)], True
        for _ in range(MOST_STEPS):
            found = [(near, end, name) for near, end in edge if (name := reason(end, facts)) is not None]
            if found:
                near, end, name = found[0]
                made = any(near is facts.uses.producer.get(t) for t in op.inputs if t is not None)
                how = "takes a value that is computed in float by" if made else "hands its result in float to"
                behind = "" if first else f", which is beside {name_of(end)}"
                root = {"index": end.origin, "kind": end.kind, "rule": name}
                return Found(f"it {how} {name_of(near)}{behind} ({name})", f"mend {name_of(end)}", {"because_of": root})
            seen |= {end for _, end in edge}
            edge = [(near, n) for near, end in edge for n in facts.float_neighbours(end) if n not in seen]
            first = False
        return None

    return Rule("float-neighbour", "error", (Scope.FLOAT,), Mend.QUANTIZE, True, __doc__, find)
