"""Samples parted into those that calibrate and those held back for the certificate.

known number     the first nine tenths calibrate, the rest of the stream is held back
unknown          those that may be held back wait until the stream ends
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
    """What is left of some samples for the certificate, once the others have calibrated.

    Attributes:
        samples: those that judge; they may be read once.
        calibrated: how many calibrated.
        total: how many there are altogether.
        held_back: whether those that judge took no part in calibration.
        drawn: whether they were drawn from what the inputs can hold, and nobody gave them.
        last: one of them all, to look for the worst operators with.
    """

    samples: Iterable[list[Array]]
    calibrated: int = 0
    total: int = 0
    held_back: bool = True
    drawn: bool = False
    last: list[Array] | None = None


def split(samples: Samples, calibrate: Callable[[int, list[Array]], None]) -> Held:
    """Hand the samples that calibrate to `calibrate`, one by one with their numbers, and return the others.

    The last tenth, 1 to 64 of them, is held back; under ten samples all serve both ends.
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
    """Only the end of the stream tells how many there are: those that may be held back wait."""
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
        raise SamplesError("the set of samples is empty")
    if total >= HELD_BACK_FROM:
        return Held(list(waiting), calibrated, total, last=last)
    for index, sample in enumerate(waiting):
        calibrate(index, sample)
    return Held(list(waiting), total, total, held_back=False, last=last)


def _held_back(count: int) -> int:
    return max(1, min(HELD_BACK_MOST, count // HELD_BACK_SHARE))
