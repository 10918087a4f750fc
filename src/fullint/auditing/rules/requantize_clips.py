"""requantize-clips: A QUANTIZE cuts off much of what it converts.

What it does:
    Finds each QUANTIZE from integer to integer whose target range holds much less than its source range, unless its
    readers cannot tell what is cut off (a LOGISTIC beyond 8, a comparison). From half the range on, it is an error; from a
    tenth on, a warning. Where the source shares its scale with other values, its own range is not known, and only samples
    (`audit -c`) can show the loss.

Why it matters:
    Everything beyond the target's ends becomes its end. The file is integer, runs, and is wrong for large values.

Seen in:
    Scales edited by hand or by scripts; calibration of two parts of a network on different data. Fake quantization of a
    narrower range asks for such a clip on purpose.

Example:
    op 2 QUANTIZE "req": from [0, 6.97] to [0, 1.74]: it cuts off 75 % of the range

Fix (unsafe):
    The QUANTIZE is removed, and its readers read its source. This changes the model's results, which is the point:
    `repair` does it with --unsafe-fixes, and the samples of -c judge the result.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op, Tensor
from fullint.model.numerics import as_activation, representable
from fullint.model.ranges import Range
from fullint.ops import ROWS, Observed, Role, traits_of
from fullint.ops.base import codes
from fullint.verification.operator_checks import show

WARN_CUT, ERROR_CUT = 0.1, 0.5
SHOWN_SHARE = 0.01
"""Of the values: less, on samples, is a warning."""
SOFTMAX_REACH = 16.0


def find(op: Op, facts: Facts) -> Found | None:
    """A QUANTIZE between integers that cuts off a tenth of its source's range or more."""
    x = op.input(0)
    if op.kind != "QUANTIZE" or x is None or not codes(x) or not op.outputs:
        return None
    y = op.outputs[0]
    given, wanted = as_activation(x), as_activation(y)
    if given is None or wanted is None or x.quant is None or y.quant is None:
        return None
    source, target = representable(*given), representable(*wanted)
    if not source.width > 0:
        return None  # a scale of 0
    if given[1] == "int16" and target.largest >= source.largest * (1 - WARN_CUT):
        return None  # its zero point is 0, so only the larger side of its range is its own
    low = 0.0 if _unseen(y, target, facts, low=True) else max(min(target.low, source.high) - source.low, 0.0)
    high = 0.0 if _unseen(y, target, facts, low=False) else max(source.high - max(target.high, source.low), 0.0)
    step = float(wanted[0].scale[0])
    cut = sum(part for part in (low, high) if part > step) / source.width  # less is rounding
    if cut < WARN_CUT or not _shown(op, x, y, facts):
        return None
    evidence = {"from": show(x.quant), "to": show(y.quant), "cut": round(cut, 4)}
    cause = f"from {source} to {target}: it cuts off {100 * cut:.0f} % of the range"
    seen = facts.saturation.get(y) if facts.saturation is not None else None
    if seen is not None:
        evidence["share"] = round(seen.share, 4)
        cause += f", and {100 * seen.share:.2g} % of the values"
    certain = cut >= ERROR_CUT and (seen is None or seen.share >= SHOWN_SHARE)
    return Found(cause, "remove it: its readers read its source", evidence, None if certain else "warning")


def _shown(op: Op, x: Tensor, y: Tensor, facts: Facts) -> bool:
    """Whether values are known to lie where it cuts: as samples show, or because the range is the source's own."""
    if facts.saturation is not None:
        found = facts.saturation.get(y)
        return found is not None and found.share > 0
    made = facts.uses.producer.get(x)
    row = ROWS.get(made.kind) if made is not None else None
    own = made is None or (row is not None and isinstance(row.output(0), Observed))
    joined = any(
        reader is not op and (r := ROWS.get(reader.kind)) is not None and r.role(i) is Role.SAME for reader, i in facts.uses.of(x)
    )
    return own and not joined


def _unseen(y: Tensor, target: Range, facts: Facts, *, low: bool) -> bool:
    """Whether no reader can tell what lies beyond one end."""
    readers = facts.uses.of(y)
    return bool(readers) and y not in facts.uses.outputs and all(_blind(op, target, low=low) for op, _ in readers)


def _blind(op: Op, target: Range, *, low: bool) -> bool:
    row, traits = ROWS.get(op.kind), traits_of(op.kind)
    if traits.compares or (row is not None and row.converts_types):  # a comparison has its own range; so have look-ups
        return True
    if traits.selects and any(t is not None and t.is_constant for t in op.inputs):
        return True
    if traits.softmax:
        return low and target.low <= target.high - SOFTMAX_REACH
    most = row.saturates if row is not None else None
    return most is not None and (target.low <= -most if low else target.high >= most)


RULE = Rule("requantize-clips", "error", (Scope.INTEGER,), Mend.LIFT, False, __doc__, find)
