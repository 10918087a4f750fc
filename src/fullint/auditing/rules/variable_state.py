"""variable-state: State that is kept between runs is float.

What it does:
    Finds operators that read or write a float variable: READ_VARIABLE, ASSIGN_VARIABLE, recurrent operators.

Why it matters:
    What one run writes to a variable, the next run reads, so all operators that use it must agree on one scale.
    Converters quantize one operator at a time and leave the variable in float.

Seen in:
    Streaming audio models (lyra, keyword spotting); Keras layers with stateful=True.

Example:
    op 16 READ_VARIABLE "states": its state "states", kept between runs, is float

Fix (safe):
    All values written to the variable share one scale. `repair` needs samples (-c) for it, since the file does not say
    how large the state grows.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op
from fullint.verification.operator_checks import short

_VARIABLES = ("READ_VARIABLE", "ASSIGN_VARIABLE")


def find(op: Op, facts: Facts) -> Found | None:
    """A float operand that is a variable, or is written to one."""
    states = [t for t in op.values() if t.is_float and (t.is_variable or op.kind in _VARIABLES)]
    if not states:
        return None
    cause = f'its state "{short(states[0])}", kept between runs, is float'
    return Found(cause, "give it one scale; repair needs samples (-c) for it", {"tensors": [t.name for t in states[:8]]})


RULE = Rule("variable-state", "error", (Scope.FLOAT,), Mend.QUANTIZE, True, __doc__, find)
