"""What calibration has found: ranges, channel ranges, means; and how the findings of several runs come together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fullint.model.ir import Array, Tensor

Range = tuple[float, float]


@dataclass(frozen=True)
class Measured:
    """What calibration has found.

    Attributes:
        ranges: smallest and largest value of each of `observed_tensors`.
        row_maxima: smallest row maximum of softmax inputs, where masks make it worth knowing.
        state: largest absolute value of variable tensors.
    """

    ranges: Mapping[Tensor, Range]
    row_maxima: Mapping[Tensor, float] = field(default_factory=dict)
    state: Mapping[Tensor, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Stats:
    """What was measured.

    Attributes:
        measured: ranges, rows' maxima and states.
        channels: smallest and largest value per channel (last axis), for tensors it was asked for.
        means: channel means of the heads' outputs, [samples below `keep`, channels of all heads].
        unseen: tensors that no sample reached (a branch never taken).
    """

    measured: Measured
    channels: dict[Tensor, tuple[Array, Array]]
    means: Array
    unseen: list[Tensor] = field(default_factory=list)

    @property
    def ranges(self) -> dict[Tensor, Range]:
        """Smallest and largest value of each tensor."""
        return dict(self.measured.ranges)


def merge(found: Sequence[Stats]) -> Stats:
    """What several graphs' samples have shown; a tensor that two of them see has the wider range."""
    first = found[0]
    ranges: dict[Tensor, Range] = {}
    for stats in found:
        for t, (low, high) in stats.ranges.items():
            known = ranges.get(t, (low, high))
            ranges[t] = min(low, known[0]), max(high, known[1])
    rows = {t: v for s in found for t, v in s.measured.row_maxima.items()}
    state = {t: v for s in found for t, v in s.measured.state.items()}
    channels = {t: c for s in reversed(found) for t, c in s.channels.items()}
    return Stats(Measured(ranges, rows, state), channels, first.means, [t for s in found for t in s.unseen])
