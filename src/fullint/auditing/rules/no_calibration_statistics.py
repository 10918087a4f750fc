"""no-calibration-statistics: The file has no range for one of this operator's activations.

What it does:
    Finds float operators with an activation for which the file has no parameters: no DEQUANTIZE produces it, no
    QUANTIZE reads it.

Why it matters:
    Without a range there is no scale. Either calibration never saw the value (a branch that no sample took, an input
    that was not fed, values that were NaN), or the tool was told to leave this part in float.

Seen in:
    Networks whose first layers were left in float on purpose (lyra); branches of IF; models calibrated on one image.

Example:
    op 0 CONV_2D "features": the file has no range for its input "image"

Fix (safe):
    Ranges are derived from neighbours, from fixed output scales and from bounds; where bounds are too wide, `repair` asks
    for samples (-c).
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op
from fullint.ops import ROWS, Fixed, Raw
from fullint.verification.operator_checks import short


def find(op: Op, facts: Facts) -> Found | None:
    """An activation without parameters."""
    row = ROWS.get(op.kind)
    for what, tensors in (("input", op.inputs), ("output", op.outputs)):
        for i, t in enumerate(tensors):
            follows = what == "output" and row is not None and isinstance(row.output(i), Fixed | Raw)
            if t is None or not t.is_float or t.is_constant or follows or facts.params(t) is not None:
                continue
            cause = f'the file has no range for its {what} "{short(t)}"'
            return Found(cause, "derive the range from neighbours and bounds, or give samples (-c)", {what: i, "tensor": t.name})
    return None


RULE = Rule("no-calibration-statistics", "error", (Scope.FLOAT,), Mend.QUANTIZE, True, __doc__, find)
