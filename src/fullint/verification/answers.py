"""What two models answer on the same samples, output by output: the classes they choose, and how far the reference moves.

output [1, 10]    class scores: the index of the largest          3 7 1 1 ...   against   3 7 1 4 ...
output [1, 1]     between 0 and 1: a yes or no                    0 1 1 0 ...
any output        moves = mean over elements of the deviation over samples / mean of the size
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fullint.errors import SamplesError
from fullint.model.ir import Array, Tensor
from fullint.model.numerics import RANGES
from fullint.verification.report import Accuracy

MOST_CLASSES, MOST_ROWS = 100_000, 4096
NEAR_ONE = 0.02
SATURATED_SHARE = 0.02
"""Of the values of a tensor: so many at the ends of its range are too many."""
MOST_ELEMENTS = 4096
"""Elements of an output that are looked at for how far it moves."""


@dataclass(eq=False)
class Answers:
    """One output's answers, accumulated sample by sample.

    Attributes:
        classes: how many there are; 0 where the output is no class scores.
        reference, result: for each sample, the classes of its rows, int64.
        count: number of samples.
        at_ends, codes: number of the result's codes that are the smallest or largest of their type, and of all.
        probabilities: whether the reference gives shares of one in each row: surely class scores, which landmarks are not.
    """

    name: str
    classes: int
    reference: list[Array] = field(default_factory=list)
    result: list[Array] = field(default_factory=list)
    count: int = 0
    at_ends: int = 0
    codes: int = 0
    probabilities: bool = True
    _sums: Array | None = None
    _squares: Array | None = None
    _sizes: float = 0.0

    @classmethod
    def of(cls, t: Tensor) -> Answers:
        """Before the first sample."""
        rows = t.shape[0] if t.shape else 1
        return cls(t.name, t.shape[-1] if len(t.shape) == 2 and t.shape[-1] <= MOST_CLASSES and rows <= MOST_ROWS else 0)

    def add(self, reference: Array, output: Array, codes: Array | None = None) -> None:
        """Take in one sample, in real values; and the result's codes, where it has some."""
        self.count += 1
        if codes is not None and codes.dtype.name in RANGES:
            low, high = RANGES[codes.dtype.name]
            self.at_ends += int(np.sum(codes == low) + np.sum(codes == high))
            self.codes += codes.size
        if reference.dtype.kind != "f" or not reference.size:
            return
        if self.classes:
            self.probabilities &= _shares(reference.reshape(-1, reference.shape[-1]))
            self.reference.append(self._chosen(reference))
            self.result.append(self._chosen(output))
        flat = reference.reshape(-1)
        some = flat[:: max(1, flat.size // MOST_ELEMENTS)].astype(np.float64)
        self._sums = some if self._sums is None else self._sums + some
        squares = np.square(some)
        self._squares = squares if self._squares is None else self._squares + squares
        self._sizes += float(np.abs(some).mean())

    def _chosen(self, value: Array) -> Array:
        rows = value.reshape(-1, value.shape[-1])
        found: Array = rows.argmax(axis=1) if self.classes > 1 else (rows[:, 0] > 0.5).astype(np.int64)
        return found

    @property
    def moves(self) -> float | None:
        """How far the reference moves from sample to sample, as a share of its size; None where that is not known."""
        if self._sums is None or self._squares is None or self.count < 2 or self._sizes == 0:
            return None
        variance = np.maximum(self._squares / self.count - np.square(self._sums / self.count), 0)
        return float(np.sqrt(variance).mean() / (self._sizes / self.count))

    def right(self, labels: Sequence[Array]) -> float:
        """Share of the reference's answers that labels, of each sample, agree with."""
        chosen, right = beside_labels(self.reference, labels)
        return float(np.mean(chosen == right)) if chosen.size else 0.0

    @property
    def most_frequent(self) -> tuple[int, int, int] | None:
        """(class that the reference chooses most often, how often, of how many rows); None where there are no classes."""
        if not self.reference:
            return None
        counts = Counter(np.concatenate(self.reference).tolist())
        [(chosen, times)] = counts.most_common(1)
        return int(chosen), times, counts.total()


def _shares(rows: Array) -> bool:
    """Whether each row is of numbers from 0 to 1 with the sum 1; a single number needs to be from 0 to 1 only."""
    if not ((rows > -NEAR_ONE) & (rows < 1 + NEAR_ONE)).all():
        return False
    return rows.shape[1] == 1 or bool((np.abs(rows.sum(axis=1) - 1) < NEAR_ONE).all())


def beside_labels(chosen: Sequence[Array], labels: Sequence[Array]) -> tuple[Array, Array]:
    """The classes of samples and their labels, row by row; a run that was filled up has fewer labels than rows."""
    pairs = [(c[: len(y)], y[: len(c)]) for c, y in zip(chosen, labels, strict=False)]
    if not pairs:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return np.concatenate([c for c, _ in pairs]), np.concatenate([y for _, y in pairs])


def class_scores(answers: Sequence[Answers], labels: Sequence[Array] | None = None) -> Answers | None:
    """The output with the class scores; None where there is none.

    Without labels: the first of probabilities, else the first that may be some. With labels: of those with as many classes, the
    one that is right most often.
    """
    found = [a for a in answers if a.reference]
    if not found:
        return None
    if labels is None:
        return next((a for a in found if a.probabilities), found[0])
    most = max((int(y.max()) for y in labels if y.size), default=0)
    wide = [a for a in found if most < max(a.classes, 2)] or found
    return max(wide, key=lambda a: (a.right(labels), a.probabilities))


def accuracy_of(answers: Sequence[Answers], labels: Sequence[Array], count: int | None = None) -> Accuracy:
    """Share of right answers before and after, on the first so many samples.

    Raises:
        SamplesError: no output looks like class scores.
    """
    scores = class_scores(answers, labels)
    if scores is None:
        raise SamplesError("labels: no output of the model is class scores, [batch, classes], that they could be compared with")
    before, after = (np.equal(*beside_labels(side[:count], labels)) for side in (scores.reference, scores.result))
    return Accuracy(scores.name, before.size, round(float(before.mean()), 4), round(float(after.mean()), 4))
