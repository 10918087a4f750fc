"""scale-out-of-range: A scale, or a ratio of scales, is outside what the kernel supports.

What it does:
    Finds integer operators with a scale above 1e30, and those whose input scales are so large or so small relative to the
    output scale that a kernel rejects them or aborts the process.

Why it matters:
    Kernels turn ratios of scales into multipliers and shifts of limited width. Beyond that width, ADD aborts the whole
    process, and XNNPACK fails to build.

Seen in:
    Attention masks of -3.4e38 that were calibrated like activations; masks of -1e9 added to logits; outputs of dead
    layers with a scale of 1e-9.

Example:
    op 30 ADD "masked": the scale of its output is 1.6e-08; with those of its inputs, the kernel needs more than 6.5e-08

Fix (none):
    Bring the operands to similar magnitudes in the float model: a mask of -100 does the same as one of -1e9.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op
from fullint.verification.operator_checks import scales_in_range


def find(op: Op, facts: Facts) -> Found | None:
    """A scale that a multiplier cannot represent, or a ratio beyond the limits in the op table."""
    breach = scales_in_range(op)
    if breach is None:
        return None
    mask = breach.tensor is not None
    fix = "quantize the float model again, with a finite mask" if mask else "bring its operands to similar magnitudes"
    return Found.of(breach, fix)


RULE = Rule("scale-out-of-range", "error", (Scope.INTEGER,), Mend.NONE, True, __doc__, find)
