"""What other ranges than min-max gave: those that were made, and the dB of the same model with and without them.

Calibrated, min-max in all places --equalize--> --decide--> --build--> result'
result, result' on a few samples beside the float model                          dB, dB'
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fullint.calibration.statistics import Narrowed
from fullint.errors import FullintError
from fullint.model.ir import Array
from fullint.ops.macs import total_macs
from fullint.quantization.figures import figures_of, figures_of_result, float_answers
from fullint.quantization.measure import equalize
from fullint.quantization.stage_values import Written
from fullint.quantization.workbench import Workbench
from fullint.verification.kernel_outputs import as_read

FEWEST_RUN, MOST_RUN, MACS_SPENT = 4, 16, 3_000_000_000
"""Samples that both models are compared on: as many as so many multiply-accumulates allow, within these bounds."""


@dataclass(frozen=True)
class NarrowedRange:
    """A tensor whose range was not made by min-max.

    Attributes:
        tensor: its name.
        method: as the option spells it.
        minmax: the range that min-max would have made, [low, high].
        chosen: the range that was made, before tensors are rescaled or share a scale.
        outside: share of the values of all samples that lie beyond it, 0 to 1.
    """

    tensor: str
    method: str
    minmax: tuple[float, float]
    chosen: tuple[float, float]
    outside: float


@dataclass(frozen=True)
class RangesReport:
    """Ranges that were not made by min-max, and what they gave.

    Attributes:
        tensors: whose they are.
        sqnr_db: mean SQNR of the result on some of the samples; None where it is not known.
        minmax_sqnr_db: the same of the model with min-max for all tensors; None where there is no such model.
        samples: how many these were.
    """

    tensors: tuple[NarrowedRange, ...]
    sqnr_db: float | None
    minmax_sqnr_db: float | None
    samples: int


def ranges_report(bench: Workbench, written: Written, samples: Sequence[Sequence[Array]]) -> RangesReport | None:
    """What is to be reported of the ranges; None where all are min-max.

    Args:
        bench: tools of the run.
        written: the result.
        samples: those that judged it, as the given model takes them.
    """
    calibrated = written.assigned.calibrated
    if not calibrated.narrowed:
        return None
    count = max(FEWEST_RUN, min(MOST_RUN, MACS_SPENT // max(total_macs(calibrated.model), 1)))
    given, now = calibrated.prepared.loaded.entries[0].inputs, calibrated.model.main.inputs
    few = [as_read(s, given, now) for s in samples[:count]]
    tensors = tuple(_narrowed(t.name, n) for t, n in calibrated.narrowed.items())
    own = plain = None
    if few and calibrated.plain is not None:
        answers = float_answers(bench, calibrated, few)
        own = round(figures_of_result(bench, written, few, answers).sqnr, 2)
        try:
            plain = round(figures_of(bench, equalize(bench, calibrated.plain), few, answers=answers).sqnr, 2)
        except FullintError:
            plain = None  # no model comes of it
    return RangesReport(tensors, own, plain, len(few))


def _narrowed(name: str, n: Narrowed) -> NarrowedRange:
    plain, span = n.plain, n.span
    return NarrowedRange(name, n.method, (plain.low, plain.high), (span.low, span.high), round(n.outside, 7))
