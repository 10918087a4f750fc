"""Calibrate: ranges from samples, then channels of unequal size brought to one size.

Prepared --calibrate--> Calibrated --equalize--> Calibrated
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from fullint.calibration.collect import has_state, held_number
from fullint.calibration.observed import observed_tensors
from fullint.calibration.outliers import find_outliers
from fullint.calibration.run import Calibration, Wanted, calibrate_entries
from fullint.calibration.samples import ImageOptions, Reading, Samples, open_samples, slots, synthetic
from fullint.calibration.signatures import samples_of, with_graph
from fullint.calibration.statistics import Narrowed
from fullint.errors import NotIntegerError, SamplesError
from fullint.model.ir import Array, Model, Op, Tensor
from fullint.model.numerics import representable
from fullint.model.ranges import Range
from fullint.ops import traits_of
from fullint.options import numbers
from fullint.quantization.equalization import equalize as rescale
from fullint.quantization.feasibility import unmeasured
from fullint.quantization.given_ranges import given_by_training
from fullint.quantization.pairs import operators_to_refine, sample_count
from fullint.quantization.range_selection import left_as_they_are, methods_for, to_be_tried
from fullint.quantization.room import with_room
from fullint.quantization.stage_values import Calibrated, Channels, Loaded, Prepared
from fullint.quantization.streams import streams
from fullint.quantization.whole_numbers import whole_ranges, whole_tensors
from fullint.quantization.workbench import Workbench
from fullint.verification.kernel_outputs import as_read

SYNTHETIC_SAMPLES = 32
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
    samples = open_all(prepared.loaded, model)
    with bench.stage("calibrate"):
        found = [s for s in streams(model.main) if prepared.pinned.keys().isdisjoint(s.tensors)]
        by_channel = {t for s in found for t in s.tensors if t.shape[-1] == s.channels}
        keep = sample_count(model, operators_to_refine(model.main, prepared.effort, prepared.pinned))
        ends_float = options.float_ends
        measured = observed_tensors(model, ends_float)
        methods, idle = methods_for(model, measured, prepared.ranges, prepared.is_wide, options.activations)
        searched = options.effort == "best" and options.activations == "int8"
        others = to_be_tried(model, measured, methods, prepared.is_wide) if searched else {}
        wanted = Wanted(measured, by_channel, keep, {**others, **methods}, prepared.pinned)
        given = prepared.loaded.entries
        compared = any(traits_of(op.kind).compares and _reads_int32(op) for _, op in model.ops())

        def ready(number: int, sample: list[Array]) -> list[Array]:
            require_ids(sample, given[number].inputs, model.entries[number].inputs, whole=compared)
            return as_read(sample, given[number].inputs, model.entries[number].inputs)

        done = calibrate_entries(model, samples, wanted, bench.worker, options.workers, bench.progress, ready, options.seed)
    missing = unmeasured(model, done.stats.ranges, ends_float)
    if missing:
        raise NotIntegerError(missing)

    def calibrated(done: Calibration) -> Calibrated:
        stats = done.stats
        could_be = {t: n for t, n in stats.narrowed.items() if t in others}
        ranges = {**stats.ranges, **{t: n.plain for t, n in could_be.items()}}
        found_so = Calibrated(
            prepared,
            model,
            replace(stats.measured, ranges=ranges),
            done.held,
            tuple(done.kept.values()),
            Channels(tuple(found), stats.channels, done.inputs, done.held[0].calibrated),
            warnings=(*warn_of_unseen(stats.unseen), *idle, *left_as_they_are(methods, stats)),
            digest=done.digest,
            samples=tuple(samples),
            seen=done.seen,
            could_be=could_be,
            growth=done.growth(),
        )
        return with_narrowed(found_so, {t: n for t, n in stats.narrowed.items() if t not in others})

    return with_outliers(done, calibrated, drop=options.drop_outliers)


def _reads_int32(op: Op) -> bool:
    return any(t is not None and t.dtype == "int32" for t in op.inputs)


def require_ids(sample: Sequence[Array], given: Sequence[Tensor], now: Sequence[Tensor], *, whole: bool) -> None:
    """Raise SamplesError where a float input that carries ids is given something that int32 does not hold.

    Fractions are dropped, as the CAST of the model does; but they count where something is compared (`whole`).
    """
    for array, before, after in zip(sample, given, now, strict=True):
        if before.dtype != "float32" or after.dtype != "int32":
            continue
        if (np.abs(array) >= 2**31).any() or (whole and (array != np.trunc(array)).any()):
            raise SamplesError(
                f'input "{before.name}" carries ids, since the model makes integers of it, and the result takes int32; a sample '
                "holds fractions, or numbers that int32 does not hold; give whole numbers, as the application does"
            )


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
    judges = done.held[0]
    runs = [*(judges.calibrated_runs[n] for n in numbers), *(judges.runs[n] for n in held)]
    rest = calibrated(done.without(numbers, held))
    whole = replace(calibrated(done), growth={})  # ranges that reach to outliers have room enough
    named = tuple(sorted(whole.samples[0].first_number(run) for run in runs))
    places = held if judges.held_back else numbers
    apart = [sample for place, sample in enumerate(judges.samples) if place in places]
    apart += [sample for number, sample in judges.also if number in numbers]
    chosen = rest if drop else whole
    return replace(chosen, outliers=found, outlier_samples=named, left_apart=tuple(apart), rest=None if drop else rest)


def with_narrowed(calibrated: Calibrated, narrowed: Mapping[Tensor, Narrowed]) -> Calibrated:
    """What was calibrated, with how some ranges came about, and the same with min-max in their place."""
    if not narrowed:
        return calibrated
    ranges = {**calibrated.ranges, **{t: n.plain for t, n in narrowed.items()}}
    plain = replace(calibrated, measured=replace(calibrated.measured, ranges=ranges))
    return replace(calibrated, narrowed=narrowed, plain=plain)


def open_all(loaded: Loaded, model: Model) -> list[Samples]:
    """The samples of each entry of a model, opened and not yet read."""
    o, found, in_order = loaded.options, [], has_state(model)
    for entry in loaded.entries:
        labels = o.labels if entry.number == 0 else None
        inputs = slots(entry.view(model), entry.inputs)
        if o.synthetic:
            found.append(synthetic(inputs, o.num_samples or SYNTHETIC_SAMPLES))
        else:
            own = samples_of(loaded.request.samples, entry, loaded.entries)
            images = ImageOptions(numbers(o.mean), numbers(o.std), o.layout)
            found.append(open_samples(own, inputs, Reading(o.num_samples, images, o.batch, labels, o.seed, in_order)))
    return found


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
