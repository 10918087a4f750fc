"""The samples that judge one form of a run against another, and what the float model answers to them.

e_ij = sum of squared errors of output j for sample i / sum of squares of what the float model answers
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fullint.calibration.collect import has_state
from fullint.calibration.samples.held_back import digest_of
from fullint.model.ir import Array, Model
from fullint.ops.macs import total_macs
from fullint.quantization.figures import float_answers
from fullint.quantization.stage_values import Calibrated, Written
from fullint.quantization.workbench import Workbench
from fullint.runtime.process import WorkerProcess
from fullint.verification.answers import Answers, accuracy_of
from fullint.verification.kernel_outputs import as_read, integer_inputs, outputs_of, real
from fullint.verification.metrics import Score, joined_quality
from fullint.verification.report import Accuracy

MOST_JUDGES = 96
ENOUGH_OTHERS = 16
"""Judges that weights are not rounded on; where these are fewer, all judge."""
WORTH_DB = 0.1
"""What gives less is not worth a change."""
JUDGE_MACS = 100_000_000_000
"""Spent on the samples that judge one trial."""
TINY = 1e-12
"""Of a sample's signal: errors below this are none."""
NO_ERROR = 200.0
"""SQNR in dB where there is no error."""


@dataclass(frozen=True, eq=False)
class Judges:
    """Samples as the prepared model takes them, and what it answers, of each sample and output."""

    samples: Sequence[list[Array]]
    answers: Sequence[Sequence[Array]]
    labels: Sequence[Array] | None = None
    """The right classes of each sample, where there are labels."""

    def of(self, worker: WorkerProcess, written: Written) -> list[list[Array]]:
        """What a result answers, as real numbers."""
        result = written.emitted.model
        got = outputs_of(worker, written.data, [integer_inputs(result, s) for s in self.samples])
        return [[real(y, t) for y, t in zip(outputs, result.main.outputs, strict=True)] for outputs in got]

    def errors(self, worker: WorkerProcess, written: Written) -> Array:
        """Squared errors of a result as shares of the signal, [samples, outputs]."""
        got = self.of(worker, written)
        found = np.zeros((len(got), len(written.emitted.model.main.outputs)))
        for i, (a, b) in enumerate(zip(self.answers, got, strict=True)):
            for j, (x, y) in enumerate(zip(a, b, strict=True)):
                signal = float(np.square(x, dtype=np.float64).sum()) + 1e-30
                found[i, j] = float(np.square(x.astype(np.float64) - y).sum()) / signal
        return found + TINY

    def each(self, worker: WorkerProcess, written: Written) -> list[float | None]:
        """SQNR of each output, in dB; None for those that are not float."""
        return self._each(self.of(worker, written))

    def sqnr_and_accuracy(self, worker: WorkerProcess, written: Written) -> tuple[float, Accuracy | None]:
        """The mean SQNR; and how many answers are right, of the float model and of the result, where there are labels."""
        got = self.of(worker, written)
        found = joined_quality(self._each(got))
        right = None
        if self.labels is not None:
            answers = [Answers.of(t) for t in written.emitted.model.main.outputs]
            for a, b in zip(self.answers, got, strict=True):
                for answer, x, y in zip(answers, a, b, strict=True):
                    answer.add(x, y)
            right = accuracy_of(answers, self.labels)
        return NO_ERROR if found is None else found, right

    def _each(self, got: Sequence[Sequence[Array]]) -> list[float | None]:
        scores = [Score() for _ in got[0]]
        for a, b in zip(self.answers, got, strict=True):
            for score, x, y in zip(scores, a, b, strict=True):
                score.add(x, y)
        return [s.sqnr for s in scores]


def judges_of(bench: Workbench, calibrated: Calibrated, fewest: int, most: int = MOST_JUDGES) -> Judges | str:
    """Judges of a run; or why there are none, in words.

    Args:
        bench: tools of the run.
        calibrated: with the samples that judge.
        fewest: with less samples, nothing is said.
        most: that judge. Those that weights are rounded on look better than others, and are left out where others are enough.
    """
    if calibrated.before is None:
        return "ranges come from the file, not from samples"
    if has_state(calibrated.model):
        return "the model keeps a state from sample to sample"
    held, entry = calibrated.held[0], calibrated.prepared.loaded.entries[0]
    most = judges_in_time(calibrated.model, most)
    own = [*held.samples]
    runs = held.runs or tuple(range(len(own)))
    given = [*zip(runs, own, strict=False), *((held.calibrated_runs[number], s) for number, s in held.also)]
    fitted = {*map(digest_of, calibrated.refining)}
    others = [(run, s) for run, s in given if digest_of(s) not in fitted]
    chosen = (others if len(others) >= max(fewest, ENOUGH_OTHERS) else given)[:most]
    found = [(run, as_read(s, entry.inputs, calibrated.model.main.inputs)) for run, s in chosen]
    if len(found) < fewest:
        return f"{fewest} samples would have to judge, but there are {len(found)}, or more take too long"
    labelled = calibrated.samples[0] if calibrated.samples and calibrated.samples[0].labels is not None else None
    labels = [labelled.labels_of(run) for run, _ in found] if labelled is not None else None
    samples = [s for _, s in found]
    return Judges(samples, float_answers(bench, calibrated, samples), labels)


def judges_in_time(model: Model, most: int) -> int:
    """As many samples as there is time to judge one trial on, and no more than `most`."""
    return min(most, JUDGE_MACS // max(total_macs(model), 1))
