"""The operators in the order in which they deserve a look.

suspects, the more suspicious the earlier            more error of their own than rounding explains
those that cut values off, the farther the earlier   single errors that no rounding makes
all others, the more error they add the earlier
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from fullint.comparing.diagnosis import cause, suspicion, suspicious
from fullint.comparing.excuses import excused_activations
from fullint.comparing.groups import OperatorGroup
from fullint.comparing.matching import Matching
from fullint.comparing.operator_run import MeasuredActivation
from fullint.comparing.report import ComparedOperator
from fullint.model.ir import Graph, Op, Tensor

FAR_OFF = 12.0
"""Times the root mean square of what rounding explains: an error that large is none of it."""
EXPLAINED = 10
"""Operators that are no suspects, but add most error, whose error is described, too."""


def ranked(
    integer: Graph, groups: Sequence[OperatorGroup], matching: Matching, found: Mapping[Tensor, MeasuredActivation]
) -> list[ComparedOperator]:
    """A row for each activation that a group gives, in the order of their ranks."""
    pairs = [(g, t) for g in groups for t in g.gives if t in found]
    excuses = excused_activations(groups, found)
    how_much = {t: suspicious(found[t], excuses.get(t, "")) for _, t in pairs}
    pairs.sort(key=lambda p: _key(found[p[1]], how_much[p[1]]))
    place = {op: i for i, op in enumerate(integer.ops)}
    return [
        _row(place, g, t, matching, found, suspect=how_much[t] > 0, explained=i < EXPLAINED) for i, (g, t) in enumerate(pairs)
    ]


def _key(m: MeasuredActivation, how_much: float) -> tuple[int, float]:
    if how_much > 0:
        return 0, -how_much
    if m.codes is not None and m.codes.saturated and m.sums.farthest > FAR_OFF:
        return 1, -m.sums.farthest
    added = m.sums.added_sqnr
    return 2, added if added is not None else m.sums.sqnr


def _row(
    place: Mapping[Op, int],
    group: OperatorGroup,
    t: Tensor,
    matching: Matching,
    found: Mapping[Tensor, MeasuredActivation],
    *,
    suspect: bool,
    explained: bool,
) -> ComparedOperator:
    m, op = found[t], group.last
    s, codes = m.sums, m.codes
    inherited = [found[x].sums.sqnr for x in group.takes if x in found]
    what, fix = cause(m) if suspect or (explained and s.alone) else ("", "")
    return ComparedOperator(
        index=place[op],
        kind=op.kind,
        output=t.name,
        operators=len(group.ops),
        exact=tuple(o.kind for o in group.exact),
        exact_output=matching.exact[t].name,
        matched_by=matching.how[t],
        sqnr_db=round(s.sqnr, 2),
        added_db=_rounded(s.added_sqnr),
        inherited_db=_rounded(min(inherited, default=None)),
        excess_db=_rounded(suspicion(s)),
        cosine=round(s.cosine, 6),
        largest_error=s.largest,
        bias_shift=round(s.bias_shift, 6),
        saturated=round(codes.saturated, 6) if codes is not None else None,
        range_used=round(codes.reach, 4) if codes is not None else None,
        dead_codes=codes.dead if codes is not None else None,
        suspect=suspect,
        cause=what,
        fix=fix,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 2)
