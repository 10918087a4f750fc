"""The figures of one output, of what was judged of it, and the interval that the mean over outputs lies in."""

from __future__ import annotations

from collections.abc import Iterable

from fullint.model.ir import Tensor
from fullint.verification.judged_parts import JudgedOutput
from fullint.verification.metrics import Score
from fullint.verification.report import OutputQuality


def quality(t: Tensor, s: Score, judged: JudgedOutput, alone: Score) -> OutputQuality:
    """One output's figures; calibrated samples lie in the ranges, so that its interval begins where those held back say."""
    as_set = judged.parts.ranked is not None
    if s.elements:
        return OutputQuality(t.name, equal=s.equal / s.elements, as_set=as_set)
    top1 = s.agree / s.rows if s.rows else None
    step = float(t.quant.scale[0]) if t.quant is not None and t.quant.scale.size == 1 else None
    span = s.interval
    if span is not None and alone.interval is not None:
        span = (min(span[0], alone.interval[0]), span[1])
    figures = (s.sqnr, _rounded(span), s.limit, s.largest, top1)
    ends = {"low": s.low, "high": s.high} if s.values else {}
    more = {"values": s.values, "size": t.size, **ends}
    return OutputQuality(t.name, *figures, step=step, parts=judged.qualities(), as_set=as_set, **more)  # type: ignore[arg-type]


def _rounded(ends: tuple[float, float] | None) -> tuple[float, float] | None:
    return None if ends is None else (round(ends[0], 2), round(ends[1], 2))


def mean_interval(outputs: Iterable[OutputQuality]) -> tuple[float, float] | None:
    """The mean of the outputs' intervals; None where one of them is not known."""
    known = [o.interval_db for o in outputs if o.sqnr_db is not None]
    if not known or any(ends is None for ends in known):
        return None
    low, high = (sum(ends[side] for ends in known if ends is not None) / len(known) for side in (0, 1))
    return round(low, 2), round(high, 2)
