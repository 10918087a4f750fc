"""operand-wiped-out: An operand has a handful of codes left on the scale that it has to share.

What it does:
    Finds values that an operator puts on a scale far too coarse for them: a QUANTIZE that leaves fewer than 4 codes; an
    operand of a CONCATENATION or PACK, or a column of an output, that a convolution or FULLY_CONNECTED can move by a few
    steps only, whatever its input. Fewer than 2 are an error where they reach an output, a warning elsewhere.

Why it matters:
    CONCATENATION, PACK, MAXIMUM and the like need one scale for all operands, and an output has one scale for all columns.
    Box coordinates up to 640 beside scores up to 1 leave the scores one code: the file runs, and every score is the same.

Seen in:
    Detectors whose output joins boxes and scores; regression of quantities of different units in one output.

Example:
    op 27 QUANTIZE "scores": from scale 0.00391 to scale 4.18: it leaves 1 code of 256, for op 28 CONCATENATION

Fix (none):
    Quantize the float model again with --split-outputs, or let the operator compute in 16 bits (--int16) or in float
    (--keep-float); `quantize` tries these and says what each gives.
"""

from __future__ import annotations

import numpy as np

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope, name_of
from fullint.model.ir import Array, Op, Tensor
from fullint.model.numerics import as_activation, representable
from fullint.ops import ROWS, traits_of
from fullint.ops.base import CONVERSIONS, codes
from fullint.ops.operands import plain, weighted
from fullint.verification.operator_checks import short, show

ERROR_STEPS, WARN_STEPS = 2.0, 4.0
"""Values spread over one step have a spread of 0 dB, over two of 6 dB; those over the whole range of a scale are few."""
LEAST_STEPS, MOVING_STEPS = 1.0, 64.0
"""A column that can move by less than one step, beside one that can move by this many, is wiped out."""
DEAD_COLUMN = 1e-6
"""Beside the widest column: what can move less is dead in the float model, too."""
_FIX = "quantize the float model again with --split-outputs, --int16 or --keep-float"


def find(op: Op, facts: Facts) -> Found | None:
    """An operand, or a column of an output, with a few codes on its scale."""
    if op.kind == "QUANTIZE":
        return _requantized(op, facts)
    return _joined(op, facts) if traits_of(op.kind).joins else _columns(op, facts)


def _requantized(op: Op, facts: Facts) -> Found | None:
    x = op.input(0)
    given, wanted = as_activation(x) if x is not None else None, as_activation(op.outputs[0])
    made = facts.uses.producer.get(x) if x is not None else None
    whole = made is not None and (row := ROWS.get(made.kind)) is not None and row.converts_types
    readers = [reader for reader, _ in facts.uses.of(op.outputs[0])]
    if given is None or wanted is None or whole or (readers and all(traits_of(r.kind).compares for r in readers)):
        return None
    left = representable(*given).width / float(wanted[0].scale[0])
    if left >= WARN_STEPS:
        return None
    for_whom = f", for {name_of(readers[0])}" if readers else ""
    count = f"{max(round(left), 1)} code{'' if round(left) <= 1 else 's'}"
    scales = f"from scale {float(given[0].scale[0]):.3g} to scale {float(wanted[0].scale[0]):.3g}"
    cause = f"{scales}: it leaves {count} of 256{for_whom}"
    evidence = {"from": show(given[0]), "to": show(wanted[0]), "codes": round(left, 2)}
    shown = left < ERROR_STEPS and _reaches_output(op.outputs[0], facts)
    return Found(cause, _FIX, evidence, None if shown else "warning")


def _joined(op: Op, facts: Facts) -> Found | None:
    """An operand that its own operator writes on the shared scale, and can hardly move."""
    for t in op.inputs:
        steps = _possible_steps(facts.uses.producer.get(t)) if t is not None else None
        if t is not None and steps is not None and 0 < float(steps.max()) < WARN_STEPS:
            most = float(steps.max())
            cause = f'its operand "{short(t)}" can move by {most:.2g} steps of the shared {plain(t)} at most'
            level = None if most < ERROR_STEPS and _reaches_output(op.outputs[0], facts) else "warning"
            return Found(cause, _FIX, {"operand": t.name, "steps": round(most, 3)}, level)
    return None


def _columns(op: Op, facts: Facts) -> Found | None:
    """Columns of an output that can move by less than a step, beside others that can move."""
    steps = _possible_steps(op) if op.outputs and _reaches_output(op.outputs[0], facts) else None
    if steps is None or float(steps.max()) < MOVING_STEPS:
        return None
    lost = [int(i) for i in np.flatnonzero((steps < LEAST_STEPS) & (steps > DEAD_COLUMN * steps.max()))]
    if not lost:
        return None
    named = ", ".join(map(str, lost[:4])) + (f" and {len(lost) - 4} more" if len(lost) > 4 else "")
    most = float(steps[lost].max())
    cause = f"column {named} of its output can move by {most:.2g} steps at most, others by {float(steps.max()):.0f}"
    return Found(cause, _FIX, {"columns": lost[:64], "steps": round(most, 4)})


def _reaches_output(t: Tensor, facts: Facts) -> bool:
    """Whether a tensor, converted, joined or moved, is an output or part of one."""
    waiting, seen = [t], {t}
    while waiting:
        now = waiting.pop()
        if now in facts.uses.outputs:
            return True
        readers = [op for op, _ in facts.uses.of(now) if op.kind in CONVERSIONS or traits_of(op.kind).moves]
        further = [out for op in readers for out in op.outputs if out not in seen]
        seen.update(further)
        waiting += further
    return False


def _possible_steps(op: Op | None) -> Array | None:
    """By how many steps each channel of an operator's result can move: (sum w+ - sum w-) x's width / s_out."""
    found = weighted(op) if op is not None and op.outputs else None
    if op is None or found is None:
        return None
    row, x, w, _ = found
    given, out = as_activation(x), plain(op.outputs[0])
    readable = w.buffer is not None and w.dtype == "int8" and w.sparsity is None and codes(w)
    if given is None or out is None or not readable or w.quant is None or row.axis is None:
        return None
    others = tuple(i for i in range(len(w.shape)) if i != row.axis)
    points = w.quant.zero_point if w.quant.zero_point.size == 1 else 0
    if w.quant.scale.size not in (1, w.shape[row.axis]):
        return None
    sums = np.abs(w.array.astype(np.float64) - points).sum(axis=others) * w.quant.scale
    steps: Array = sums * representable(*given).width / float(out.scale[0])
    return steps


RULE = Rule("operand-wiped-out", "error", (Scope.INTEGER,), Mend.NONE, True, __doc__, find, bearable=True)
