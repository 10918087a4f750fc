"""What is wrong with the samples: what they are like, the ranges they give, and how the float model answers to them.

Calibrated --of_calibration--> findings       repeated samples, inputs hit in a few codes, other normalization than the metadata's
answers    --of_answers------> findings       one class only, values of another scale, inputs exchanged, labels shifted
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fullint.calibration.outliers import Outliers
from fullint.calibration.samples import Samples
from fullint.calibration.samples.findings import SampleFinding, of_constant, of_normalization, of_repeated, of_values
from fullint.calibration.signatures import Entry
from fullint.documents import many
from fullint.errors import FullintError, RuntimeFailure, SamplesError
from fullint.model.ir import Array
from fullint.model.tflite.normalization import input_normalizations
from fullint.ops.macs import total_macs
from fullint.quantization.build import build
from fullint.quantization.decide import decide
from fullint.quantization.figures import figures_of_result, float_answers
from fullint.quantization.measure import equalize
from fullint.quantization.readings import (
    ACTIVE,
    DEAD,
    IDLE,
    STEP,
    TOO_LARGE,
    TRIED,
    Heard,
    alike_inputs,
    as_given,
    exchanged,
    feels_scale,
    hear,
    heard,
    least_influence,
    scaled,
    too_large,
)
from fullint.quantization.stage_values import Calibrated, Written
from fullint.quantization.workbench import Workbench
from fullint.verification.answers import SATURATED_SHARE, Answers, accuracy_of, beside_labels, class_scores
from fullint.verification.kernel_outputs import as_read, integer_inputs
from fullint.verification.report import Accuracy

LEAST_ROWS = 16
"""Answers, of which fewer say nothing about classes."""
ONE_CLASS, FEW_CLASSES = 0.85, 3
"""Share of answers in one class that is too much for samples of more than `FEW_CLASSES` classes; of fewer, only all are."""
BETTER = 0.3
"""Labels read otherwise are better by this share of right answers."""
SHIFTS = (-1, 1)
HARDLY_RIGHT = "labels-wrong"
"""The kind of finding that other findings may be the cause of."""
NAMED, TRIED_OUTLIERS, COSTS_DB = 8, 16, 3.0
"""Samples that are named; samples that outliers are judged on; dB that they cost at least where they are worth a word."""
LEAST_TRIED, BUDGET_MACS = 4, 3_000_000_000
"""Samples that are read otherwise, as many as so many multiply-accumulates allow, or a few."""


@dataclass(frozen=True, eq=False)
class Judged:
    """The samples of the main entry that judged, and what was answered.

    Attributes:
        samples: as the given model takes them, in the order of the answers.
        runs: of the source, in the same order.
        answers: of each output.
    """

    samples: Sequence[Sequence[Array]]
    runs: Sequence[int]
    answers: Sequence[Answers]

    def labels(self, samples: Samples) -> list[Array] | None:
        """The right classes of each run, where they are known."""
        if samples.labels is None:
            return None
        return [samples.labels_of(run) for run in self.runs]


def of_calibration(calibrated: Calibrated) -> list[SampleFinding]:
    """What the samples themselves tell."""
    loaded = calibrated.prepared.loaded
    if loaded.options.synthetic or loaded.request.samples is None:
        return []
    found = [f for held in calibrated.held for f in of_repeated(held)]
    for seen, samples in zip(calibrated.seen, calibrated.samples, strict=True):
        for number, values in enumerate(seen):
            found += [*of_values(values, samples.reach.get(number)), *of_constant(values)]
    normalizations = input_normalizations(loaded.model)
    for number, values in enumerate(calibrated.seen[0] if calibrated.seen else ()):
        if number in normalizations:
            read = calibrated.samples[0].images
            used = (read.mean, read.std) if read is not None else None
            found += of_normalization(values, *normalizations[number], used)
    return found


def question(bench: Workbench, written: Written, judged: Judged) -> tuple[SampleFinding, ...]:
    """All that is wrong with the samples of a run.

    Raises:
        SamplesError: something is, and samples are to be beyond question (`strict_samples`).
    """
    calibrated = written.assigned.calibrated
    options = calibrated.prepared.loaded.options
    found = (
        *of_calibration(calibrated),
        *of_outliers(bench, written),
        *of_answers(bench, calibrated, judged),
        *of_outputs(written, judged),
    )
    if found and options.strict_samples:
        lines = "\n  ".join(f"{f.kind}: {f.text}" for f in found)
        raise SamplesError(f"the samples are in question (strict_samples)\n  {lines}")
    return found


def accuracy(judged: Judged, samples: Samples, count: int) -> Accuracy | None:
    """Share of right answers before and after; None without labels.

    Args:
        judged: the samples and what was answered.
        samples: of the main entry; their labels.
        count: how many of those that judged count for the figures.

    Raises:
        SamplesError: there are labels, but no output looks like class scores.
    """
    labels = judged.labels(samples)
    return accuracy_of(judged.answers, labels, count) if labels is not None else None


def of_answers(bench: Workbench, calibrated: Calibrated, judged: Judged) -> list[SampleFinding]:
    """What the float model's answers tell of the samples."""
    loaded = calibrated.prepared.loaded
    if loaded.options.synthetic or loaded.request.samples is None or not judged.samples:
        return []
    entry = loaded.entries[0]
    samples = judged.samples[: max(LEAST_TRIED, min(TRIED, BUDGET_MACS // max(total_macs(loaded.model), 1)))]
    labels = judged.labels(calibrated.samples[0]) if calibrated.samples else None
    now = heard(judged.answers, labels)
    found = [*_exchanged(bench, entry, samples, labels)]
    found = found or [*_too_large(bench, calibrated, samples, now)]
    found = found or [*_one_class(bench, entry, samples, now, judged.answers)]
    if labels is not None:
        found += [f for f in _labels(judged.answers, labels, now) if not found or f.kind != HARDLY_RIGHT]
    return found


def _too_large(
    bench: Workbench, calibrated: Calibrated, samples: Sequence[Sequence[Array]], now: Heard
) -> Iterator[SampleFinding]:
    entry = calibrated.prepared.loaded.entries[0]
    graph = calibrated.prepared.loaded.model.main
    for index, t in enumerate(entry.inputs):
        largest = float(np.median([np.abs(s[index]).max(initial=0) for s in samples]))  # outliers are another question
        if t.dtype != "float32" or largest < TOO_LARGE or not feels_scale(graph, graph.inputs[index]):
            continue
        pixels = bool(calibrated.seen) and calibrated.seen[0][index].whole and largest <= STEP
        if now.right is not None and now.right > BETTER:
            continue  # it knows them as they are
        if not pixels and now.classes != 1 and now.moves >= DEAD:
            continue  # of readings of sensors, or of images of more bits, the scale cannot be told
        power = too_large(bench, entry, samples, index, now)
        if power is not None:
            how = "pixels of 0..255 where it was trained on normalized ones" if pixels else "another scale"
            text = (
                f'input "{t.name}": the network tells samples apart as well with values {STEP**power:.0f} times smaller, not '
                f"beyond: these (up to {largest:.4g}) are of {how}; normalize them as in training"
            )
            yield SampleFinding("input-scale", text, evidence={"largest": largest, "times": STEP**power})


def _exchanged(
    bench: Workbench, entry: Entry, samples: Sequence[Sequence[Array]], labels: Sequence[Array] | None
) -> Iterator[SampleFinding]:
    for pair in alike_inputs(entry.inputs):
        names = " and ".join(f'"{entry.inputs[i].name}"' for i in pair)
        text, evidence = f"inputs {names} look exchanged: ", {}
        if labels is not None:
            now, then = (hear(bench, entry, samples, reading, labels) for reading in (as_given, exchanged(*pair)))
            if now is None or then is None or now.right is None or then.right is None or then.right <= now.right + BETTER:
                continue
            text += (
                f"the float model is right for {_percent(now.right)} of the samples, and for {_percent(then.right)} if they are"
            )
            evidence = {"right": now.right, "right_exchanged": then.right}
        else:
            given, other = (least_influence(bench, entry, samples, pair, r) for r in (as_given, exchanged(*pair)))
            if given is None or other is None or given > IDLE or other < ACTIVE:
                continue
            text += f"one of them moves the outputs by {_percent(given)}, and both by {_percent(other)} or more if they are"
            evidence = {"influence": given, "influence_exchanged": other}
        text += "; give samples by the names of the inputs"
        yield SampleFinding("inputs-exchanged", text, evidence=evidence)


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _one_class(
    bench: Workbench, entry: Entry, samples: Sequence[Sequence[Array]], now: Heard, answers: Sequence[Answers]
) -> Iterator[SampleFinding]:
    for a in answers:
        common = a.most_frequent
        if common is None or a.classes < 2 or not a.probabilities:
            continue
        chosen, times, rows = common
        if rows < LEAST_ROWS or times < (ONE_CLASS * rows if a.classes > FEW_CLASSES else rows):
            continue
        text = f'output "{a.name}": the float model answers class {chosen} to {times} of {rows} samples'
        if now.moves < DEAD:
            text += f", and hardly moves ({100 * now.moves:.1f} % of its size): the input looks too small for it"
            text += _larger(bench, entry, samples)
        else:
            text += ": samples of one class only, or not normalized as in training"
        yield SampleFinding("one-class", text, evidence={"class": chosen, "share": times / rows, "moves": now.moves})


def _larger(bench: Workbench, entry: Entry, samples: Sequence[Sequence[Array]]) -> str:
    """What helps where values are too small, if it was seen to."""
    for index, t in enumerate(entry.inputs):
        if t.dtype != "float32":
            continue
        more = hear(bench, entry, samples, scaled(index, STEP))
        if more is not None and more.tells:
            return f'; with "{t.name}" {STEP:.0f} times larger it gives {_said(more)}'
    return "; normalize it as in training"


def _said(h: Heard) -> str:
    classes = f"{h.classes} classes, " if h.classes else ""
    return f"{classes}outputs that move by {100 * h.moves:.1f} % of their size"


def _labels(answers: Sequence[Answers], labels: Sequence[Array], now: Heard) -> Iterator[SampleFinding]:
    scores = class_scores(answers, labels)
    if scores is None or now.right is None or scores.classes < 2:
        return
    chosen, right = beside_labels(scores.reference, labels)
    if right.size < LEAST_ROWS:
        return
    most = int(right.max())
    share, shift = max((float(np.mean(chosen == right + s)), s) for s in SHIFTS)
    if share > now.right + BETTER:
        what = f"{abs(shift)} {'added' if shift > 0 else 'taken off'}"
        text = (
            f"the labels look shifted: the float model is right for {100 * now.right:.0f} % of the samples, and for "
            f"{100 * share:.0f} % with {what}; correct the labels"
        )
        yield SampleFinding("labels-shifted", text, evidence={"right": now.right, "shifted": share, "shift": shift})
    elif most >= scores.classes or right.min() < 0:
        text = f"the labels go from {int(right.min())} to {most}, but the model has {scores.classes} classes"
        yield SampleFinding("labels-out-of-range", text, evidence={"labels": most, "classes": scores.classes})
    elif now.right < max(2 / scores.classes, 1 / scores.classes + 0.1) and scores.classes > 2:
        text = (
            f"the float model itself is right for only {100 * now.right:.0f} % of the samples: they are not normalized as in "
            "training, or the labels number the classes in another order"
        )
        yield SampleFinding(HARDLY_RIGHT, text, evidence={"right": now.right, "classes": scores.classes})


def of_outliers(bench: Workbench, written: Written) -> list[SampleFinding]:
    """Few samples that lie far outside of all others, where that was seen to cost accuracy; or that were left out.

    Those that set ranges cost the others their steps; those held back, which set none, cost the certificate its figure. Either
    may be what matters most, such as the few events in a long silence: what becomes of them is said, too.
    """
    calibrated = written.assigned.calibrated
    found, rest = calibrated.outliers, calibrated.rest
    if found is None:
        return []
    what, left = _outliers_named(found, calibrated.outlier_samples)
    evidence = {"size": found.size, "others": found.others}
    given = calibrated.prepared.loaded.entries[0].inputs

    def ready(samples: Sequence[Sequence[Array]]) -> list[list[Array]]:
        return [as_read(s, given, calibrated.model.main.inputs) for s in samples[:TRIED_OUTLIERS]]

    apart = ready(calibrated.left_apart)
    try:
        if rest is None:
            own = figures_of_result(bench, written, apart).sqnr if apart else None
            text = f"{what}: left out, as asked{_of_themselves(own, left)}"
            return [SampleFinding("outliers-dropped", text, calibrated.outlier_samples, evidence)]
        others = ready([*rest.held[0].samples, *(sample for _, sample in rest.held[0].also)])
        if not others:
            return []
        sets_ranges = any(number >= 0 for number in found.numbers)
        answers = float_answers(bench, calibrated, others)
        known = answers if sets_ranges or not apart else None
        before = figures_of_result(bench, written, others if sets_ranges else [*others, *apart], known).sqnr
        without = build(bench, decide(bench, equalize(bench, rest)))
        after = figures_of_result(bench, without, others, answers).sqnr
        own = figures_of_result(bench, without, apart).sqnr if apart else None
    except FullintError:
        return []  # without them, it cannot be told what they cost
    if after < before + COSTS_DB:
        return []
    whose = "the other samples have" if sets_ranges else "all samples together have"
    text = f"{what}: {whose} {before:.1f} dB, and the others {after:.1f} dB without {left} (--drop-outliers)"
    text += _of_themselves(own, left)
    evidence |= {"before_db": round(before, 2), "after_db": round(after, 2)}
    evidence |= {"own_db": round(own, 2)} if own is not None else {}
    return [SampleFinding("outliers", text, calibrated.outlier_samples, evidence)]


def _of_themselves(own: float | None, left: str) -> str:
    """What becomes of samples that are left out."""
    if own is None:
        return ""
    return f"; then {'its' if left == 'it' else 'their'} own figure is {own:.1f} dB: keep {left} if such values occur in use"


def _outliers_named(found: Outliers, samples: Sequence[int]) -> tuple[str, str]:
    """What some outliers do, as a sentence, and a word for them."""
    numbers = ", ".join(map(str, samples[:NAMED])) + (f" and {len(samples) - NAMED} more" if len(samples) > NAMED else "")
    one, reach = len(samples) == 1, f"{found.size:.4g}, all others reach {found.others:.4g}"
    who = f"{many(len(samples), 'sample')} ({numbers})"
    if all(number < 0 for number in found.numbers):
        does = f"{'lies' if one else 'lie'} far outside of all that calibrated"
        return f'{who} {does}, in "{found.tensor.name}" ({reach})', "it" if one else "them"
    more = f", and ranges of {many(found.tensors - 1, 'more tensor')}" if found.tensors > 1 else ""
    return f'{who} alone {"sets" if one else "set"} the range of "{found.tensor.name}" ({reach}){more}', "it" if one else "them"


def of_outputs(written: Written, judged: Judged) -> list[SampleFinding]:
    """Outputs that are at the end of their range again and again, though the network does not ask for it."""
    if not any(a.at_ends > SATURATED_SHARE * a.codes for a in judged.answers):
        return []
    from fullint.auditing.audit import audit_model  # slow to import, and mostly not needed
    from fullint.auditing.rules import RULES_BY_NAME
    from fullint.auditing.saturation import measure_saturation

    result = written.emitted.model
    given = written.assigned.calibrated.prepared.loaded.entries[0].inputs
    samples = [integer_inputs(result, s, given) for s in judged.samples[:TRIED_OUTLIERS]]
    try:
        saturation = measure_saturation(result, samples)
    except RuntimeFailure:
        return []  # the builtin kernels lack an operator, as the certificate says
    found = audit_model(result, [RULES_BY_NAME["saturated-values"]], saturation=saturation).findings
    evidence = [(f, {end: float(f.evidence[end]) for end in ("low", "high")}) for f in found if f.kind == "OUTPUT"]
    return [SampleFinding("output-saturates", f'output "{f.output}": {f.cause}', evidence=e) for f, e in evidence]
