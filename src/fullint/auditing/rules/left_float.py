"""left-float: The file shows no reason why this operator is float.

What it does:
    Finds float operators that have an integer form, no float constants, and only quantized values around them.

Why it matters:
    The operator costs a DEQUANTIZE, a QUANTIZE and a cut in the graph for nothing. Either the converter was told to leave
    it out, or the converter has a bug.

Seen in:
    Selective quantization (a list of operators to leave out); partly quantized graphs edited by hand.

Example:
    op 6 ADD "sum": the file has parameters for its operands and its result

Fix (safe):
    The operator is quantized with the parameters in the file.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op


def find(op: Op, facts: Facts) -> Found | None:
    """Every float operator that no earlier rule explains."""
    return Found("the file has parameters for its operands and its result", "quantize it with them")


RULE = Rule("left-float", "error", (Scope.FLOAT,), Mend.QUANTIZE, True, __doc__, find)
