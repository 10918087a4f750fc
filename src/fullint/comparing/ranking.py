"""The operators in the order in which they deserve a look.

suspects, the more they cost the outputs the earlier more error of their own than rounding explains
those that cut values off, the farther the earlier   single errors that no rounding makes
all others, the more error they add the earlier
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from fullint.comparing.diagnosis import cause, misplaced, suspicion, suspicious
from fullint.comparing.effects import Effects
from fullint.comparing.excuses import excused_activations
from fullint.comparing.groups import OperatorGroup
from fullint.comparing.matching import Matching
from fullint.comparing.operator_run import MeasuredActivation
from fullint.comparing.report import ComparedOperator
from fullint.model.ir import Graph, Op, Tensor

FAR_OFF = 12.0
"""Times the root mean square of what rounding explains: an error that large is none of it."""
UNDONE = "what it does to its channels or constants is undone behind it"
EXPLAINED = 10
"""Operators that are no suspects, but add most error, whose error is described, too."""


def ranked(
    integer: Graph,
    groups: Sequence[OperatorGroup],
    matching: Matching,
    found: Mapping[Tensor, MeasuredActivation],
    effects: Effects,
) -> list[ComparedOperator]:
    """A row for each activation that a group gives, in the order of their ranks.

    Args:
        integer: the integer graph.
        groups: its operators.
        matching: of both graphs.
        found: what was measured of activations.
        effects: of some of the suspects.
    """
    pairs = [(g, t) for g in groups for t in g.gives if t in found]
    left = [t for _, t in suspects(groups, found) if not effects.acquits(t, by_error=not misplaced(found[t]))]
    suspected = {t: n for n, t in enumerate(left)}
    pairs.sort(key=lambda p: _key(found[p[1]], suspected.get(p[1]), effects.worst(p[1]), undone=effects.undone(p[1])))
    place = {op: i for i, op in enumerate(integer.ops)}
    places = {t: i for i, t in enumerate(integer.tensors)}
    return [
        _row(place, places, g, t, matching, found, effects, suspect=t in suspected, explained=i < EXPLAINED)
        for i, (g, t) in enumerate(pairs)
    ]


def suspects(groups: Sequence[OperatorGroup], found: Mapping[Tensor, MeasuredActivation]) -> list[tuple[OperatorGroup, Tensor]]:
    """Activations that have more error of their own than rounding explains, the most suspicious first."""
    excuses = excused_activations(groups, found)
    pairs = [(g, t, suspicious(found[t], excuses.get(t, ""))) for g in groups for t in g.gives if t in found]
    return [(g, t) for g, t, how_much in sorted(pairs, key=lambda p: -p[2]) if how_much > 0]


def _key(m: MeasuredActivation, suspected: int | None, effect: float | None, *, undone: bool) -> tuple[int, float, float]:
    if suspected is not None:
        return 0, math.inf if effect is None else effect, suspected
    if undone:
        return 2, m.sums.sqnr, 0.0
    if m.codes is not None and m.codes.saturated and m.sums.farthest > FAR_OFF:
        return 1, -m.sums.farthest, 0.0
    added = m.sums.added_sqnr
    return 2, added if added is not None else m.sums.sqnr, 0.0


def _row(
    place: Mapping[Op, int],
    places: Mapping[Tensor, int],
    group: OperatorGroup,
    t: Tensor,
    matching: Matching,
    found: Mapping[Tensor, MeasuredActivation],
    effects: Effects,
    *,
    suspect: bool,
    explained: bool,
) -> ComparedOperator:
    m, op = found[t], group.last
    s, codes = m.sums, m.codes
    grid = _grid(t)
    inherited = [found[x].sums.sqnr for x in group.takes if x in found]
    what, fix = (UNDONE, "") if effects.undone(t) else cause(m) if suspect or (explained and s.alone) else ("", "")
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
        outputs_db=_rounded(effects.worst(t)),
        cosine=round(s.cosine, 6),
        largest_error=s.largest,
        bias_shift=round(s.bias_shift, 6),
        saturated=round(codes.saturated, 6) if codes is not None else None,
        range_used=round(codes.reach, 4) if codes is not None else None,
        dead_codes=codes.dead if codes is not None else None,
        suspect=suspect,
        cause=what,
        fix=fix,
        elements=t.size,
        own_error=s.own_error(),
        tensor=places[t],
        scale=grid[0] if grid else None,
        zero_point=grid[1] if grid else None,
    )


def _grid(t: Tensor) -> tuple[float, int] | None:
    """The scale and zero point of an activation."""
    q = t.quant
    return (float(q.scale[0]), int(q.zero_point[0])) if q is not None and q.scale.size == 1 else None


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 2)
