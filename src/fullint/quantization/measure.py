"""Calibrate: ranges from samples, then channels of unequal size brought to one size.

Prepared --calibrate--> Calibrated --equalize--> Calibrated
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from fullint.calibration.collect import held_number
from fullint.calibration.outliers import find_outliers
from fullint.calibration.run import Calibration, calibrate_entries
from fullint.calibration.samples import Samples
from fullint.calibration.signatures import with_graph
from fullint.calibration.statistics import Narrowed
from fullint.errors import NotIntegerError
from fullint.model.ir import Array, Tensor
from fullint.model.numerics import representable
from fullint.model.ranges import Range
from fullint.quantization.equalization import equalize as rescale
from fullint.quantization.feasibility import unmeasured
from fullint.quantization.given_ranges import given_by_training
from fullint.quantization.opened import open_all
from fullint.quantization.range_selection import left_as_they_are
from fullint.quantization.room import with_room
from fullint.quantization.stage_values import Calibrated, Channels, Prepared
from fullint.quantization.wanted import ToMeasure, to_measure
from fullint.quantization.whole_numbers import whole_ranges, whole_tensors
from fullint.quantization.workbench import Workbench

ENOUGH_VALUES = 1000
"""Values of an input of which fewer do not tell that it holds whole numbers only."""


def calibrate(bench: Workbench, prepared: Prepared) -> Calibrated:
    """Ranges of all values that need one, from the user's samples, or as the model was trained with.

    Raises:
        UsageError: there are no samples, and some values were trained without parameters.
        SamplesError: samples do not fit, or drive a value to NaN or infinity.
        NotIntegerError: no sample reaches an operator.
    """
    model, options = prepared.model, prepared.loaded.options
    if prepared.loaded.request.samples is None and not options.synthetic:
        return given_by_training(prepared)
    asked = to_measure(prepared)
    samples = open_all(prepared.loaded, model)
    done, said = measured(bench, asked, samples)
    found = calibrated_by(asked, done, samples)
    return replace(found, warnings=(*found.warnings, *said))


def measured(bench: Workbench, asked: ToMeasure, samples: Sequence[Samples]) -> tuple[Calibration, tuple[str, ...]]:
    """What all samples show, measured here or on a cluster; and what is to be said of that.

    Raises:
        UsageError: there is no such cluster, or a worker has other releases, or cannot read the samples.
        SamplesError: samples do not fit, or drive a value to NaN or infinity.
    """
    prepared, options = asked.prepared, asked.prepared.loaded.options
    with bench.stage("calibrate"):
        if options.scheduler is not None:
            from fullint.quantization.on_cluster import NOT_SHARDED, measured_on_cluster  # mostly not needed

            done = measured_on_cluster(bench, asked, samples)
            if done is not None:
                return done, ()
        given = (prepared.model, samples, asked.wanted, bench.worker, options.workers, bench.progress, asked.ready, options.seed)
        return calibrate_entries(*given), (NOT_SHARDED,) if options.scheduler is not None else ()


def calibrated_by(asked: ToMeasure, done: Calibration, samples: Sequence[Samples]) -> Calibrated:
    """What was calibrated, of what the samples have shown.

    Args:
        asked: what was to be measured.
        done: what came of it.
        samples: at hand, of each entry, as they were opened.

    Raises:
        NotIntegerError: no sample reaches an operator.
    """
    prepared, options = asked.prepared, asked.prepared.loaded.options
    missing = unmeasured(prepared.model, done.stats.ranges, options.float_ends)
    if missing:
        raise NotIntegerError(missing)

    def calibrated(done: Calibration) -> Calibrated:
        stats = done.stats
        could_be = {t: n for t, n in stats.narrowed.items() if t in asked.others}
        ranges = {**stats.ranges, **{t: n.plain for t, n in could_be.items()}}
        found_so = Calibrated(
            prepared,
            prepared.model,
            replace(stats.measured, ranges=ranges),
            done.held,
            tuple(done.kept.values()),
            Channels(asked.streams, stats.channels, done.inputs, done.count),
            warnings=(*warn_of_unseen(stats.unseen), *asked.idle, *left_as_they_are(asked.methods, stats)),
            digest=done.digest,
            samples=tuple(samples),
            seen=done.seen,
            could_be=could_be,
            growth=done.growth(),
        )
        return with_narrowed(found_so, {t: n for t, n in stats.narrowed.items() if t not in asked.others})

    return with_outliers(done, calibrated, drop=options.drop_outliers)


def with_outliers(done: Calibration, calibrated: Callable[[Calibration], Calibrated], *, drop: bool) -> Calibrated:
    """What was calibrated, with the samples that alone set ranges beside it, or left out.

    Args:
        done: the calibration.
        calibrated: what it makes of all samples, or of some.
        drop: whether such samples are left out.
    """
    main = done.collected[0]
    found = find_outliers(main, done.views[0].main.inputs) if main is not None else None
    if found is None:
        return calibrated(done)
    numbers, held = {n for n in found.numbers if n >= 0}, {held_number(n) for n in found.numbers if n < 0}
    rest = calibrated(done.without(numbers, held))
    whole = replace(calibrated(done), growth={})  # ranges that reach to outliers have room enough
    chosen, other = (rest, None) if drop else (whole, rest)
    if done.elsewhere:  # the samples themselves are not at hand
        return replace(chosen, outliers=found, outlier_samples=tuple(sorted(numbers)), rest=other)
    judges = done.held[0]
    runs = [*(judges.calibrated_runs[n] for n in numbers), *(judges.runs[n] for n in held)]
    named = tuple(sorted(whole.samples[0].first_number(run) for run in runs))
    places = held if judges.held_back else numbers
    apart = [sample for place, sample in enumerate(judges.samples) if place in places]
    apart += [sample for number, sample in judges.also if number in numbers]
    return replace(chosen, outliers=found, outlier_samples=named, left_apart=tuple(apart), rest=other)


def with_narrowed(calibrated: Calibrated, narrowed: Mapping[Tensor, Narrowed]) -> Calibrated:
    """What was calibrated, with how some ranges came about, and the same with min-max in their place."""
    if not narrowed:
        return calibrated
    ranges = {**calibrated.ranges, **{t: n.plain for t, n in narrowed.items()}}
    plain = replace(calibrated, measured=replace(calibrated.measured, ranges=ranges))
    return replace(calibrated, narrowed=narrowed, plain=plain)


def warn_of_unseen(unseen: Sequence[Tensor]) -> tuple[str, ...]:
    """A warning of values that no sample has reached."""
    if not unseen:
        return ()
    names = ", ".join(f'"{t.name}"' for t in unseen[:3])
    more = f" and {len(unseen) - 3} more" if len(unseen) > 3 else ""
    return (f"no sample took the branch that computes {names}{more}: they have no range",)


def equalize(bench: Workbench, calibrated: Calibrated) -> Calibrated:
    """The same with channels of one size, and ranges of what is clipped at an input or pinned by the model."""
    prepared, channels, form = calibrated.prepared, calibrated.channels, calibrated.form
    options, known = prepared.loaded.options, calibrated.ranges
    with bench.stage("equalize"):
        old = calibrated.model.main
        own = {t: _within(channels.ranges[t], known[t]) for t in calibrated.narrowed if t in channels.ranges}
        cut = {**channels.ranges, **own}
        chosen, count = channels.streams if form.equalized else (), max(1, round(channels.count * form.trust))
        done = rescale(old, chosen, set(known), cut, count, per_tensor=options.per_tensor)
        ranges = {**known, **{t: Range(float(low.min()), float(high.max())) for t, (low, high) in done.channels.items()}}
        ranges = with_room(calibrated, ranges)
        if options.activations == "int8":
            inputs = [t for t in channels.inputs.count if t not in calibrated.narrowed]
            ranges |= {t: channels.inputs.clipped(t, ranges[t]) for t in inputs if t in ranges}
            ranges |= whole_ranges(whole_tensors(done.graph, _whole_inputs(calibrated)), ranges)
        ranges |= {t: representable(*given) for t, given in prepared.pinned.items()}
    model = with_graph(calibrated.model, old, done.graph)
    bench.put_by(model)
    return replace(
        calibrated,
        model=model,
        measured=replace(calibrated.measured, ranges=ranges),
        changes=(*calibrated.changes, *done.changes),
        before=calibrated,
    )


def _within(channels: tuple[Array, Array], span: Range) -> tuple[Array, Array]:
    """Ends of channels where values beyond a range are cut off.

    Rescaled by these, no value is cut off that lies in the range: its channel's end is one of those that make the new range.
    """
    low, high = (np.clip(ends, *map(np.float32, span)) for ends in channels)
    return low, high


def _whole_inputs(calibrated: Calibrated) -> list[Tensor]:
    """Float inputs of the main graph that no sample shows anything but whole numbers of."""
    if not calibrated.seen:
        return []
    pairs = zip(calibrated.model.main.inputs, calibrated.seen[0], strict=True)
    return [t for t, seen in pairs if t.dtype == "float32" and seen.whole and seen.count >= ENOUGH_VALUES]
