"""Room in ranges for values that lie farther out than those of the samples.

    largest value of  half of the samples   all of them   after that
                          5.0                   5.5          6.0      where twice as many may come to

New samples reach farther than n known ones, by about as much as these reach farther than half of them (`Outermost.growth`):

    end' = end (1 + min(growth, MOST_ROOM) min(1, sqrt(ALL_ROOM / n)))

Room costs every sample a finer step, and helps the few that need it; with many samples these are rarer than what has been seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from fullint.model.ir import Model, Tensor
from fullint.model.ranges import Range
from fullint.ops import ROWS, Fixed
from fullint.ops.make import CLAMPS
from fullint.quantization.stage_values import Calibrated

MOST_ROOM = 0.25
"""A sample far outside of all others does not tell how far the next ones reach."""
ALL_ROOM = 32
"""Measured on ten networks: with 20 samples, all of the growth gives 0.3 to 2 dB; with 200, half of it does no harm anywhere."""


def with_room(calibrated: Calibrated, ranges: Mapping[Tensor, Range]) -> dict[Tensor, Range]:
    """Ranges with room for new samples; no end passes a clip of the operator that makes the value.

    Args:
        calibrated: how far values have grown.
        ranges: those to make wider.
    """
    found, left, clips = dict(ranges), {*calibrated.narrowed, *_without_room(calibrated.model)}, _clips(calibrated.model)
    share = min(1.0, math.sqrt(ALL_ROOM / max(calibrated.channels.count * calibrated.form.trust, 1)))
    for t, (low, high) in calibrated.growth.items():
        if t in left or t not in found:
            continue
        (start, end), (first, last) = found[t], clips.get(t, (-math.inf, math.inf))
        if start < 0:
            start = min(start, max(first, start * (1 + share * min(low, MOST_ROOM))))
        if end > 0:
            end = max(end, min(last, end * (1 + share * min(high, MOST_ROOM))))
        found[t] = Range(start, end)
    return found


def _without_room(model: Model) -> set[Tensor]:
    """Values that get none.

    Inputs show what they can hold; far values that a reader saturates (LOGISTIC) are alike; and what goes round in loops and
    cells grows from step to step, not only from sample to sample.
    """
    graph = model.main
    saturated = {t for op in graph.ops if op.kind in ROWS and isinstance(ROWS[op.kind].output(0), Fixed) for t in op.values()}
    going_round = {t for op in graph.ops if any(op.subgraphs()) or any(x.is_variable for x in op.operands()) for t in op.outputs}
    inside = {t for other in model.graphs if other is not graph for t in other.tensors}
    return {*graph.inputs, *saturated, *going_round, *inside}


def _clips(model: Model) -> dict[Tensor, tuple[float, float]]:
    """Ends that a fused activation sets."""
    kinds = ((op, CLAMPS.get(op.options.get("fused_activation_function", 0))) for op in model.main.ops)
    return {t: ends for op, ends in kinds if ends is not None for t in op.outputs}
