"""Ranges for a repair: from the file first, then measured on samples or derived.

around each float island                 from the parameters in the file
inside an island, with samples           measured by running the input model
inside an island, without samples        derived from neighbours and bounds (`interval_bounds`)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from fullint.calibration.run import Calibration, Wanted, calibrate_entries
from fullint.calibration.samples import Held, Samples
from fullint.calibration.samples.values_seen import ValuesSeen
from fullint.calibration.statistics import Measured
from fullint.errors import Blocker, NotIntegerError
from fullint.model.ir import Array, Model, Op, Tensor, Uses
from fullint.model.ranges import Range
from fullint.quantization.decide import GIVE_SAMPLES
from fullint.quantization.given_ranges import JUDGED, drawn_inputs, known_ranges, unknown
from fullint.quantization.measure import warn_of_unseen, with_outliers
from fullint.quantization.opened import open_all
from fullint.quantization.stage_values import Calibrated, Prepared
from fullint.quantization.workbench import Workbench
from fullint.repairing.interval_bounds import bounds
from fullint.verification.kernel_outputs import as_read

NAMED = 8
"""How many loose bounds are listed among the assumptions."""


def find_ranges(bench: Workbench, prepared: Prepared) -> Calibrated:
    """The stage that finds the range of every activation that needs one.

    Raises:
        NotIntegerError: an activation has no bound, and there are no samples.
    """
    known = known_ranges(prepared)
    if prepared.loaded.request.samples is None:
        return _follow(bench, prepared, known)
    wanted = unknown(prepared.model, known, prepared.loaded.options.float_ends)
    if not wanted:
        opened = open_all(prepared.loaded, prepared.model)  # no calibration needed: all samples judge
        seen = tuple(tuple(ValuesSeen(slot) for slot in samples.inputs) for samples in opened)
        held = tuple(Held(_watched(s, v), total=s.count or 0) for s, v in zip(opened, seen, strict=True))
        return Calibrated(prepared, prepared.model, Measured(known), held, samples=tuple(opened), seen=seen)
    return _measure(bench, prepared, known, wanted)


def _measure(bench: Workbench, prepared: Prepared, known: dict[Tensor, Range], wanted: list[Tensor]) -> Calibrated:
    """Measure the ranges of the tensors in `wanted` by running the input model on the samples."""
    loaded, model = prepared.loaded, prepared.model

    def ready(number: int, sample: list[Array]) -> list[Array]:
        """The sample with quantized values dequantized, for inputs that were lifted."""
        return as_read(sample, loaded.entries[number].inputs, model.entries[number].inputs)

    samples = open_all(loaded, model)
    options = loaded.options
    asked = Wanted(wanted, rounding=prepared.pinned)
    with bench.stage("calibrate"):
        done = calibrate_entries(model, samples, asked, bench.worker, options.workers, bench.progress, ready, options.seed)
    said = f"{len(wanted)} ranges were measured by running the given model on the samples"

    def calibrated(done: Calibration) -> Calibrated:
        return Calibrated(
            prepared,
            model,
            replace(done.stats.measured, ranges={**done.stats.ranges, **known}),
            done.held,
            warnings=warn_of_unseen(done.stats.unseen),
            assumptions=(said,),
            digest=done.digest,
            samples=tuple(samples),
            seen=done.seen,
        )

    return with_outliers(done, calibrated, drop=options.drop_outliers)


def _watched(samples: Samples, seen: Sequence[ValuesSeen]) -> Iterator[list[Array]]:
    """The samples; what their values are like is noted as they are read."""
    for sample in samples:
        for array, values in zip(sample, seen, strict=True):
            values.add(array)
        yield sample


def _follow(bench: Workbench, prepared: Prepared, known: dict[Tensor, Range]) -> Calibrated:
    """Derive ranges without samples; random inputs are drawn to judge the result on."""
    model = prepared.model
    with bench.stage("bounds"):
        found = bounds(model, known, bench.evaluate)
    wanted = unknown(model, known, prepared.loaded.options.float_ends)
    unbounded = [t for t in found.unknown if t in wanted]
    if unbounded:
        raise NotIntegerError(_unbounded(model, unbounded))
    loose = {t: why for t, why in found.loose.items() if t in wanted}
    assumptions = [f"{len(wanted)} ranges were derived from neighbours and bounds"] if wanted else []
    assumptions += [f'the range of "{t.name}" is a bound on {why}' for t, why in list(loose.items())[:NAMED]]
    assumptions.append(JUDGED)
    return Calibrated(
        prepared,
        model,
        Measured(found.ranges, state=found.state),
        drawn_inputs(prepared, known),
        bounded=bool(wanted),
        loose=loose,
        assumptions=tuple(assumptions),
    )


def _unbounded(model: Model, tensors: Sequence[Tensor]) -> list[Blocker]:
    """One blocker for each operator that produces, or first reads, a tensor without a bound."""
    uses = Uses(*model.graphs)
    blocked: dict[Op, Blocker] = {}
    for t in tensors:
        op = uses.producer.get(t) or next((r for r, _ in uses.of(t)), None)
        if op is None:
            continue
        number = next(i for i, g in enumerate(model.graphs) if op in g.ops)
        cause = f'the file gives no range for "{t.name}", and none can be derived'
        which = op.origin if not number and op.origin >= 0 else op.output_name or op.kind
        end = any(t in g.inputs for g in model.graphs)  # an int8 input needs a range, whatever reads it
        way_out = GIVE_SAMPLES if end else f"{GIVE_SAMPLES}; or leave it in float: --keep-float {which}"
        blocked.setdefault(op, Blocker(number, op.origin, op.kind, op.output_name, cause, way_out))
    return list(blocked.values())
