"""Samples read otherwise: the float model run on a few of them, scaled or exchanged, where its answers look wrong.

    values 255 times too large     f(x / 255) still tells the samples apart, as the network does on what it was trained on
    inputs exchanged               f(b, a) depends on both, f(a, b) on one of them only

A network answers to what it was trained on. Far below that, its biases drown the input, and it answers the same to everything;
far above, nothing changes with the scale. Between the two lies the scale it was made for.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fullint.calibration.signatures import Entry
from fullint.errors import RuntimeFailure
from fullint.model.ir import Array, Graph, Tensor, Uses
from fullint.ops import ROWS, traits_of
from fullint.quantization.workbench import Workbench
from fullint.runtime.messages import Open, Run
from fullint.verification.answers import Answers, class_scores

TRIED = 24
"""Samples that are run for each reading."""
STEP = 255.0
TOO_LARGE = 16.0
"""Values below this are not taken to be `STEP` times too large."""
IDLE, ACTIVE = 0.02, 0.1
"""An input has no influence on the outputs below one share of their size, and some above the other."""
TELLS, DEAD = 0.15, 0.03
"""An output that moves by this share of its size from sample to sample tells samples apart; by that, it does not."""

ReadAs = Callable[[Sequence[Array]], list[Array]]
"""A sample as it was given -> as it is read otherwise."""


@dataclass(frozen=True)
class Heard:
    """What the float model answers to samples read in some way.

    Attributes:
        moves: of the output that moves most.
        classes: how many classes the output with class scores answers; 0 where there is none.
        right: share of right answers, where labels are known.
    """

    moves: float
    classes: int
    right: float | None = None

    @property
    def tells(self) -> bool:
        """Whether the answers tell the samples apart."""
        return self.moves >= TELLS and self.classes != 1


def hear(
    bench: Workbench, entry: Entry, samples: Sequence[Sequence[Array]], reading: ReadAs, labels: Sequence[Array] | None = None
) -> Heard | None:
    """The float model's answers to some samples, or None where it does not run on them."""
    outputs = _outputs(bench, entry, [reading(sample) for sample in samples])
    if outputs is None:
        return None
    answers = [Answers.of(t) for t in entry.outputs]
    for values in outputs:
        for a, value in zip(answers, values, strict=True):
            a.add(value, value)
    return heard(answers, labels)


def heard(answers: Sequence[Answers], labels: Sequence[Array] | None = None) -> Heard:
    """What answers say of the samples."""
    scores = class_scores(answers, labels)
    moves = max((a.moves for a in answers if a.moves is not None), default=0.0)
    if scores is None:
        return Heard(moves, 0)
    right = scores.right(labels) if labels is not None else None
    chosen = np.bincount(np.concatenate(scores.reference))  # np.unique imports much that is not needed
    return Heard(moves, int((chosen > 0).sum()), right)


def as_given(sample: Sequence[Array]) -> list[Array]:
    """A sample as it was given."""
    return list(sample)


def scaled(index: int, factor: float) -> ReadAs:
    """One input times a factor."""

    def read(sample: Sequence[Array]) -> list[Array]:
        return [(a * np.float32(factor)).astype(a.dtype) if i == index else a for i, a in enumerate(sample)]

    return read


def exchanged(one: int, other: int) -> ReadAs:
    """Two inputs in each other's place."""

    def read(sample: Sequence[Array]) -> list[Array]:
        found = list(sample)
        found[one], found[other] = sample[other], sample[one]
        return found

    return read


def alike_inputs(inputs: Sequence[Tensor]) -> Iterator[tuple[int, int]]:
    """Pairs of inputs that take each other's values."""
    for (i, a), (k, b) in itertools.combinations(enumerate(inputs), 2):
        if (a.shape, a.dtype) == (b.shape, b.dtype):
            yield i, k


def least_influence(
    bench: Workbench, entry: Entry, samples: Sequence[Sequence[Array]], inputs: tuple[int, int], reading: ReadAs
) -> float | None:
    """How much the outputs change if one of two inputs comes from the next sample: the smaller of both, as a share of their size.

    None where the model does not run. An input far too small for its weights has no influence beside one that is far too large.
    """
    read = [reading(sample) for sample in samples]
    whole = _outputs(bench, entry, read)
    if whole is None:
        return None
    size = sum(float(np.abs(a).sum()) for outputs in whole for a in outputs if a.dtype.kind == "f")
    found = []
    for index in inputs:
        moved = [[*s[:index], read[k - 1][index], *s[index + 1 :]] for k, s in enumerate(read)]
        others = _outputs(bench, entry, moved)
        if others is None:
            return None
        pairs = ((a, b) for x, y in zip(whole, others, strict=True) for a, b in zip(x, y, strict=True))
        apart = sum(float(np.abs(a - b).sum()) for a, b in pairs if a.dtype.kind == "f")
        found.append(apart / max(size, 1e-30))
    return min(found)


def _outputs(bench: Workbench, entry: Entry, samples: Sequence[Sequence[Array]]) -> list[list[Array]] | None:
    """The outputs of some samples; None where the model does not run on one, or gives no numbers."""
    found = []
    try:
        bench.worker.call(Open(entry.path, "xnnpack", 1, [a.shape for a in samples[0]]))
        for sample in samples:
            outputs = bench.worker.call(Run(list(sample)))
            if not all(np.isfinite(a).all() for a in outputs if a.dtype.kind == "f"):
                return None
            found.append(outputs)
    except RuntimeFailure:
        return None
    return found


def too_large(bench: Workbench, entry: Entry, samples: Sequence[Sequence[Array]], index: int, now: Heard) -> int | None:
    """How many times over an input is `STEP` times larger than what the network answers to; None where it is not."""
    found = None
    for power in (1, 2, 3, 4):
        one = hear(bench, entry, samples, scaled(index, STEP**-power))
        if one is None or not one.tells or one.moves < 0.5 * min(now.moves, 1.0):
            return found
        found = power
    return None  # a network without biases: the scale is nothing to it


def feels_scale(graph: Graph, t: Tensor) -> bool:
    """Whether an input reaches weights through nothing that takes its scale away, such as a normalization."""
    uses = Uses(graph)
    waiting, seen = [t], set[Tensor]()
    while waiting:
        x = waiting.pop()
        seen.add(x)
        for op, _ in uses.of(x):
            row, traits = ROWS.get(op.kind), traits_of(op.kind)
            if row is not None and row.weight is not None:
                continue
            if not (traits.moves or traits.element_wise) or any(o in uses.outputs for o in op.outputs):
                return False
            waiting += [o for o in op.outputs if o not in seen]
    return bool(uses.of(t))
