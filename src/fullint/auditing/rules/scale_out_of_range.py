"""scale-out-of-range: Scales whose ratio the kernel does not take.

What it does:
    Finds integer operators with a scale beyond 1e30, and those whose input scales are so coarse, or so fine, against
    the output's that a kernel refuses them or stops the process.

Why it matters:
    Kernels turn ratios of scales into multipliers and shifts of limited width. Beyond that, ADD aborts the whole
    process, and XNNPACK fails to build.

Seen in:
    Attention masks of -3.4e38 that were calibrated like activations; masks of -1e9 added to logits; outputs of dead
    layers with a scale of 1e-9.

Example:
    op 30 ADD "masked": the scale of "mask" is 2.1e+06 times the output's, the kernel takes less than 524288

Fix (none):
    Bring the operands to sizes nearer to each other in the float model: a mask of -100 does what one of -1e9 does.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op
from fullint.verification.operator_checks import scales_in_range


def find(op: Op, facts: Facts) -> Found | None:
    """Scales beyond what a multiplier holds, and what the row's limits say."""
    breach = scales_in_range(op)
    if breach is None:
        return None
    mask = breach.tensor is not None
    fix = "quantize the float model again, with a finite mask" if mask else "bring its operands to sizes nearer to each other"
    return Found.of(breach, fix)


RULE = Rule("scale-out-of-range", "error", (Scope.INTEGER,), Mend.NONE, True, __doc__, find)
