"""What may be wrong with samples, as values: the report has them, and `--strict-samples` makes an error of them.

Each kind is found where its numbers come together: the samples themselves (`of_samples`), the ranges they give
(`calibration.outliers`), the answers of the float model (`quantization.questions`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fullint.calibration.samples.held_back import FROM, Held
from fullint.calibration.samples.values_seen import ValuesSeen
from fullint.model.numerics import RANGES, representable
from fullint.model.ranges import Range

FEW_CODES, MANY_VALUES = 8, 1000
"""An input of 256 codes that so many values hit fewer than `FEW_CODES` of is fed with something else than it was made for."""
REPEATED_FROM = 4
"""Of fewer samples it is not said that they repeat one another."""
NARROW, FAR = 0.55, 0.05
"""Of the range that pixels have by the metadata: samples that fill less of it, or reach farther beyond it, are read otherwise."""


@dataclass(frozen=True)
class SampleFinding:
    """Something about the samples that makes ranges or figures wrong.

    Attributes:
        kind: what it is, in a word that stays the same.
        text: what is wrong, with the numbers, and what helps.
        samples: numbers of the samples in question, where it is about some of them.
        evidence: the numbers.
    """

    kind: str
    text: str
    samples: tuple[int, ...] = ()
    evidence: dict[str, float] = field(default_factory=dict)


def of_repeated(held: Held) -> list[SampleFinding]:
    """Where fewer than half of the samples differ from one another, and too few to hold some back."""
    if held.total < REPEATED_FROM or 2 * held.distinct >= held.total or not 0 < held.distinct < FROM:
        return []
    what = (
        f"all {held.total} samples are the same"
        if held.distinct == 1
        else f"only {held.distinct} of {held.total} samples differ from one another"
    )
    text = f"{what}: neither ranges nor figures can be trusted; give samples as varied as real data"
    return [SampleFinding("repeated-samples", text, evidence={"samples": held.total, "distinct": held.distinct})]


def of_values(seen: ValuesSeen, given: Range | None = None) -> list[SampleFinding]:
    """Where the samples hit next to none of the codes that a quantized input has.

    Args:
        seen: the codes.
        given: the real values that became codes, where samples were given so. Few codes that reach an end of the range are sound,
            unless the values reach beyond it.
    """
    hit, slot = seen.hit, seen.slot
    if not hit or seen.count < MANY_VALUES or len(hit) >= FEW_CODES:
        return []
    if (hit[0] <= RANGES[slot.dtype][0] + 1 or hit[-1] == RANGES[slot.dtype][1]) and not _beyond(seen, given):
        return []
    assert slot.quant is not None and seen.span is not None
    scale, zero = float(slot.quant.scale[0]), int(slot.quant.zero_point[0])
    low, high = ((c - zero) * scale for c in RANGES[slot.dtype])
    text = (
        f'input "{slot.name}": the samples hit {len(hit)} of its 256 codes; it takes {low:.4g} to {high:.4g}, and the samples '
        f"lie in {seen.span.low:.4g} to {seen.span.high:.4g}: scale them as the model was trained"
    )
    return [SampleFinding("few-codes", text, evidence={"codes": len(hit), "low": seen.span.low, "high": seen.span.high})]


def _beyond(seen: ValuesSeen, given: Range | None) -> bool:
    """Whether values were given that are farther out than twice what the input takes."""
    quant = seen.slot.quant
    if given is None or quant is None:
        return False
    return given.largest > 2 * representable(quant, seen.slot.dtype).largest


def of_constant(seen: ValuesSeen) -> list[SampleFinding]:
    """Where an input is 0 in every sample. Of another number a range can be made, such as of a mask that is always open."""
    span = seen.span
    if span is None or span.low != 0 or span.high != 0 or seen.slot.dtype != "float32":
        return []
    text = f'input "{seen.slot.name}" is 0 in every sample: its range cannot be calibrated; give varied samples'
    return [SampleFinding("constant-input", text, evidence={"value": span.low})]


def of_normalization(
    seen: ValuesSeen, mean: Sequence[float], std: Sequence[float], used: tuple[Sequence[float], Sequence[float]] | None
) -> list[SampleFinding]:
    """Where values are not pixels as the model's metadata say that they are normalized.

    Args:
        seen: of the input.
        mean, std: of the metadata: (pixel - mean) / std.
        used: mean and std that a folder of images was read with, if the samples are one.
    """
    said = f"({_numbers(mean)}, {_numbers(std)})"
    if used is not None:
        if _same(used[0], mean) and _same(used[1], std):
            return []
        text = (
            f'input "{seen.slot.name}": the model\'s metadata say that pixels are normalized with mean {_numbers(mean)} and std '
            f"{_numbers(std)}, the images were read with {_numbers(used[0])} and {_numbers(used[1])}; "
            f"try: --mean {_numbers(mean)} --std {_numbers(std)}"
        )
        return [SampleFinding("normalization", text, evidence={"mean": mean[0], "std": std[0]})]
    span = seen.span
    if span is None or seen.slot.dtype != "float32":
        return []
    low = min((0 - m) / s for m, s in zip(mean, std, strict=True))
    high = max((255 - m) / s for m, s in zip(mean, std, strict=True))
    width = high - low
    fits = low - FAR * width <= span.low and span.high <= high + FAR * width
    if fits and span.high - span.low >= NARROW * width:
        return []
    text = (
        f'input "{seen.slot.name}": the model\'s metadata say that pixels are normalized to {low:.4g} to {high:.4g} (mean, std '
        f"{said}), the samples lie in {span.low:.4g} to {span.high:.4g}; normalize them so"
    )
    evidence = {"low": span.low, "high": span.high, "expected_low": low, "expected_high": high}
    return [SampleFinding("normalization", text, evidence=evidence)]


def _same(a: Sequence[float], b: Sequence[float]) -> bool:
    size = max(len(a), len(b))
    return all(abs(x - y) <= 0.01 * max(abs(x), abs(y), 1) for x, y in zip(_spread(a, size), _spread(b, size), strict=True))


def _spread(values: Sequence[float], size: int) -> list[float]:
    return [*values] if len(values) == size else [values[0]] * size


def _numbers(values: Sequence[float]) -> str:
    return ",".join(f"{v:g}" for v in (values[:1] if len({*values}) == 1 else values))
