"""not-quantized: The model is not quantized at all.

What it does:
    Finds the float operators of a model without any quantized activation, unless another rule explains them.

Why it matters:
    This is the float model that quantization starts from; there is nothing to repair yet.

Seen in:
    Every model converted without optimizations.

Example:
    op 0 CONV_2D "features": nothing in the file is quantized

Fix (none):
    `fullint quantize MODEL -c SAMPLES -o OUT`.
"""

from __future__ import annotations

from fullint.auditing.rules.base import QUANTIZE_IT, Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op


def find(op: Op, facts: Facts) -> Found | None:
    """Any float operator of a model without quantized activations."""
    if facts.quantized:
        return None
    return Found("nothing in the file is quantized", QUANTIZE_IT)


RULE = Rule("not-quantized", "error", (Scope.FLOAT,), Mend.NONE, True, __doc__, find)
