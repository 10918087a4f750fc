"""non-finite-constant: A constant of a float operator holds infinity or NaN.

What it does:
    Finds float operators one of whose constants is not finite somewhere.

Why it matters:
    Such a constant has no scale. TensorFlow's converter looks at the first element only: not finite there, and the
    constant gets no parameters, so that its operator stays float; not finite elsewhere, and the scale is infinite.

Seen in:
    Attention masks with -inf; weights of networks that diverged.

Example:
    op 41 ADD "masked": its constant "mask" holds 240 values that are not finite, the first one among them

Fix (safe):
    Infinity in a mask (a term, a choice, a clip) becomes the largest float32 number, which masks as well. NaN and an
    infinite factor have no fix.
"""

from __future__ import annotations

import numpy as np

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope, float_constants
from fullint.model.ir import Op
from fullint.passes.expand_constants import MASKED
from fullint.verification.operator_checks import short


def find(op: Op, facts: Facts) -> Found | None:
    """A float constant with a value that is not finite."""
    for i, t in float_constants(op):
        if t.sparsity is not None:
            continue
        bad = ~np.isfinite(t.array)
        count = int(bad.sum())
        if count:
            first = bool(bad.reshape(-1)[0])
            nan = int(np.isnan(t.array).sum())
            place = "the first one among them" if first else "not the first one"
            cause = f'its constant "{short(t)}" holds {count} values that are not finite, {place}'
            fix = "train again: it holds NaN" if nan else "replace infinity by a large finite number"
            mend = Mend.NONE if nan or op.kind not in MASKED else None
            return Found(cause, fix, {"input": i, "not_finite": count, "nan": nan, "first": first}, mend=mend)
    return None


RULE = Rule("non-finite-constant", "error", (Scope.FLOAT,), Mend.QUANTIZE, True, __doc__, find)
