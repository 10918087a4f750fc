"""left-float: The file shows no reason why this operator is float.

What it does:
    Finds float operators that have an integer form, no constants, and integer values all around.

Why it matters:
    It costs a DEQUANTIZE, a QUANTIZE and a cut in the graph for nothing. Somebody asked the converter to leave it out,
    or the converter has a fault.

Seen in:
    Selective quantization (a list of operators to leave); partly quantized graphs edited by hand.

Example:
    op 6 ADD "sum": its operands and its result have parameters in the file

Fix (safe):
    Quantize it with the parameters that are there.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op


def find(op: Op, facts: Facts) -> Found | None:
    """Whatever no other rule explains."""
    return Found("its operands and its result have parameters in the file", "quantize it with them")


RULE = Rule("left-float", "error", (Scope.FLOAT,), Mend.QUANTIZE, True, __doc__, find)
