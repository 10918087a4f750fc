"""Operators that differ from the float model by more than rounding, and are sound: quantizers do such things on purpose.

compensates   in the run it is nearer to the float model than alone: its bias takes back what the operators before it do
heals         it is far off, and all that read it are near: it stands for something else now, such as a sum without its constant,
              or channels of another size, and its readers know; or it is cut off where a SOFTMAX makes nothing of it
accumulates   a loop or a recurrent cell rounds its state step after step, which one run of the float model does not show
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fullint.comparing.groups import OperatorGroup
from fullint.comparing.operator_run import MeasuredActivation
from fullint.model.ir import Tensor
from fullint.ops import ROWS, traits_of

BETTER_DB = 1.5
"""By so much an activation is nearer in the run than alone, where it compensates."""
FAR_DB, HEALED_DB = 15.0, 15.0
"""An activation with less than this, all of whose readers have so much more."""
CUT_DB = 5.0
"""The same where it has not less, and a SOFTMAX reads it."""


def excused_activations(groups: Sequence[OperatorGroup], found: Mapping[Tensor, MeasuredActivation]) -> dict[Tensor, str]:
    """Activations whose difference is no sign of damage, and why."""
    readers: dict[Tensor, list[float]] = {}
    ends: dict[Tensor, bool] = {}
    for group in reversed(groups):
        best = [found[t].sums.sqnr for t in group.gives if t in found][:1]
        if all(traits_of(op.kind).moves for op in group.ops):  # the same values: who reads those counts
            best = [db for t in group.gives for db in readers.get(t, best)]
        softmax = any(traits_of(op.kind).softmax for op in group.ops)
        for t in group.takes:
            readers.setdefault(t, []).extend(best)
            ends[t] = ends.get(t, True) and softmax
    excuses = {}
    for group in groups:
        for t in group.gives:
            if t in found and (why := _excuse(group, found[t], readers.get(t, []), in_rows=ends.get(t, False))):
                excuses[t] = why
    return excuses


def _excuse(group: OperatorGroup, m: MeasuredActivation, readers: Sequence[float], *, in_rows: bool) -> str:
    added, run = m.sums.added_sqnr, m.sums.sqnr
    if any(any(op.subgraphs()) or ((row := ROWS.get(op.kind)) is not None and row.derive is not None) for op in group.ops):
        return "accumulates"
    if added is not None and run > added + BETTER_DB:
        return "compensates"
    margin = HEALED_DB if run < FAR_DB else CUT_DB if in_rows else None
    if readers and margin is not None and min(readers) > run + margin:
        return "heals"
    return ""
