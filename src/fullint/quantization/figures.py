"""What a form of a run gives on a few samples: built, run beside the float model, and compared. Nothing is kept of it.

Calibrated --decide--> --build--> result --a few samples--> Figures
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fullint.model.ir import Array
from fullint.quantization.build import build
from fullint.quantization.decide import decide
from fullint.quantization.refine import Refined
from fullint.quantization.stage_values import Calibrated, Written
from fullint.quantization.workbench import Workbench
from fullint.verification.judged_parts import JudgedOutput
from fullint.verification.kernel_outputs import integer_inputs, outputs_of, real
from fullint.verification.metrics import Score, mean_sqnr
from fullint.verification.output_parts import output_parts


@dataclass(frozen=True)
class Figures:
    """How near a result is to the prepared float model, in dB.

    Attributes:
        worst_part: of the part of an output that is kept worst.
        sqnr: mean SQNR of the outputs; 200 where there is no error.
    """

    worst_part: float
    sqnr: float


FloatAnswers = Sequence[Sequence[Array]]
"""Outputs of the float model, of each sample."""


def float_answers(bench: Workbench, calibrated: Calibrated, samples: Sequence[Sequence[Array]]) -> FloatAnswers:
    """What the prepared float model answers to samples."""
    return outputs_of(bench.worker, calibrated.as_trained, samples)


def figures_of(
    bench: Workbench,
    calibrated: Calibrated,
    samples: Sequence[Sequence[Array]],
    known: Sequence[Refined] = (),
    answers: FloatAnswers | None = None,
) -> Figures:
    """What a run gives that starts from these ranges.

    Args:
        bench: tools of the run.
        calibrated: ranges, and all that was decided before.
        samples: a few, as the prepared model takes them.
        known: what has become of the weights in another form of the run.
        answers: of the float model to these samples, where they are known.
    """
    return figures_of_result(bench, build(bench, decide(bench, calibrated), known), samples, answers)


def figures_of_result(
    bench: Workbench, written: Written, samples: Sequence[Sequence[Array]], answers: FloatAnswers | None = None
) -> Figures:
    """The same of a result that was written."""
    result = written.emitted.model
    judged = [JudgedOutput(p) for p in output_parts(result, bench.evaluate)]
    scores = [Score() for _ in judged]
    references = answers if answers is not None else float_answers(bench, written.assigned.calibrated, samples)
    results = outputs_of(bench.worker, written.data, [integer_inputs(result, s) for s in samples])
    for reference, output in zip(references, results, strict=True):
        for j, score, t, a, b in zip(judged, scores, result.main.outputs, reference, output, strict=True):
            x, y = j.ordered(a), j.ordered(real(b, t))
            j.add(x, y)
            score.add(x, y)
    worst = min((j.worst() for j in judged), default=200.0)
    sqnr = mean_sqnr(scores)
    return Figures(worst, sqnr if sqnr is not None else 200.0)
