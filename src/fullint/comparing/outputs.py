"""The outputs of both models, compared on every sample: as a whole, in parts, and by what they answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from fullint.calibration.samples import Samples, keeping_first
from fullint.comparing.ends import PairedEnds
from fullint.comparing.figures import Sums
from fullint.comparing.operator_run import Bench
from fullint.comparing.output_runs import BothOutputs, pairs_here
from fullint.comparing.report import ComparedOutput
from fullint.errors import SamplesError
from fullint.model.ir import Array, Model, Tensor
from fullint.ops.macs import total_macs
from fullint.options import Progress
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import model_file
from fullint.verification.answers import Answers, accuracy_of
from fullint.verification.judged_parts import JudgedOutput
from fullint.verification.kernel_outputs import real
from fullint.verification.metrics import Score
from fullint.verification.output_parts import OutputParts, output_parts
from fullint.verification.qualities import quality
from fullint.verification.report import Accuracy

FIVE = 5
MOST_KEPT = 16
"""Samples that every operator is run on."""
OPERATOR_MACS = 20_000_000_000
"""Multiply-accumulates of the float model spent on these, but for one sample."""


class OutputComparison:
    """One output, sample by sample."""

    def __init__(self, exact: Tensor, integer: Tensor, parts: OutputParts) -> None:
        self.exact, self.integer = exact, integer
        self.score, self.judged, self.answers = Score(), JudgedOutput(parts), Answers.of(integer)
        self.sums = Sums(exact, 0.0, 0)
        self.rows = self.among = 0

    def add(self, given: Array, got: Array) -> None:
        """Take in a sample: what each model gave."""
        a, b = real(given, self.exact), real(got, self.integer).reshape(given.shape)
        self.answers.add(a, b, got)
        x, y = self.judged.ordered(a), self.judged.ordered(b)
        self.score.add(x, y, self.answers.classes > 1, self.judged.parts.grid)
        self.judged.add(x, y)
        if a.dtype.kind == "f" and a.size:
            self.sums.add(x, y)
            if self.answers.classes > FIVE:
                first, five = a.argmax(axis=-1), np.argsort(-b, axis=-1, kind="stable")[..., :FIVE]
                self.rows += first.size
                self.among += int((five == first[..., None]).any(axis=-1).sum())

    def found(self) -> ComparedOutput:
        """Its figures."""
        judged = quality(self.integer, self.score, self.judged, self.score)
        cosine = round(self.sums.cosine, 6) if self.sums.count else None
        return ComparedOutput(
            self.integer.name, self.exact.name, judged, cosine, round(self.among / self.rows, 6) if self.rows else None
        )


@dataclass(frozen=True, eq=False)
class Outputs:
    """What the comparison of the outputs found.

    Attributes:
        outputs: their figures, in the order of the integer model.
        accuracy: where there were labels.
        count: how many samples there were.
        kept: the first of them, for the operators.
    """

    outputs: tuple[ComparedOutput, ...]
    accuracy: Accuracy | None
    count: int
    kept: tuple[list[Array], ...]


def compare_outputs(
    bench: Bench,
    ends: PairedEnds,
    given: Samples,
    told: Progress,
    *,
    labels: bool,
    elsewhere: Iterable[BothOutputs] | None = None,
) -> Outputs:
    """Run both models side by side on all samples.

    Args:
        bench: processes.
        ends: the models.
        given: samples.
        told: of each that is done.
        labels: whether they have labels.
        elsewhere: what the models give for them, where it is not found out here.

    Raises:
        SamplesError: there are none, or they have labels that no output fits.
        RuntimeFailure: one of the models does not run.
    """
    first, second = bench.workers[:2]

    def evaluate(part: Model) -> list[Array]:
        with model_file(part) as path:
            first.call(Open(path, "builtin", 1))
            return first.call(Run([]))

    exact, integer = ends.exact.main.outputs, ends.integer.main.outputs
    parts = output_parts(ends.integer, evaluate)
    pairs = [(a, b, OutputComparison(exact[a], integer[b], parts[b])) for a, b in ends.outputs]
    most = max(1, min(MOST_KEPT, OPERATOR_MACS // max(total_macs(ends.exact), 1)))
    kept: list[list[Array]] = [] if elsewhere is None else [*given.some(range(min(most, given.count or 0)))]
    known: list[Array] = []
    count = 0
    for f, q in pairs_here(first, second, ends, keeping_first(given, most, kept)) if elsewhere is None else elsewhere:
        for a, b, pair in pairs:
            _require_finite(exact[a], f[a], count)
            pair.add(f[a], q[b])
        known += [given.labels_of(count)] if labels else []
        count += 1
        told("outputs", count, given.count)
    if not count:
        raise SamplesError("there are no samples: give at least one")
    accuracy = accuracy_of([p.answers for _, _, p in pairs], known) if labels else None
    return Outputs(tuple(p.found() for _, _, p in pairs), accuracy, count, tuple(kept))


def _require_finite(t: Tensor, value: Array, sample: int) -> None:
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        raise SamplesError(f'sample {sample}: output "{t.name}" of the float model is NaN or infinite; remove the sample')
