"""Ranges for a repair: from the file first, then measured on samples or derived.

around each float island                 from the parameters in the file
inside an island, with samples           measured by running the input model
inside an island, without samples        derived from neighbours and bounds (`interval_bounds`)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from fullint.calibration.observed import given_range, observed_tensors
from fullint.calibration.run import Calibration, Wanted, calibrate_entries
from fullint.calibration.samples import Held, Samples, draw_samples, slots
from fullint.calibration.samples.values_seen import ValuesSeen
from fullint.calibration.statistics import Measured
from fullint.errors import Blocker, NotIntegerError
from fullint.model.ir import Array, Model, Op, Tensor, Uses
from fullint.model.numerics import as_activation, representable
from fullint.model.ranges import Range
from fullint.ops.base import codes
from fullint.quantization.decide import GIVE_SAMPLES
from fullint.quantization.measure import open_all, warn_of_unseen, with_outliers
from fullint.quantization.stage_values import Calibrated, Prepared
from fullint.quantization.workbench import Workbench
from fullint.repairing.interval_bounds import bounds
from fullint.verification.kernel_outputs import as_read

DRAWN = 16
"""Number of random inputs that the result is judged on if there are no samples."""
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
    wanted = _unknown(prepared.model, known, prepared.loaded.options.float_ends)
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
    with bench.stage("calibrate"):
        done = calibrate_entries(
            model, samples, Wanted(wanted), bench.worker, options.workers, bench.progress, ready, options.seed
        )
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
    model, entries = prepared.model, prepared.loaded.entries
    with bench.stage("bounds"):
        found = bounds(model, known, bench.evaluate)
    wanted = _unknown(model, known, prepared.loaded.options.float_ends)
    unbounded = [t for t in found.unknown if t in wanted]
    if unbounded:
        raise NotIntegerError(_unbounded(model, unbounded))
    loose = {t: why for t, why in found.loose.items() if t in wanted}
    assumptions = [f"{len(wanted)} ranges were derived from neighbours and bounds"] if wanted else []
    assumptions += [f'the range of "{t.name}" is a bound on {why}' for t, why in list(loose.items())[:NAMED]]
    held = []
    for entry in entries:
        own = entry.view(model)
        spans = [known.get(now) or _coded(given) for now, given in zip(own.main.inputs, entry.inputs, strict=True)]
        inputs = slots(own, entry.inputs)
        held.append(Held(draw_samples(inputs, spans, DRAWN), total=DRAWN, drawn=True))
    assumptions.append(f"the result was judged on {DRAWN} random inputs within the input ranges: no samples were given")
    return Calibrated(
        prepared,
        model,
        Measured(found.ranges, state=found.state),
        tuple(held),
        bounded=bool(wanted),
        loose=loose,
        assumptions=tuple(assumptions),
    )


def _coded(t: Tensor) -> Range | None:
    return representable(t.quant, t.dtype) if codes(t) and t.quant is not None and not t.quant.per_channel else None


def known_ranges(prepared: Prepared) -> dict[Tensor, Range]:
    """Ranges of the float activations for which the file has parameters."""
    model = prepared.model
    found = {t: representable(*given) for t, given in prepared.pinned.items()}
    uses = Uses(*model.graphs)
    for t in observed_tensors(model):
        asked = [as_activation(op.outputs[0]) if op.kind == "QUANTIZE" else None for op, _ in uses.of(t)]
        first = asked[0] if asked and t not in uses.outputs else None
        if first is not None and all(a is not None and first[0].same_as(a[0]) and first[1] == a[1] for a in asked):
            found[t] = representable(*first)  # for other readers, the QUANTIZE might clip the range
    for _, op in model.ops():
        if (span := given_range(op)) is not None:
            found[op.outputs[0]] = span
    return found


def _unknown(model: Model, known: Mapping[Tensor, Range], float_ends: tuple[bool, bool]) -> list[Tensor]:
    """Tensors whose ranges are needed but not in the file."""
    uses = Uses(*model.graphs)
    unread = {t for g in model.graphs for t in g.inputs if not uses.of(t) and t not in uses.outputs}
    return [t for t in observed_tensors(model, float_ends) if t not in known and t not in unread]


def _unbounded(model: Model, unknown: Sequence[Tensor]) -> list[Blocker]:
    """One blocker for each operator that produces, or first reads, a tensor without a bound."""
    uses = Uses(*model.graphs)
    blocked: dict[Op, Blocker] = {}
    for t in unknown:
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
