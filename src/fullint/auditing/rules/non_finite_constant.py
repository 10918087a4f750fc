"""non-finite-constant: A constant of a float operator contains infinity or NaN.

What it does:
    Finds float operators with a constant that is not finite throughout.

Why it matters:
    Such a constant has no scale. TensorFlow's converter only looks at the first element: if that is not finite, the
    constant gets no parameters and its operator stays float; if another one is not finite, the scale is infinite.

Seen in:
    Attention masks with -inf; weights of networks that diverged.

Example:
    op 41 ADD "masked": its constant "mask" contains 240 values that are not finite, including the first

Fix (safe):
    Infinity in a mask (an addend, a choice, a clip) becomes the largest float32 number, which has the same effect. NaN
    and an infinite factor cannot be fixed.
"""

from __future__ import annotations

import numpy as np

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope, float_constants
from fullint.model.ir import Op
from fullint.passes.expand_constants import MASKED
from fullint.verification.operator_checks import short


def find(op: Op, facts: Facts) -> Found | None:
    """A float constant that contains infinity or NaN, and is not merely padding in front of a maximum."""
    for i, t in float_constants(op):
        if t.sparsity is not None or (op, i) in facts.paddings:
            continue
        bad = ~np.isfinite(t.array)
        count = int(bad.sum())
        if count:
            first = bool(bad.reshape(-1)[0])
            nan = int(np.isnan(t.array).sum())
            place = "including the first" if first else "but not the first"
            cause = f'its constant "{short(t)}" contains {count} values that are not finite, {place}'
            fix = "train again: it contains NaN" if nan else "replace infinity with a large finite number"
            mend = Mend.NONE if nan or op.kind not in MASKED else None
            return Found(cause, fix, {"input": i, "not_finite": count, "nan": nan, "first": first}, mend=mend)
    return None


RULE = Rule("non-finite-constant", "error", (Scope.FLOAT,), Mend.QUANTIZE, True, __doc__, find)
