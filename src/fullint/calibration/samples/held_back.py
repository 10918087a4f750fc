"""Samples split into those that calibrate and those held back for the certificate.

number known     the first nine tenths calibrate, the rest of the stream is held back
number unknown   samples that may be held back are buffered until the stream ends
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from fullint.calibration.samples.stream import Samples
from fullint.errors import SamplesError
from fullint.model.ir import Array

HELD_BACK_SHARE, HELD_BACK_MOST, HELD_BACK_FROM = 10, 64, 10


@dataclass(frozen=True)
class Held:
    """The samples for the certificate, after the others have calibrated.

    Attributes:
        samples: the samples to compare on, arrays in graph input order; they can be read once only.
        calibrated: number of samples that calibrated.
        total: number of all samples.
        held_back: whether `samples` took no part in calibration.
        drawn: whether `samples` are random because none were given.
        last: one sample, for finding the operators that lose most accuracy.
    """

    samples: Iterable[list[Array]]
    calibrated: int = 0
    total: int = 0
    held_back: bool = True
    drawn: bool = False
    last: list[Array] | None = None


def split(samples: Samples, calibrate: Callable[[int, list[Array]], None]) -> Held:
    """Call `calibrate` with (index, sample) for each calibration sample, and return the others.

    The last tenth, 1 to 64 samples, is held back. With fewer than ten samples, all of them calibrate and judge.
    """
    stream = iter(samples)
    if samples.count is None or samples.count < HELD_BACK_FROM:
        return _split_unknown(stream, calibrate)
    last: list[Array] | None = None
    calibrated = 0
    for sample in itertools.islice(stream, samples.count - _held_back(samples.count)):
        calibrate(calibrated, sample)
        calibrated, last = calibrated + 1, sample
    return Held(stream, calibrated, samples.count, last=last)


def _split_unknown(stream: Iterator[list[Array]], calibrate: Callable[[int, list[Array]], None]) -> Held:
    """`split` for a stream of unknown length, which buffers the samples that may be held back."""
    waiting: deque[list[Array]] = deque()
    last: list[Array] | None = None
    calibrated = total = 0
    for sample in stream:
        total, last = total + 1, sample
        waiting.append(sample)
        while total >= HELD_BACK_FROM and len(waiting) > _held_back(total):
            calibrate(calibrated, waiting.popleft())
            calibrated += 1
    if total == 0:
        raise SamplesError("there are no samples: give at least one")
    if total >= HELD_BACK_FROM:
        return Held(list(waiting), calibrated, total, last=last)
    for index, sample in enumerate(waiting):
        calibrate(index, sample)
    return Held(list(waiting), total, total, held_back=False, last=last)


def _held_back(count: int) -> int:
    return max(1, min(HELD_BACK_MOST, count // HELD_BACK_SHARE))
