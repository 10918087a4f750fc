"""variable-state: State that is kept between runs is float.

What it does:
    Finds operators that read or write a variable in float: READ_VARIABLE, ASSIGN_VARIABLE, recurrent operators.

Why it matters:
    What flows into a variable in one run flows out of it in the next, so that all who touch it have to agree on one
    scale. Converters see one operator at a time, and leave it float.

Seen in:
    Streaming audio models (lyra, keyword spotting); Keras layers with stateful=True.

Example:
    op 16 READ_VARIABLE "states": the state of 1 variable is kept as float32 between runs

Fix (safe):
    One scale for all that is written to the variable; repair needs samples (-c) for it, since nothing in the file says
    how large the state grows.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op
from fullint.verification.operator_checks import short

_VARIABLES = ("READ_VARIABLE", "ASSIGN_VARIABLE")


def find(op: Op, facts: Facts) -> Found | None:
    """A float operand that is a variable, or goes to one."""
    states = [t for t in op.values() if t.is_float and (t.is_variable or op.kind in _VARIABLES)]
    if not states:
        return None
    cause = f'state kept between runs is float: "{short(states[0])}"'
    return Found(cause, "give all that is written to it one scale, with samples", {"tensors": [t.name for t in states[:8]]})


RULE = Rule("variable-state", "error", (Scope.FLOAT,), Mend.QUANTIZE, True, __doc__, find)
