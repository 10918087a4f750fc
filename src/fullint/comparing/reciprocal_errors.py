"""Factors of channels that were told wrong: what writes a channel seems too large by as much as what reads it seems too small.

    factor told:   twice the true one        writer alone: 2 times as large     reader alone (depthwise): 0.5 times as large
    true factor:   told / the writer's gain

A real error has no such counterpart. Only operators that read one channel for each result show which channel it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fullint.comparing.channel_factors import Factors
from fullint.comparing.groups import OperatorGroup
from fullint.comparing.operator_run import MeasuredActivation
from fullint.model.ir import Array, Graph, Op, Tensor
from fullint.ops import ROWS
from fullint.quantization.streams import streams

OFF, CANCEL = 0.05, 0.3
"""Gains this far from 1 count; and a writer's and a reader's cancel but for this share."""


def corrected_factors(
    exact: Graph, groups: Sequence[OperatorGroup], factors: Factors, found: Mapping[Tensor, MeasuredActivation]
) -> dict[Tensor, Array]:
    """Factors of activations that are to be measured anew, all of them; empty where none was told wrong."""
    group_of = {op: g for g in groups for op in g.exact}
    better: dict[Tensor, Array] = {}
    for stream in streams(exact):
        readers = [op for op in stream.consumers if ROWS[op.kind].depthwise]
        written = [_gain(op, group_of, found, stream.channels) for op in stream.producers]
        read = [_gain(op, group_of, found, stream.channels) for op in readers]
        if stream.tensors[0] not in factors or len(written) != 1 or len(read) != 1 or written[0] is None or read[0] is None:
            continue
        writer, reader = np.log(np.maximum(written[0], 1e-9)), np.log(np.maximum(read[0], 1e-9))
        wrong = (np.abs(writer) > OFF) & (np.abs(writer + reader) < CANCEL * np.abs(writer))
        if wrong.any():
            gain = np.where(wrong, written[0], 1.0)
            better |= {t: (factors[t] / np.tile(gain, t.shape[-1] // gain.size)).astype(np.float32) for t in stream.tensors}
    return {**factors, **better} if better else {}


def _gain(
    op: Op, group_of: Mapping[Op, OperatorGroup], found: Mapping[Tensor, MeasuredActivation], channels: int
) -> Array | None:
    """How many times too large each channel of an operator's result is when it is alone; None where that was not measured."""
    group = group_of.get(op)
    m = found.get(group.gives[0]) if group is not None else None
    if m is None or not m.sums.alone or m.sums.channels != channels:
        return None
    gain, _ = m.sums.gains()
    return gain
